"""The pages say what is so: every command on them exists with the options shown, every example reads as code."""

import ast
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer._click.exceptions import UsageError

from holdfast.faces.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
MAKE_TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))


def blocks(page: Path, *languages: str) -> list[str]:
    found = re.findall(r"^[ ]*```(\w+)\n(.*?)^[ ]*```", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def commands() -> list[tuple[str, list[str]]]:
    found = []
    for page in PAGES:
        for block in blocks(page, "sh", "console"):
            joined = re.sub(r"\\\n\s*", " ", block)
            lines = [line.strip().removeprefix("$ ") for line in joined.splitlines()]
            words = [
                shlex.split(line, comments=True) for line in lines if re.match(r"(\.venv/bin/)?(holdfast|make) ", line)
            ]
            found += [(page.name, one) for one in words]
    return found


@pytest.mark.parametrize(
    ("page", "words"), commands(), ids=lambda value: value if isinstance(value, str) else " ".join(value)
)
def test_every_command_on_a_page_can_be_typed(page: str, words: list[str]) -> None:
    program, *rest = words
    if program == "make":
        assert rest[0] in MAKE_TARGETS, f"{page}: make {rest[0]}"
        return
    command = typer.main.get_command(app)
    context = command.make_context("holdfast", list(rest), resilient_parsing=True)
    while rest and not rest[0].startswith("-") and hasattr(command, "get_command"):
        below = command.get_command(context, rest[0])
        assert below is not None, f"{page}: holdfast {' '.join(words[1:])}"
        command, rest = below, rest[1:]
    said = ""
    try:
        command.make_context(str(command.name), list(rest), parent=context)
    except UsageError as error:
        said = error.format_message()
    # Files that the page tells the reader to make are not here; anything else is a wrong command.
    assert not said or "does not exist" in said, f"{page}: {said}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_example_is_code(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


def test_every_page_says_which_question_it_answers() -> None:
    for page in sorted((ROOT / "docs").rglob("*.md")):
        if page.parent.name != "decisions":
            assert "*Which question this page answers:" in page.read_text()[:600], page.name
