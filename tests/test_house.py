"""The rules of the house that no linter knows: the code checks itself, so that CONTRIBUTING cannot drift."""

import ast
import inspect
import re
import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

from holdfast.core.errors import HoldfastError

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "src" / "holdfast"
KERNEL = ("core", "policy", "ledger", "signer")
KERNEL_LINES_MAX = 5_500  # see decision 0110: why it is more than was meant
FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 600
# All that core may import: nothing here reads, writes, waits or looks at a clock.
PURE_STDLIB = "__future__ base64 binascii collections dataclasses enum hashlib hmac itertools json re string struct"
PURE_OTHERS = "tomllib typing coincurve Crypto cryptography embit msgspec holdfast"
PURE_IMPORTS = {*PURE_STDLIB.split(), *PURE_OTHERS.split()}
# From these modules core takes values and functions of values only.
PURE_NAMES = {
    "datetime": {"datetime", "timedelta", "UTC", "timezone", "date"},
    "urllib.parse": {"quote", "unquote", "parse_qsl", "urlsplit"},
    "functools": {"cache", "lru_cache", "cached_property", "reduce"},
}
NAMES_BANNED = {"utils", "util", "common", "helpers", "misc", "base", "manager", "service", "lib"}
# One word for one thing: these have another name in the glossary.
WORDS_BANNED = re.compile(
    r"withdraw|hot_?wallet|cold_?wallet|posting|_user\b|\buser_|client_?id|\bsweep", re.IGNORECASE
)


def modules(*rooms: str) -> list[Path]:
    return [path for room in rooms or ("",) for path in sorted((HOUSE / room).rglob("*.py"))]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)  # noqa: S603  our own words
    return [path for line in listed.stdout.splitlines() if (path := ROOT / line).is_file()]


def headings(page: str) -> list[str]:
    return re.findall(r"^## `(.+)`$", (ROOT / "docs" / page).read_text(), flags=re.MULTILINE)


def errors() -> list[type[HoldfastError]]:
    found = []
    for path in modules():
        if path.name == "__main__.py":
            continue
        name = ".".join(path.relative_to(HOUSE.parent).with_suffix("").parts).removesuffix(".__init__")
        found += [
            value
            for value in vars(import_module(name)).values()
            if inspect.isclass(value) and issubclass(value, HoldfastError) and value.__module__ == name
        ]
    return found


def code_lines(path: Path) -> int:
    """As `scripts/kernel` counts them."""
    counter = SourceFileLoader("kernel_size", str(ROOT / "scripts" / "kernel_size.py"))
    return int(module_of(counter).code_lines(path))


@cache
def module_of(loader: SourceFileLoader) -> ModuleType:
    module = ModuleType(loader.name)
    module.__file__ = loader.path
    loader.exec_module(module)
    return module


def test_the_kernel_can_be_read_in_an_afternoon() -> None:
    lines = sum(code_lines(path) for path in modules(*KERNEL))
    assert 500 < lines < KERNEL_LINES_MAX, f"the kernel has {lines} lines of code"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_every_function_fits_on_a_screen(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= FUNCTION_LINES_MAX, f"{named(path)}:{node.lineno} {node.name} has {length} lines"


@pytest.mark.parametrize("path", tracked("*.py"), ids=named)
def test_every_file_holds_one_thing(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= FILE_LINES_MAX


@pytest.mark.parametrize("path", modules("core", "policy"), ids=named)
def test_core_imports_nothing_that_acts(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                assert alias.name.split(".")[0] in PURE_IMPORTS, f"{named(path)}:{node.lineno}: {alias.name}"
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            names = {alias.name for alias in node.names}
            allowed = module.split(".")[0] in PURE_IMPORTS or names <= PURE_NAMES.get(module, set())
            assert allowed, f"{named(path)}:{node.lineno}: {module} {sorted(names)}"


@pytest.mark.parametrize("path", modules("core"), ids=named)
def test_core_never_looks_at_a_clock(path: Path) -> None:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Attribute):
            assert node.attr not in {"now", "utcnow", "today", "fromtimestamp"}, f"{named(path)}:{node.lineno}"


@pytest.mark.parametrize("path", modules(*KERNEL), ids=named)
def test_there_is_no_float_in_the_kernel(path: Path) -> None:
    for node in ast.walk(tree(path)):
        line = f"{named(path)}:{getattr(node, 'lineno', 0)}"
        is_literal = isinstance(node, ast.Constant) and isinstance(node.value, float)
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
        is_division = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and "core" in path.parts
        assert not is_literal, f"{line}: float"
        assert not is_call, f"{line}: float()"
        assert not is_division, f"{line}: use // or divmod, and say which way it rounds"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_every_module_is_named_for_what_it_is(path: Path) -> None:
    assert path.stem not in NAMES_BANNED, f"{named(path)}: say what it is"
    assert path.parent.name not in NAMES_BANNED, f"{named(path.parent)}: say what it is"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_every_module_and_public_thing_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{named(path)}: a module's first line says what it is"
    for node in tree(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{named(path)}:{node.lineno}: {node.name} has no docstring"


@pytest.mark.parametrize("path", modules(), ids=named)
def test_one_word_means_one_thing(path: Path) -> None:
    for node in ast.walk(tree(path)):
        name = getattr(node, "name", None) or getattr(node, "id", None) or getattr(node, "arg", None)
        if isinstance(name, str):
            assert not WORDS_BANNED.search(name), (
                f"{named(path)}:{getattr(node, 'lineno', 0)}: {name} (see the glossary)"
            )


@pytest.mark.parametrize("error", errors(), ids=lambda error: error.code)
def test_every_error_says_what_happened_and_what_to_do(error: type[HoldfastError]) -> None:
    assert len(re.findall(r"\.(?:\s|$)", error.__doc__ or "")) >= 2, error
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", error.code), error
    assert error.code in headings("reference/errors.md"), f"{error.code} is not on the errors page: run scripts/docs"


def test_no_error_code_means_two_things() -> None:
    codes = [error.code for error in errors()]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("room", sorted(path.parent for path in HOUSE.glob("*/__init__.py")), ids=named)
def test_every_room_is_on_the_map(room: Path) -> None:
    caption = ast.get_docstring(tree(room / "__init__.py"))
    assert caption
    caption = caption.splitlines()[0]
    assert f"| `{room.name}` | {caption.rstrip('.')}" in (ROOT / "ARCHITECTURE.md").read_text()


def test_every_exemption_has_its_reason() -> None:
    exemption = re.compile(r"# (noqa|type: ignore)(?:: [A-Z0-9, ]+|\[[a-z-]+(?:, ?[a-z-]+)*\])?(.*)")
    bare = [
        f"{named(path)}:{number}"
        for path in tracked("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if (match := exemption.search(line)) and len(match[2].strip(" #,")) <= 8
    ]
    assert bare == [], "say why"


@pytest.mark.parametrize("page", tracked("*.md"), ids=named)
def test_every_link_between_pages_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?://|mailto:|#)([^)#\s]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{named(page)} links to {target}"


def test_decision_records_are_accepted_and_numbered_once() -> None:
    records = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [record.name[:4] for record in records]
    assert len(set(numbers)) == len(numbers)
    for record in records:
        text = record.read_text()
        assert re.search(r"Status[^\n]*(accepted|superseded)", text, re.IGNORECASE), f"{record.name}: no status"


def test_no_commit_names_this_machine_or_a_registry() -> None:
    # Written apart, so that this file does not name them.
    telltales = [
        "/" + "root/",
        "/" + "work/",
        "registry." + "npmjs",
        "pypi." + "org",
        "files." + "pythonhosted",
        "sha" + "red/",
    ]
    for path in tracked():
        if (
            path.suffix in {".md", ".py", ".toml", ".json", ".txt", ".sql", ".sol", ".html", ".css", ".js", ""}
            and path.name != "uv.lock"
        ):
            text = path.read_text(errors="replace")
            for telltale in telltales:
                assert telltale not in text, f"{named(path)} names {telltale}"


def test_the_readme_says_the_two_commands_that_ci_runs() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:45])
    assert "make demo" in first_screen
    assert "make test" in first_screen
    assert "make test" in (ROOT / ".ci" / "run").read_text()


SIGNER_TRUSTS = {
    "aiohappyeyeballs", "aiohttp", "aiosignal", "attr", "attrs", "cffi", "coincurve", "Crypto", "cryptography",
    "cython_runtime", "embit", "frozenlist", "idna", "msgspec", "multidict", "propcache", "pycparser",
    "typing_extensions", "yarl",
}  # fmt: skip
"""Everything that is loaded into the signer's process besides Python itself and our own rooms."""


def test_the_signers_process_holds_what_it_names_and_nothing_else() -> None:
    probe = (
        "import holdfast.signer.main, sys; print(*sorted({name.split('.')[0] for name in sys.modules}), *sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)  # noqa: S603  our own words
    out = ran.stdout.split()
    loaded = set(out)
    others = {name for name in loaded if "." not in name and not name.startswith("_")} - set(sys.stdlib_module_names)
    assert others - {"holdfast"} <= SIGNER_TRUSTS
    rooms = {name.split(".")[1] for name in loaded if name.startswith("holdfast.")}
    assert rooms == {"core", "policy", "chains", "signer"}
    assert not loaded & {"psycopg", "litestar", "granian", "starlette", "jinja2", "httpx", "aiohttp.web"}
