"""Makes the reference pages from the code: errors, states, configuration, command, metrics.

`scripts/docs` writes them; `scripts/docs --check` changes nothing and fails where a page is stale.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import typer
from prometheus_client import Counter, Gauge, Histogram
from typer.core import TyperCommand, TyperGroup

import holdfast
from holdfast.core.errors import HoldfastError
from holdfast.core.states import (
    DEPOSIT_MOVES,
    INCIDENT_MOVES,
    INVOICE_MOVES,
    LINE_MOVES,
    PAYOUT_MOVES,
    STANDING_ORDER_MOVES,
    DepositState,
    IncidentState,
    InvoiceReason,
    InvoiceState,
    LineState,
    PayoutState,
    StandingOrderState,
)
from holdfast.faces.api.problems import status_of
from holdfast.faces.assess.kinds import GROUPS
from holdfast.faces.assess.severities import Severity
from holdfast.faces.assess.standards import ITEMS
from holdfast.faces.cli.main import app
from holdfast.faces.cli.terminal import Exit
from holdfast.policy import rules
from holdfast.runtime import metrics
from holdfast.runtime.settings import SECTIONS, Settings

PAGES = Path(__file__).parent.parent / "docs" / "reference"
MADE = "<!-- Made by scripts/docs from the code: change the code, then run it. -->\n"


def every_error() -> list[type[HoldfastError]]:
    """Every error class of the package, by code."""
    for module in pkgutil.walk_packages(holdfast.__path__, "holdfast."):
        if not module.name.endswith(("__main__", "migrations.env")):
            importlib.import_module(module.name)
    found: set[type[HoldfastError]] = set()
    waiting: list[type[HoldfastError]] = [HoldfastError]
    while waiting:
        error = waiting.pop()
        found.add(error)
        waiting += error.__subclasses__()
    return sorted((error for error in found if error.__module__.startswith("holdfast.")), key=lambda error: error.code)


def room(error: type[HoldfastError]) -> str:
    """The room an error belongs to."""
    return error.__module__.split(".")[1]


def errors_page() -> Iterator[str]:
    """Each error: what happened, what to do, whether to try again."""
    yield "# Errors\n\n*Which question this page answers: what does this error mean, and what do I do?*\n"
    yield (
        "Every error that Holdfast expects has a stable code. The HTTP API sends it as `code` in a\n"
        "problem document ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)), the command prints it, logs carry it.\n"
        "Codes are never reused.\n"
    )
    for error in every_error():
        again = "The same request may succeed later." if error.retry else "The same request fails again."
        kind = next(
            (base.__name__ for base in error.__mro__[1:] if base is not error and issubclass(base, HoldfastError)), ""
        )
        yield f"## `{error.code}`\n\n{error.title()} {error.remedy()}\n"
        status = status_of(error)
        yield f"`{error.__name__}` ({room(error)}; a {kind}). HTTP {status.value}. {again}\n"


def moves(title: str, states: type[StrEnum], table: Mapping[Any, frozenset[Any]]) -> Iterator[str]:
    """One table of transitions."""
    yield f"## {title}\n\n| from | may become |\n|---|---|"
    for state in states:
        then = [f"`{other.value}`" for other in states if other in table[state]]
        yield f"| `{state.value}` | {', '.join(then) or 'nothing: the end'} |"
    yield ""


def states_page() -> Iterator[str]:
    """Every state and every way between two of them."""
    yield "# States\n\n*Which question this page answers: what can become of an invoice, a deposit or a payout?*\n"
    yield "A transition that is not in these tables cannot be made: the tables are the code (`core/states.py`).\n"
    yield from moves("Invoice", InvoiceState, INVOICE_MOVES)
    yield "Reasons, beside the state: " + ", ".join(f"`{reason.value}`" for reason in InvoiceReason) + ".\n"
    yield from moves("Deposit", DepositState, DEPOSIT_MOVES)
    yield from moves("Payout", PayoutState, PAYOUT_MOVES)
    yield from moves("A payout's line", LineState, LINE_MOVES)
    yield from moves("Standing order", StandingOrderState, STANDING_ORDER_MOVES)
    yield from moves("Incident", IncidentState, INCIDENT_MOVES)


def default_of(entry: msgspec.structs.FieldInfo) -> str:
    """A setting's default as TOML would write it."""
    if entry.required:
        return "required"
    value = entry.default_factory() if entry.default is msgspec.NODEFAULT else entry.default
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, int):
        return f"`{value}`"
    if isinstance(value, list):
        return "`[" + ", ".join(str(msgspec.to_builtins(one)).replace("'", '"') for one in value) + "]`"
    return "`{}`" if value == {} else f'`"{value}"`'


def type_of(node: msgspec.inspect.Type) -> str:
    """A setting's type in the configuration's own words."""
    words = {"IntType": "whole number", "StrType": "text", "BoolType": "true or false", "CustomType": "path"}
    match node:
        case msgspec.inspect.Metadata(type=inner):
            return type_of(inner)
        case msgspec.inspect.UnionType(types=types):
            return " or ".join(type_of(one) for one in types if not isinstance(one, msgspec.inspect.NoneType))
        case msgspec.inspect.ListType(item_type=item):
            return f"list of {type_of(item)}"
        case msgspec.inspect.DictType():
            return "table"
        case msgspec.inspect.StructType(cls=cls):
            return f"[{cls.__name__}](#{cls.__name__.lower()})"
        case msgspec.inspect.EnumType(cls=cls):
            return " or ".join(f'`"{one.value}"`' for one in cls)
    return words.get(type(node).__name__, type(node).__name__)


def described(node: msgspec.inspect.Type) -> str:
    """The description that the setting carries in its type."""
    while isinstance(node, msgspec.inspect.Metadata):
        if node.extra_json_schema and "description" in node.extra_json_schema:
            return str(node.extra_json_schema["description"])
        node = node.type
    return ""


def settings_table(kind: type[msgspec.Struct], hidden: frozenset[str] = frozenset({"name", "path"})) -> Iterator[str]:
    """The settings of one table of the file."""
    yield f"{inspect.getdoc(kind)}\n\n| setting | type | default | meaning |\n|---|---|---|---|"
    types = {entry.name: entry.type for entry in msgspec.inspect.type_info(kind).fields}
    for entry in msgspec.structs.fields(kind):
        if entry.name in hidden or entry.name in SECTIONS or entry.name == "networks":
            continue
        meaning = described(types[entry.name])
        if not meaning:
            sys.exit(f"{kind.__name__}.{entry.name} has no description")
        yield f"| `{entry.name}` | {type_of(types[entry.name])} | {default_of(entry)} | {meaning} |"
    yield ""


def configuration_page() -> Iterator[str]:
    """Every setting."""
    yield "# Configuration\n\n*Which question this page answers: what can I set, and what happens if I do not?*\n"
    yield (
        "One TOML file, `holdfast.toml`; `holdfast init` writes it with comments. Relative paths start at its\n"
        "directory. A line that is wrong stops the start with its number and what to do. Secrets never stand in it:\n"
        "it names files.\n"
    )
    yield "## Top of the file\n"
    yield from settings_table(Settings)
    inner: dict[str, type[msgspec.Struct]] = {}
    for name, kind in SECTIONS.items():
        yield f"## `[{name}]`\n"
        yield from settings_table(kind)
        for entry in msgspec.inspect.type_info(kind).fields:
            node = entry.type.type if isinstance(entry.type, msgspec.inspect.Metadata) else entry.type
            item = getattr(node, "item_type", None)
            if isinstance(item, msgspec.inspect.StructType):
                inner[item.cls.__name__] = item.cls
    for name, kind in inner.items():
        yield f"## {name}\n"
        yield from settings_table(kind)


def command_pages(command: TyperCommand | TyperGroup, words: str) -> Iterator[str]:
    """The help of a command and of all below it."""
    context = typer.Context(command, info_name=words, terminal_width=100, max_content_width=100)
    yield f"## `{words}`\n\n{inspect.cleandoc(command.help or '')}\n\n```text\n{usage(command, context)}\n"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record and not set(parameter.opts) & {"--help", "--install-completion", "--show-completion"}:
            yield f"  {record[0]}\n      {record[1]}"
    yield "```\n"
    if isinstance(command, TyperGroup):
        for name, below in command.commands.items():
            if not below.hidden and isinstance(below, TyperCommand | TyperGroup):
                yield from command_pages(below, f"{words} {name}")


def usage(command: TyperCommand | TyperGroup, context: typer.Context) -> str:
    """The usage line, without its label."""
    return " ".join(command.get_usage(context).split()).removeprefix("Usage: ")


def command_page() -> Iterator[str]:
    """The whole command."""
    yield "# The `holdfast` command\n\n*Which question this page answers: what can I type?*\n"
    yield "Data goes to standard output, talk to standard error. Exit codes:\n\n| code | meaning |\n|---|---|"
    yield from (f"| {code.value} | {code.name.lower().replace('_', ' ')} |" for code in Exit)
    yield ""
    whole = typer.main.get_command(app)
    if not isinstance(whole, TyperGroup):
        sys.exit("the command has no subcommands")
    yield from command_pages(whole, "holdfast")


def metrics_page() -> Iterator[str]:
    """Every figure that a process publishes."""
    yield "# Metrics\n\n*Which question this page answers: what can I watch and be woken by?*\n"
    yield (
        "Each process answers `/metrics` in Prometheus's text format, beside `/health` (it lives) and `/ready` (it\n"
        "can work, or which check fails and what to do). The API does so on its own port, follower and courier on the\n"
        "loopback ports of their settings.\n\n| metric | kind | labels | meaning |\n|---|---|---|---|"
    )
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            described_as = metric.describe()[0]
            suffix = "_total" if described_as.type == "counter" else ""
            labels = ", ".join(f"`{label}`" for label in metric._labelnames)
            name = f"{described_as.name}{suffix}"
            yield f"| `{name}` | {described_as.type} | {labels} | {described_as.documentation} |"


def rules_page() -> Iterator[str]:
    """Every reason why a payout is not signed, in the order of the ladder."""
    yield "# Rules\n\n*Which question this page answers: why was this payout not signed, and will it be?*\n"
    yield (
        "The signer looks at every payout in this order, and the first rule that fails is the answer. A rule that is\n"
        "*final* ends the payout: it will not be signed, and the money is the merchant's again. Any other waits: the\n"
        "payout is looked at again until its intent expires.\n\n| rule | | meaning |\n|---|---|---|"
    )
    classes = [node for node in ast.parse(inspect.getsource(rules)).body if isinstance(node, ast.ClassDef)]
    body = classes[0].body
    meanings = {}
    for member, after in pairwise(body):
        target = member.targets[0] if isinstance(member, ast.Assign) else None
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr):
            meanings[target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    for rule in rules.Rule:
        yield f"| `{rule.value}` | {'final' if rule.is_final else 'waits'} | {meanings[rule.name]} |"


def assessment_page() -> Iterator[str]:
    """The severity table of `holdfast assess`, and the items of the standards that it looks at."""
    yield "# Assessment\n\n*Which question this page answers: what does `holdfast assess` find, and how bad is it?*\n"
    yield "| severity | meaning |\n|---|---|"
    for severity, meaning in zip(Severity, meanings_of(Severity), strict=True):
        yield f"| {severity.value} | {meaning} |"
    yield (
        "\nThis table is the code (`faces/assess/kinds_*.py`): nothing else weighs. *On test networks* counts where\n"
        "no network of the configuration has real money. Texts in braces are filled in from what was seen.\n"
    )
    for title, kinds in GROUPS.items():
        yield f"## {title}\n\n| kind | severity | on test networks | what | why | mend |"
        yield "|---|---|---|---|---|---|"
        for kind in kinds:
            texts = " | ".join(text.replace("|", "\\|") for text in (kind.what, kind.why, kind.mend))
            yield f"| `{kind.code}` | {kind.severity.value} | {kind.on_test.value} | {texts} |"
        yield ""
    yield (
        "## Standards\n\nA named part of CCSS 9.1 and OWASP ASVS 5.0.0, each item in our own words. Numbers are the\n"
        "standards'; a letter behind an aspect or section is ours. An item fails where one of its kinds is found; *by\n"
        "hand*: no program can see it. It is no certificate.\n\n"
        "| item | in our words | how it is checked | fails at |\n"
        "|---|---|---|---|"
    )
    for item in ITEMS:
        otherwise = "by construction" if item.always else "by hand"
        fails = ", ".join(f"`{kind}`" for kind in sorted(item.kinds)) or otherwise
        yield f"| {item.standard} {item.number} | {item.sentence} | {item.how} | {fails} |"


def meanings_of(words: type[StrEnum]) -> list[str]:
    """The sentence below each member of an enum."""
    body = next(node for node in ast.parse(inspect.getsource(words)).body if isinstance(node, ast.ClassDef)).body
    return [
        " ".join(str(ast.literal_eval(after.value)).split())
        for member, after in pairwise(body)
        if isinstance(member, ast.Assign) and isinstance(after, ast.Expr)
    ]


WRITERS: dict[str, Callable[[], Iterator[str]]] = {
    "errors.md": errors_page,
    "states.md": states_page,
    "configuration.md": configuration_page,
    "command.md": command_page,
    "metrics.md": metrics_page,
    "rules.md": rules_page,
    "assessment.md": assessment_page,
}


def main() -> None:
    """Write the pages, or with `--check` compare them."""
    check = "--check" in sys.argv[1:]
    stale = []
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, write in WRITERS.items():
        text = MADE + "\n".join(write()).rstrip() + "\n"
        page = PAGES / name
        if not page.exists() or page.read_text() != text:
            stale.append(name)
            if not check:
                page.write_text(text)
    if check and stale:
        sys.exit(f"stale reference pages: {', '.join(stale)}; run scripts/docs")


if __name__ == "__main__":
    main()
