"""The OpenAPI 3.1 document, from the routes and structs themselves.

Paths and parameters are Litestar's reading of the handlers; schemas are msgspec's own, so that what the document says
of a body is what the decoder enforces (unknown fields, patterns, lengths).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import Any, get_args

import msgspec
from litestar import Litestar, Router
from litestar.di import Provide
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from msgspec import Struct

from holdfast.faces.api.callers import MERCHANT_HEADER, Allow, Whose
from holdfast.faces.api.problems import Problem

_GENERIC = re.compile(rb"Page_[a-z_.]+\.(\w+)Body_")
REF = "#/components/schemas/{name}"
DESCRIPTION = f"""\
Payments for merchants, on their own networks.

**Keys.** Send `Authorization: Bearer hf_…`. Each route names the scope that it needs. The operator's keys act for a
merchant by `{MERCHANT_HEADER}: mer_…`.

**Doing things once.** Every POST takes an `Idempotency-Key`. Sent again with the same body, it does nothing twice and
gets the same answer; with another body, `409 idempotency-key-reused`. What a merchant or an officer has signed needs no
such key: it is done once by itself, and sent again it is answered with what became of it.

**Pages.** Lists come newest first (events: oldest first), `limit` at a time; send `next` as `after` for more.

**Errors** are RFC 9457 problems with a stable `code`; `remedy` says what to do and `retry` whether it may help to send
the same request again.

**Amounts** are texts, never floating-point numbers: `…_units` counts the asset's smallest unit.
"""


@cache
def document(routers: tuple[Router, ...], public_url: str) -> dict[str, Any]:
    """The whole document."""
    config = OpenAPIConfig(
        title="Holdfast",
        use_handler_docstrings=True,
        version=version("holdfast"),
        description=DESCRIPTION,
        components=Components(security_schemes={"key": SecurityScheme(type="http", scheme="bearer")}),
        security=[{"key": []}],
    )
    # Only to be read: it names the dependency that handlers take, and serves nothing.
    app = Litestar(
        route_handlers=list(routers),
        openapi_config=config,
        logging_config=None,
        dependencies={"parts": Provide(_nothing)},
    )
    found = app.openapi_schema.to_schema()
    found["servers"] = [{"url": public_url}]
    schemas = found["components"]["schemas"]
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            if (path := found["paths"].get(_template(route.path_format))) is not None:
                _complete(path, handler, schemas)
    for struct in (Problem, *_answers(app)):
        _take_over(schemas, struct)
    # Litestar names a generic struct's schema after the module of what it is filled with.
    text = _GENERIC.sub(rb"PageOf\1", msgspec.json.encode(found))
    return dict(msgspec.json.decode(text))


def handlers_of(app: Litestar) -> Iterable[tuple[str, HTTPRouteHandler]]:
    """Every HTTP handler with its path."""
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            yield route.path_format, handler


def allow_of(handler: HTTPRouteHandler) -> Allow | None:
    """Who may call a route; None: it does not say, which no route may."""
    guards = [guard for guard in handler.guards or () if isinstance(guard, Allow)]
    return guards[0] if len(guards) == 1 else None


def _complete(path: dict[str, Any], handler: HTTPRouteHandler, schemas: dict[str, Any]) -> None:
    """What Litestar cannot know of an operation: its body's struct and its scope."""
    for method in handler.http_methods:
        if method.lower() not in path:
            continue
        operation = path[method.lower()]
        operation.pop("deprecated", None)
        for parameter in operation.get("parameters", ()):
            _without_null(parameter["schema"])
        allowed = allow_of(handler)
        if allowed is not None and allowed.scope is not None:
            operation["x-scope"] = allowed.scope.value
            operation["description"] += f"\n\nScope: `{allowed.scope.value}`."
        if allowed is not None and allowed.whose in (Whose.MERCHANT, Whose.EITHER) and allowed.scope is not None:
            operation.setdefault("parameters", []).append(_MERCHANT_PARAMETER)
        if "takes" in handler.opt:
            reference = _take_over(schemas, handler.opt["takes"])
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
        else:
            operation.pop("requestBody", None)


def _without_null(schema: dict[str, Any]) -> None:
    """A parameter that may be left out cannot be null in a URL, whatever Python's type says."""
    kinds = [one for one in schema.get("oneOf", ()) if one != {"type": "null"}]
    if len(kinds) == 1:
        del schema["oneOf"]
        schema.update(kinds[0])


_MERCHANT_PARAMETER = {
    "name": MERCHANT_HEADER,
    "in": "header",
    "required": False,
    "description": "For the operator's keys: which merchant's.",
    "schema": {"type": "string", "pattern": "^mer_[0-9a-z]{26}$"},
}


def _take_over(schemas: dict[str, Any], struct: Any) -> dict[str, Any]:
    """Put msgspec's schemas of a struct, and of all it contains, in the place of Litestar's; a reference to it."""
    [reference], components = _schemas(struct)
    schemas.update(components)
    return dict(reference)


@cache
def _schemas(struct: Any) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    return msgspec.json.schema_components([struct], ref_template=REF)


def _answers(app: Litestar) -> Iterable[Any]:
    """The structs that handlers answer with."""
    for _, handler in handlers_of(app):
        kind = handler.parsed_fn_signature.return_type.annotation
        inner = get_args(kind)
        for one in (kind, *inner):
            if isinstance(one, type) and issubclass(one, Struct) and not getattr(one, "__parameters__", ()):
                yield one


async def _nothing() -> None:
    return None


def _template(path: str) -> str:
    return path.rstrip("/") or "/"
