"""Prints how long the kernel is, room by room, and the versions of what it trusts besides.

Lines of code: without blank lines, comments and docstrings, which are for readers.
"""

from __future__ import annotations

import ast
import io
import tokenize
from importlib.metadata import version
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1] / "src" / "holdfast"
ROOMS = ("core", "policy", "ledger", "signer")
TRUSTED = ("cryptography", "coincurve", "embit", "pycryptodome", "msgspec", "aiohttp")
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}


def code_lines(path: Path) -> int:
    """Lines of a module that hold code."""
    source = path.read_text()
    words: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        for statement in getattr(node, "body", []) if isinstance(getattr(node, "body", None), list) else []:
            value = getattr(statement, "value", None)
            if isinstance(statement, ast.Expr) and isinstance(value, ast.Constant) and isinstance(value.value, str):
                words.update(range(statement.lineno, (statement.end_lineno or statement.lineno) + 1))
    held: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in SILENT:
            held.update(range(token.start[0], token.end[0] + 1))
    return len(held - words)


if __name__ == "__main__":
    total = 0
    for room in ROOMS:
        lines = sum(code_lines(path) for path in (HOUSE / room).rglob("*.py"))
        total += lines
        print(f"{room:10} {lines:5} lines of code")
    print(f"{'kernel':10} {total:5}")
    print("trusts     " + ", ".join(f"{name} {version(name)}" for name in TRUSTED))
