"""JSON-RPC over HTTP to a node: batches, time limits, retries, and no belief in what comes back.

Secrets travel in headers only: a URL never carries them, and no error or log line names a URL, because hosted nodes
put keys into theirs. Nothing is parsed into a float: callers name the exact type they expect.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from holdfast.chains.port import NodeAnswerMalformed, NodeRefused, NodeUnreachable
from holdfast.core.errors import BadInput

T = TypeVar("T")
Call = tuple[str, Sequence[object]]
"""A method and its parameters."""

_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_ANSWERS_TOO = frozenset({400, 404, 500})


class NodeCredentialsRefused(NodeUnreachable):
    """A node refuses our credentials. Check `cookie_file`, or the user and the password file, of that node."""

    code = "node-credentials-refused"
    retry = False


class NodeUrlMalformed(BadInput):
    """A node's URL cannot be used. Write `http://host:port/` or `https://…`, without user and password in it."""

    code = "node-url-malformed"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Where the credentials are: a cookie file that the node writes anew at each start, or a user and a password file.

    Files are read when they are needed, not kept: what has changed is found at the next refusal.
    """

    cookie_file: Path | None = None
    user: str | None = None
    password_file: Path | None = None

    def header(self) -> str | None:
        """The `Authorization` header (RFC 7617), None without credentials. Raises `NodeCredentialsRefused`."""
        try:
            if self.cookie_file is not None:
                pair = self.cookie_file.read_text().strip()
            elif self.user is not None and self.password_file is not None:
                pair = f"{self.user}:{self.password_file.read_text().strip()}"
            else:
                return None
        except OSError as error:
            raise NodeCredentialsRefused(f"{error.filename}: {error.strerror}") from error
        return "Basic " + base64.b64encode(pair.encode()).decode()


@dataclass(frozen=True, slots=True)
class Limits:
    """How long and how much is waited for."""

    timeout_seconds: float = 30.0
    attempts_max: int = 5
    """1: never send a request twice (for calls that are not idempotent)."""
    backoff_seconds: float = 0.2
    """Doubled at each attempt."""
    pause_seconds_max: float = 20.0
    """The longest pause, also where `Retry-After` asks for more."""
    answer_bytes_max: int = 96 * 2**20
    connections_max: int = 8


class _Fault(msgspec.Struct):
    code: int
    message: str = ""


class _Reply(msgspec.Struct):
    id: int | None
    result: msgspec.Raw = msgspec.Raw()
    error: _Fault | None = None


@dataclass(frozen=True, slots=True)
class _Again:
    """The node may answer later."""

    why: str
    pause_seconds: float | None = None


class RpcClient:
    """One node's JSON-RPC endpoint. Every request is a read unless `Limits.attempts_max` is 1."""

    def __init__(
        self,
        url: str,
        *,
        name: str = "",
        credentials: Credentials = Credentials(),
        limits: Limits = Limits(),
    ) -> None:
        """`name` stands for the node in errors; the host and port by default. Raises `NodeUrlMalformed`."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
            raise NodeUrlMalformed("the scheme is not http(s), the host is missing, or there are credentials in it")
        self.name = name or parts.netloc
        self._url = url
        self._credentials = credentials
        self._limits = limits
        self._authorization: str | None = None
        self._session: aiohttp.ClientSession | None = None
        self._ids = itertools.count(1)

    async def call(self, shape: type[T], method: str, *params: object) -> T:
        """One call's result, of exactly this shape.

        Raises `NodeUnreachable`, `NodeCredentialsRefused`, `NodeAnswerMalformed`, and `NodeRefused` for the node's
        own error.
        """
        call_id = next(self._ids)
        body = await self._post({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params})
        result = self._result(shape, self._decode(_Reply, body, method), call_id, method)
        if isinstance(result, NodeRefused):
            raise result
        return result

    async def batch(self, shape: type[T], calls: Sequence[Call]) -> list[T | NodeRefused]:
        """The results of these calls in their order, sent as one request; a call that the node refused has its
        refusal in its place, not raised. Otherwise raises as `call` does."""
        if not calls:
            return []
        ids = [next(self._ids) for _ in calls]
        body = await self._post(
            [
                {"jsonrpc": "2.0", "id": i, "method": method, "params": params}
                for i, (method, params) in zip(ids, calls, strict=True)
            ]
        )
        replies = {reply.id: reply for reply in self._decode(list[_Reply], body, "batch")}
        if len(replies) != len(calls):
            raise NodeAnswerMalformed(f"{self.name}: {len(calls)} calls in a batch, {len(replies)} answers")
        return [self._result(shape, replies.get(i), i, method) for i, (method, _) in zip(ids, calls, strict=True)]

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _result(self, shape: type[T], reply: _Reply | None, call_id: int, method: str) -> T | NodeRefused:
        if reply is None or reply.id != call_id:
            raise NodeAnswerMalformed(f"{self.name}: {method}: the answer has the id of another call")
        if reply.error is not None:
            return NodeRefused(f"{self.name}: {method}: {reply.error.message[:200]}", rpc_code=reply.error.code)
        return self._decode(shape, bytes(reply.result), method)

    def _decode(self, shape: type[T], body: bytes, method: str) -> T:
        try:
            return msgspec.json.decode(body, type=shape)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise NodeAnswerMalformed(f"{self.name}: {method}: {str(error)[:200]}") from None

    async def _post(self, message: object) -> bytes:
        """The body of the node's answer, asked for as often as the limits allow."""
        data = msgspec.json.encode(message)
        again = _Again("")
        for attempt in range(self._limits.attempts_max):
            if attempt:
                backoff = self._limits.backoff_seconds * 2 ** (attempt - 1)
                pause = max(backoff, again.pause_seconds or 0)
                await asyncio.sleep(min(pause, self._limits.pause_seconds_max))
            answer = await self._attempt(data)
            if isinstance(answer, bytes):
                return answer
            again = answer
        raise NodeUnreachable(f"{self.name}: {again.why}")

    async def _attempt(self, data: bytes) -> bytes | _Again:
        # Chained causes are cut off everywhere here: aiohttp's messages may contain the URL.
        try:
            status, headers, body = await self._send(data)
            if status == HTTPStatus.UNAUTHORIZED:
                self._authorization = None  # a node that was started again has written a new cookie
                status, headers, body = await self._send(data)
        except TimeoutError:
            return _Again(f"no answer within {self._limits.timeout_seconds:g} s")
        except (aiohttp.ClientError, OSError) as error:
            return _Again(type(error).__name__)
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise NodeCredentialsRefused(f"{self.name}: HTTP {status}")
        return self._judge(status, headers, body)

    def _judge(self, status: int, headers: Mapping[str, str], body: bytes) -> bytes | _Again:
        """Bitcoin-like nodes put their errors into bodies under 400, 404 and 500: those are answers."""
        is_json = body[:1] in {b"{", b"["}
        if status == HTTPStatus.OK or (is_json and status in _ANSWERS_TOO):
            if b"error" in body[:400] and (why := _throttled(body)):
                return _Again(why, _retry_after(headers))
            return body
        if status in _RETRIED:
            return _Again(f"HTTP {status}", _retry_after(headers))
        raise NodeAnswerMalformed(f"{self.name}: HTTP {status}, not a JSON-RPC answer")

    async def _send(self, data: bytes) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._limits.connections_max),
                timeout=aiohttp.ClientTimeout(total=self._limits.timeout_seconds),
                trust_env=False,
            )
        if self._authorization is None:
            self._authorization = self._credentials.header() or ""
        headers = {"Content-Type": "application/json"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        async with self._session.post(self._url, data=data, headers=headers, allow_redirects=False) as response:
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self._limits.answer_bytes_max:
                    raise NodeAnswerMalformed(f"{self.name}: more than {self._limits.answer_bytes_max} bytes")
            return response.status, response.headers, bytes(body)


def _throttled(body: bytes) -> str | None:
    """Why to wait, where a hosted node says under HTTP 200 that it was asked too often."""
    try:
        found = msgspec.json.decode(body, type=_Reply | list[_Reply])
    except msgspec.DecodeError:
        return None
    for reply in found if isinstance(found, list) else [found]:
        fault = reply.error
        if fault is not None and (fault.code == HTTPStatus.TOO_MANY_REQUESTS or "rate limit" in fault.message.lower()):
            return f"asked too often (code {fault.code})"
    return None


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait (RFC 9110 section 10.2.3); a date counts from the answer's own `Date`, so no clock is needed."""
    text = headers.get("Retry-After", "")
    if text.isascii() and text.isdigit():
        return float(text[:6])
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(headers.get("Date", ""))).total_seconds()
    except (ValueError, TypeError):
        return None
