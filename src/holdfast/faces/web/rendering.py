"""Turns templates into pages, and serves the few files that they need. Everything comes from this package: no CDN."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from pathlib import PurePath
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from litestar import Response, get
from litestar.params import FromPath
from markupsafe import Markup, escape

from holdfast.core.errors import NotFound
from holdfast.faces.api.callers import open_to_all
from holdfast.faces.api.edge import PAGE_POLICY

_STATIC = files("holdfast.faces.web") / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_POLICY = {"Content-Security-Policy": PAGE_POLICY.decode()}
_CODE, _STRONG = re.compile(r"`([^`]+)`"), re.compile(r"\*\*([^*]+)\*\*")
_templates = Environment(
    loader=PackageLoader("holdfast.faces.web"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def marked(text: str) -> Markup:
    """A docstring's few marks as HTML: `code` and **strong**; everything else is escaped."""
    return Markup(_STRONG.sub(r"<b>\1</b>", _CODE.sub(r"<code>\1</code>", str(escape(text)))))  # noqa: S704  escaped before it is marked


_templates.filters["marked"] = marked


class FileUnknown(NotFound):
    """There is no such file among the pages' own. Load the page again; it names the files it needs."""

    code = "file-unknown"


def html(template: str, values: Mapping[str, Any]) -> str:
    """A template, filled in. Every value is escaped unless the template says otherwise."""
    return _templates.get_template(template).render({"notice": "", **values})


def page(
    template: str, values: Mapping[str, Any], *, style: str = "checkout.css", status: int = HTTPStatus.OK
) -> Response[str]:
    """A whole page as an answer, with the policy that lets it load its own files and nothing else."""
    text = html(template, {"version": _version(), "style": style, **values})
    return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=_POLICY)


@get("/static/{name:str}", include_in_schema=False, guards=[open_to_all()])
async def static_file(name: FromPath[str]) -> Response[bytes]:
    """One of the pages' files. Pages name them with a version, so they may be kept."""
    content = _read(name)
    if content is None:
        raise FileUnknown(name[:60])
    headers = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(content, media_type=_TYPES[PurePath(name).suffix], headers=headers)


@cache
def _contents() -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in _STATIC.iterdir() if PurePath(one.name).suffix in _TYPES}


def _read(name: str) -> bytes | None:
    return _contents().get(name)


@cache
def _version() -> str:
    return sha256(b"".join(content for _, content in sorted(_contents().items()))).hexdigest()[:12]
