"""Pages from data by typst: the same data and date give the same bytes. Fonts are those inside the wheel, no others."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import typst

from holdfast.core.errors import HoldfastError

TEMPLATES = ("style.typ", "report.typ", "letter.typ", "form.typ")


class PagesNotMade(HoldfastError):
    """The pages of a report could not be laid out. Tell the makers what the detail says; the data is whole."""

    code = "pages-not-made"


def pdf(template: str, data: Mapping[str, object], at: int, pictures: Mapping[str, bytes] | None = None) -> bytes:
    """A PDF, dated `at` (seconds since 1970). Raises `PagesNotMade`."""
    made = _compiled(template, data, at, pictures or {}, None)
    assert isinstance(made, bytes)  # noqa: S101  one PDF is one text of bytes
    return made


def images(
    template: str, data: Mapping[str, object], at: int, pictures: Mapping[str, bytes] | None = None, *, ppi: int = 96
) -> list[bytes]:
    """The same pages as PNG, for looking at them. Raises `PagesNotMade`."""
    made = _compiled(template, data, at, pictures or {}, ppi)
    return [made] if isinstance(made, bytes) else made


def _compiled(
    template: str, data: Mapping[str, object], at: int, pictures: Mapping[str, bytes], ppi: int | None
) -> bytes | list[bytes]:
    """Typst reads from a directory of its own that holds the templates, the data and the pictures; no network."""
    with tempfile.TemporaryDirectory(prefix="holdfast-pages-") as name:
        root = Path(name)
        for each in TEMPLATES:
            (root / each).write_bytes(files("holdfast.trace.report").joinpath("template", each).read_bytes())
        (root / "data.json").write_text(json.dumps(data), encoding="utf-8")
        for picture, svg in pictures.items():
            (root / f"{picture}.svg").write_bytes(svg)
        compiler = typst.Compiler(
            root / template, root=root, font_paths=typst.Fonts(include_system_fonts=False),
            package_path=root / "packages", package_cache_path=root / "packages",
        )  # fmt: skip
        try:
            made = compiler.compile(format="png" if ppi else "pdf", ppi=ppi, timestamp=at)
        except typst.TypstError as error:
            raise PagesNotMade(str(error)[:300]) from None
    if made is None:
        raise PagesNotMade("typst gave nothing back")
    return made
