"""`/openapi.json`, `/docs` and `/errors`: the API explained, made once from the code. No CDN and no script."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Response, Router, get

from holdfast.core.errors import HoldfastError
from holdfast.faces.api.callers import open_to_all
from holdfast.faces.api.openapi import document
from holdfast.faces.api.problems import status_of
from holdfast.faces.web.rendering import page
from holdfast.runtime.settings import Settings

METHODS = ("get", "post", "put", "delete")
OPENAPI_TYPE = "application/vnd.oai.openapi+json;version=3.1"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation as the page shows it."""

    anchor: str
    method: str
    path: str
    summary: str
    description: Sequence[str]
    scope: str
    parameters: Sequence[dict[str, Any]]
    body: str
    answer: str
    status: str
    errors: Sequence[tuple[str, Sequence[str]]]


def documents(settings: Settings, routers: tuple[Router, ...]) -> Router:
    """The three routes."""
    made = document(routers, settings.api.public_url.rstrip("/"))
    encoded = msgspec.json.encode(made)
    values = {
        "info": made["info"],
        "groups": _groups(made),
        "schemas": _schemas(made),
        "public_url": settings.api.public_url,
    }
    errors = {"errors": _errors()}

    @get("/openapi.json", guards=[open_to_all()])
    async def openapi_json() -> Response[bytes]:
        """The OpenAPI 3.1 document."""
        return Response(encoded, media_type=OPENAPI_TYPE)

    @get("/docs", guards=[open_to_all()])
    async def docs() -> Response[str]:
        """A page to browse it."""
        return page("docs.html", values, style="docs.css")

    @get("/errors", guards=[open_to_all()])
    async def errors_page() -> Response[str]:
        """What every error means: where a problem's `type` leads."""
        return page("errors.html", errors, style="docs.css")

    return Router("/", route_handlers=[openapi_json, docs, errors_page], include_in_schema=False)


def _groups(made: dict[str, Any]) -> dict[str, list[Operation]]:
    groups: dict[str, list[Operation]] = {}
    for path, item in made["paths"].items():
        for method in METHODS:
            if method in item:
                groups.setdefault(item[method]["tags"][0], []).append(_operation(path, method, item[method]))
    return groups


def _operation(path: str, method: str, found: dict[str, Any]) -> Operation:
    content: dict[str, Any] = found.get("requestBody", {}).get("content", {})
    body = content.get("application/json", {}).get("schema", {})
    status, answer = next((code, one) for code, one in found["responses"].items() if code.startswith("2"))
    contents: list[dict[str, Any]] = list(answer.get("content", {}).values())
    schema = contents[0]["schema"] if contents else {}
    return Operation(
        anchor=found["operationId"],
        method=method.upper(),
        path=path,
        summary=found["summary"],
        description=found.get("description", "").split("\n\nScope:")[0].split("\n\n"),
        scope=found.get("x-scope", ""),
        parameters=found.get("parameters", []),
        body=_name(body),
        answer=_name(schema),
        status=status,
        errors=[
            (code, one["description"].split("\n\n")) for code, one in found["responses"].items() if code[0] in "45"
        ],
    )


def _name(schema: dict[str, Any]) -> str:
    return str(schema.get("$ref", "")).rpartition("/")[2]


def _schemas(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each schema with its fields in words."""
    shown = {}
    for name, schema in sorted(made["components"]["schemas"].items()):
        required = set(schema.get("required", ()))
        fields = [
            {"name": field, "kind": kind_of(one), "required": field in required, "text": one.get("description", "")}
            for field, one in schema.get("properties", {}).items()
        ]
        shown[name] = {"text": schema.get("description", ""), "fields": fields, "values": schema.get("enum", [])}
    return shown


def kind_of(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        return _name(schema)
    for union in ("anyOf", "oneOf"):
        if union in schema:
            return " or ".join(dict.fromkeys(kind_of(one) for one in schema[union]))
    kind = str(schema.get("type", "any"))
    if kind == "array":
        return f"list of {kind_of(schema.get('items', {}))}"
    return f"{kind} ({', '.join(_limits(schema))})" if any(_limits(schema)) else kind


_LIMIT_WORDS = {"format": "", "minLength": "at least", "maxLength": "at most", "minimum": "from", "maximum": "to"}


def _limits(schema: dict[str, Any]) -> Iterator[str]:
    for name, words in _LIMIT_WORDS.items():
        if name in schema:
            yield f"{words} {schema[name]}".strip()


def _errors() -> list[dict[str, object]]:
    """Every error that this process knows, by code."""
    known = {error.code: error for error in _below(HoldfastError)}
    return [
        {
            "code": code,
            "status": int(status_of(error)),
            "title": error.title(),
            "remedy": error.remedy(),
            "retry": error.retry,
        }
        for code, error in sorted(known.items())
    ]


def _below(error: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
    yield error
    for one in error.__subclasses__():
        yield from _below(one)
