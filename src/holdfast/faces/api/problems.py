"""Every error as an RFC 9457 problem: what happened, what to do, and whether the same request may succeed later.

Nothing of our insides is shown: what is not expected is logged with its request id and answered with that id alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.openapi.datastructures import ResponseSpec
from msgspec import Meta, Struct
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from holdfast.core.errors import BadInput, Conflict, HoldfastError, NotFound, NotPermitted, Unavailable
from holdfast.runtime.database import DatabaseUnreachable
from holdfast.runtime.logs import request_id

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger()


class RequestMalformed(BadInput):
    """The request does not have the shape that this route takes. Correct what the faults name; `/docs` shows it."""

    code = "request-malformed"


class RouteUnknown(NotFound):
    """There is nothing at this path. See `/docs` for every path there is."""

    code = "route-unknown"


class MethodNotAllowed(BadInput):
    """This path does not take this method. Use one that the `Allow` header lists."""

    code = "method-not-allowed"


class BodyTooLarge(BadInput):
    """The request's body is larger than this server takes. Send less at once."""

    code = "body-too-large"


class MediaTypeUnsupported(BadInput):
    """The request's body is not of a type that is read here. Send `Content-Type: application/json`."""

    code = "media-type-unsupported"


class ApiKeyMissing(NotPermitted):
    """The request carries no API key. Send `Authorization: Bearer hf_…`."""

    code = "api-key-missing"


class RateLimited(Unavailable):
    """Too many requests came from this key or address. Wait as long as `Retry-After` says."""

    code = "rate-limited"


class ServerFault(Unavailable):
    """The server failed in a way that it does not know. Try again; if it stays, give the operator the request id."""

    code = "server-fault"


class Fault(Struct, frozen=True):
    """One thing that is wrong with a request."""

    where: Annotated[str, Meta(description="Path of the field in the body, or name of the parameter.")]
    message: str


class Problem(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem. `code` is stable; the texts are for people."""

    type: Annotated[str, Meta(description="Stable relative URL of the error's description.")]
    title: Annotated[str, Meta(description="What happened.")]
    status: int
    code: Annotated[str, Meta(description="Stable name of the error.")]
    retry: Annotated[bool, Meta(description="Whether the same request may succeed later, unchanged.")]
    remedy: Annotated[str, Meta(description="What to do about it.")]
    request_id: Annotated[str, Meta(description="Names this request in the operator's logs.")] = ""
    detail: Annotated[str, Meta(description="What exactly, this time.")] = ""
    faults: Annotated[list[Fault], Meta(description="Every field that is wrong.")] = []


_STATUS_OF_CODE: dict[str, HTTPStatus] = {
    "api-key-missing": HTTPStatus.UNAUTHORIZED,
    "api-key-invalid": HTTPStatus.UNAUTHORIZED,
    MethodNotAllowed.code: HTTPStatus.METHOD_NOT_ALLOWED,
    BodyTooLarge.code: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    MediaTypeUnsupported.code: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    RateLimited.code: HTTPStatus.TOO_MANY_REQUESTS,
    ServerFault.code: HTTPStatus.INTERNAL_SERVER_ERROR,
}
_STATUS_OF_KIND: tuple[tuple[type[HoldfastError], HTTPStatus], ...] = (
    (BadInput, HTTPStatus.BAD_REQUEST),
    (NotFound, HTTPStatus.NOT_FOUND),
    (NotPermitted, HTTPStatus.FORBIDDEN),
    (Conflict, HTTPStatus.CONFLICT),
    (Unavailable, HTTPStatus.SERVICE_UNAVAILABLE),
)


def status_of(error: HoldfastError | type[HoldfastError]) -> HTTPStatus:
    """The HTTP status that an error is answered with."""
    if error.code in _STATUS_OF_CODE:
        return _STATUS_OF_CODE[error.code]
    kind = error if isinstance(error, type) else type(error)
    return next((status for base, status in _STATUS_OF_KIND if issubclass(kind, base)), HTTPStatus.BAD_REQUEST)


def problem_of(error: HoldfastError, faults: Sequence[Fault] = ()) -> Problem:
    """The problem document of an error."""
    facts = " ".join(f"{name}={value}" for name, value in error.facts.items())
    return Problem(
        type=f"/errors#{error.code}",
        title=error.title(),
        status=status_of(error),
        code=error.code,
        retry=error.retry,
        remedy=error.remedy(),
        request_id=request_id() or "",
        detail=" ".join(part for part in (error.detail, facts) if part),
        faults=list(faults),
    )


def response_to(
    error: HoldfastError, faults: Sequence[Fault] = (), headers: dict[str, str] | None = None
) -> Response[bytes]:
    """The whole answer to an error."""
    status = status_of(error)
    sent = dict(headers or {})
    if status == HTTPStatus.UNAUTHORIZED:
        sent["WWW-Authenticate"] = "Bearer"
    if status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
        sent["Retry-After"] = str(error.facts.get("retry_after_seconds", 1))
    return Response(
        content=msgspec.json.encode(problem_of(error, faults)), status_code=status, media_type=MEDIA_TYPE, headers=sent
    )


def on_expected(_request: Request[Any, Any, Any], error: HoldfastError) -> Response[bytes]:
    """Answer to an error of ours."""
    return response_to(error)


def on_framework(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    """Answer to what the framework refused, in our own words."""
    allowed = {name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"}
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return response_to(RouteUnknown(request.url.path[:120]))
        case HTTPStatus.METHOD_NOT_ALLOWED:
            return response_to(MethodNotAllowed(request.method), headers=allowed)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return response_to(BodyTooLarge())
        case HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
            return response_to(MediaTypeUnsupported())
        case status if status < HTTPStatus.INTERNAL_SERVER_ERROR:
            faults = _faults(error.extra)
            return response_to(RequestMalformed("" if faults else error.detail[:300]), faults)
    return on_unexpected(request, error)


def on_database(_request: Request[Any, Any, Any], error: OperationalError | PoolTimeout) -> Response[bytes]:
    """Answer while PostgreSQL does not: what it said stays in the log."""
    log.error("database_failed", error=str(error).splitlines()[:1])
    return response_to(DatabaseUnreachable())


def on_unexpected(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Answer to a mistake of ours: logged in full, shown as its request id."""
    log.error("request_failed", method=request.method, path=request.url.path[:200], exc_info=error)
    return response_to(ServerFault())


def _faults(extra: object) -> list[Fault]:
    if not isinstance(extra, list):
        return []
    return [
        Fault(where=str(one.get("key", one.get("source", "body"))), message=str(one.get("message", ""))[:300])
        for one in extra
        if isinstance(one, dict)
    ]


def refuses(*errors: type[HoldfastError]) -> dict[int, ResponseSpec]:
    """For a route's documentation: every error that it may answer with, by status."""
    always: tuple[type[HoldfastError], ...] = (RequestMalformed, RateLimited, ServerFault, DatabaseUnreachable)
    found: dict[int, list[str]] = {}
    for error in (*errors, *always):
        found.setdefault(int(status_of(error)), []).append(f"`{error.code}`: {error.title()} {error.remedy()}")
    return {
        status: ResponseSpec(
            Problem, generate_examples=False, media_type=MEDIA_TYPE, description="\n\n".join(dict.fromkeys(texts))
        )
        for status, texts in sorted(found.items())
    }
