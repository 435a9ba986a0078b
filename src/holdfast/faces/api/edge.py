"""The outermost layer: what every request meets first and every answer passes last.

Request id, limits of the body and its type, security and rate-limit header fields, figures. It knows no route.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

import msgspec
import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, LifeSpanScope, Message, Receive, Scope, Send
from litestar.types.asgi_types import HTTPReceiveMessage, WebSocketReceiveMessage

from holdfast.core.errors import HoldfastError
from holdfast.faces.api.callers import rate_headers
from holdfast.faces.api.problems import MEDIA_TYPE, BodyTooLarge, MediaTypeUnsupported, problem_of, status_of
from holdfast.faces.api.rate_limits import RateLimit
from holdfast.runtime import metrics
from holdfast.runtime.clock import Clock
from holdfast.runtime.logs import bound_request

BODY_BYTES_MAX = 256 * 1024
"""Certificates with many ranges are the largest thing that anybody sends."""
JOURNAL_PATH = "/signer/v1/journal"
JOURNAL_BYTES_MAX = 64_000_000
"""What the signer may hand over at once: a mass payout's entries, a journal after a long silence."""
WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
API_POLICY = b"default-src 'none'; frame-ancestors 'none'"
PAGE_POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    b"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# What a checkout page is shown beside: nothing, nowhere, and it tells nobody where the payer came from.
SECURITY = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=()"),
]
HSTS = (b"strict-transport-security", b"max-age=31536000")

log = structlog.get_logger()


@dataclass(slots=True)
class Edge:
    """Wraps the application."""

    app: ASGIApp
    clock: Clock
    limit: RateLimit
    is_https: bool

    async def __call__(self, scope: Scope | LifeSpanScope, receive: Receive, send: Send) -> None:
        """One request; or the process's start and stop, which pass through."""
        if scope["type"] == ScopeType.HTTP:
            await self._request(cast(HTTPScope, scope), receive, send)
        else:
            await self.app(scope, receive, send)  # type: ignore[arg-type]  # ASGIApp leaves the lifespan's scope out

    async def _request(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        given = {name: value for name, value in scope["headers"] if name in _READ}
        wanted = given.get(b"x-request-id", b"").decode("latin-1")
        with bound_request(wanted, secrets.token_hex(12)) as request_id:
            started = self.clock.monotonic()
            scope["state"] = {}
            out = _Out(self, scope, send, request_id.encode())
            refused = _refused(scope, given)
            if refused is None:
                await self.app(scope, _counted(receive, scope), out)
            else:
                await out.refuse(refused)
            seconds = self.clock.monotonic() - started
            self._count(scope, out.status, seconds)
            _tell(scope, out.status, seconds)

    def _count(self, scope: HTTPScope, status: int, seconds: float) -> None:
        route = scope.get("path_template") or "unknown"
        metrics.HTTP_REQUESTS.labels(scope["method"] if scope["method"] in _METHODS else "OTHER", route, status).inc()
        metrics.HTTP_SECONDS.labels(route).observe(seconds)


def _tell(scope: HTTPScope, status: int, seconds: float) -> None:
    """One line for each request that could change something or was refused; the others where debug lines are wanted."""
    matters = scope["method"] in WITH_BODY or scope["method"] == "DELETE" or status >= HTTPStatus.BAD_REQUEST
    write = log.info if matters else log.debug
    route = scope.get("path_template") or "unknown"
    write("request", method=scope["method"], route=route, status=status, milliseconds=round(seconds * 1000, 1))


_READ = frozenset({b"x-request-id", b"content-length", b"content-type"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(slots=True)
class _Out:
    """Sends an answer, with the header fields that every answer has."""

    edge: Edge
    scope: HTTPScope
    send: Send
    request_id: bytes
    status: int = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self.request_id), *SECURITY]
            names = {name.lower() for name, _ in headers}
            if b"cache-control" not in names:
                headers.append((b"cache-control", b"no-store"))
            if b"content-security-policy" not in names:
                headers.append((b"content-security-policy", API_POLICY))
            if self.edge.is_https:
                headers.append(HSTS)
            verdict = self.scope["state"].get("rate_limit")
            if verdict is not None:
                headers += rate_headers(self.edge.limit, verdict)
            message["headers"] = headers
        await self.send(message)

    async def refuse(self, error: HoldfastError) -> None:
        """Answer with an error, without asking the application."""
        body = msgspec.json.encode(problem_of(error))
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        ]
        await self({"type": "http.response.start", "status": int(status_of(error)), "headers": headers})
        await self({"type": "http.response.body", "body": body, "more_body": False})


def _refused(scope: HTTPScope, given: dict[bytes, bytes]) -> HoldfastError | None:
    """What is wrong with a request before anybody reads its body."""
    length = given.get(b"content-length", b"0")
    bytes_max = body_bytes_max(scope["path"])
    if not length.isdigit() or int(length) > bytes_max:
        return BodyTooLarge(f"at most {bytes_max} bytes")
    kind = given.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if scope["path"].startswith("/v1/") and scope["method"] in WITH_BODY and kind not in _JSON_OR_NONE:
        return MediaTypeUnsupported(kind.decode("latin-1")[:80])
    return None


def body_bytes_max(path: str) -> int:
    """The largest body that a path takes. The journal's is read only after the signer has shown its token."""
    return JOURNAL_BYTES_MAX if path == JOURNAL_PATH else BODY_BYTES_MAX


_JSON_OR_NONE = frozenset({b"application/json", b""})


def _counted(receive: Receive, scope: HTTPScope) -> Receive:
    """Let no more than the limit be read, also where no length was announced."""
    if not any(name == b"transfer-encoding" for name, _ in scope["headers"]):
        return receive
    read, bytes_max = 0, body_bytes_max(scope["path"])

    async def counted() -> HTTPReceiveMessage | WebSocketReceiveMessage:
        nonlocal read
        message = await receive()
        if message["type"] == "http.request":
            read += len(message.get("body", b""))
            if read > bytes_max:
                raise BodyTooLarge(f"at most {bytes_max} bytes")
        return message

    return counted
