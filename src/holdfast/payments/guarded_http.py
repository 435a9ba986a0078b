"""HTTP to addresses that merchants choose, without lending them our place in the network (SSRF).

A host name is resolved here, every address it has is judged, and the connection goes to those very addresses: a name
that answers differently a moment later changes nothing. The address is judged again where the socket is made, so that
no spelling of a host leads past the resolver. Redirects are not followed, nor proxies used.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Future
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from socket import AF_INET6, AF_UNSPEC, SOCK_STREAM, AddressFamily
from typing import TypeAlias
from urllib.parse import urlsplit

import aiohttp
from aiohttp import AddrInfoType, SocketFactoryType
from aiohttp.abc import AbstractResolver, ResolveResult

from holdfast.core.errors import BadInput, NotPermitted, Unavailable

URL_LENGTH_MAX = 500
# Addresses that stand for another one, which is not looked at: none of them is a place for a shop's server.
TRANSLATED = tuple(
    ip_network(text) for text in ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16")
)
SITE_LOCAL = ip_network("fec0::/10")
# What looks public and leads to a cloud's own servers from inside it. (Those of other clouds are not global.)
CLOUD_INTERNAL = tuple(
    ip_network(text)
    for text in (
        "168.63.129.16/32",  # Azure: the platform's agent, with what its machines may know
        "161.26.0.0/16",  # IBM Cloud: infrastructure services
        "166.8.0.0/14",  # IBM Cloud: private endpoints of its services
        "192.0.0.0/24",  # Oracle: 192.0.0.192; IETF assignments (RFC 6890), of which Python 3.11 knows but a few
    )
)
# The last label is no number, nor `0x…`: other programs would read such a name as an IPv4 address (WHATWG URL).
NAME = re.compile(
    r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?!0x|[0-9]+\.?$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?"
)
NAME_LENGTH_MAX = 253
LOOK_UPS_MAX = 256
"""Most names looked up at the same time; a merchant's endpoints have an eighth of that at most."""

LookUp: TypeAlias = Callable[[str, int, AddressFamily], Awaitable[list[str]]]
"""The addresses that a name has. Raises `HostUnknown`, `LookUpsBusy`."""


class UrlMalformed(BadInput):
    """The URL cannot be one of a webhook endpoint. Write `https://host/path`, without user, password or fragment."""

    code = "url-malformed"


class UrlNotHttps(BadInput):
    """The URL is not `https`, so anybody on the way could read and forge. Use `https`."""

    code = "url-not-https"


class AddressForbidden(NotPermitted):
    """The host lies in a private, local or reserved network. Use a public address, or have the operator allow it."""

    code = "address-forbidden"


class HostUnknown(Unavailable):
    """The host name has no address. Check its spelling and its DNS."""

    code = "host-unknown"


class LookUpsBusy(Unavailable):
    """Too many names wait for name servers that do not answer. Disable endpoints that never answer."""

    code = "look-ups-busy"


def check_url(url: str, *, allow_private: bool) -> str:
    """The URL, if it may be an endpoint's. Names are judged when they are connected to, addresses at once.

    Raises `UrlMalformed`, `UrlNotHttps`, `AddressForbidden`.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise UrlMalformed(url[:120]) from None
    is_plain = url.isascii() and url.isprintable() and " " not in url and "\\" not in url and "#" not in url
    if not host or len(url) > URL_LENGTH_MAX or not is_plain or "@" in parts.netloc:
        raise UrlMalformed(url[:120])
    if parts.scheme != "https" and not (allow_private and parts.scheme == "http"):
        raise UrlNotHttps(url[:120]) if parts.scheme == "http" else UrlMalformed(url[:120])
    address = _literal(host)
    if address is None and (len(host) > NAME_LENGTH_MAX or not NAME.fullmatch(host)):
        raise UrlMalformed(f"{host[:120]} is neither a name nor an address as they are written")
    if address is not None and not allow_private and is_forbidden(address):
        raise AddressForbidden(host)
    return url


def is_forbidden(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address may lead into somebody's own network: anything but plain, global unicast."""
    if isinstance(address, IPv6Address) and (
        any(address in network for network in TRANSLATED) or address in SITE_LOCAL or address.scope_id
    ):
        return True
    if any(address in network for network in CLOUD_INTERNAL):
        return True
    return not address.is_global or address.is_multicast or address.is_reserved or address.is_unspecified


class SystemLookUp:
    """Asks the system's resolver, each time anew, in a thread for each name.

    A name whose servers never answer holds its thread for longer than an attempt may take, and asyncio's own threads
    are few: some dead names would keep all others from being looked up, and the process from ending. So a name has one
    thread, however often it is asked for meanwhile, and all have `most` together.
    """

    def __init__(self, most: int = LOOK_UPS_MAX) -> None:
        self._most = most
        self._asked: dict[tuple[str, int, AddressFamily], Future[list[str]]] = {}

    async def __call__(self, host: str, port: int, family: AddressFamily) -> list[str]:
        """The addresses of a name. Raises `HostUnknown`, `LookUpsBusy`."""
        key = (host, port, family)
        answer = self._asked.get(key)
        if answer is None:
            if len(self._asked) >= self._most:
                raise LookUpsBusy(f"{len(self._asked)} names")
            answer = self._asked[key] = Future()
            answer.set_running_or_notify_cancel()  # whoever waits may go away; the thread may still answer
            answer.add_done_callback(lambda _: self._asked.pop(key))  # before those who wait hear of it
            try:
                threading.Thread(target=_ask, args=(answer, *key), daemon=True).start()
            except RuntimeError as error:
                answer.set_exception(LookUpsBusy(str(error)))
        return await asyncio.wrap_future(answer)


def _ask(answer: Future[list[str]], host: str, port: int, family: AddressFamily) -> None:
    try:
        infos = socket.getaddrinfo(host, port, type=SOCK_STREAM, family=family)
    except (OSError, ValueError) as error:
        answer.set_exception(HostUnknown(f"{host[:120]}: {error}"))
    else:
        answer.set_result(list(dict.fromkeys(str(info[4][0]) for info in infos)))


class GuardedResolver(AbstractResolver):
    """Resolves a name and refuses it when any of its addresses is forbidden."""

    def __init__(self, look_up: LookUp, *, allow_private: bool) -> None:
        self._look_up = look_up
        self._allow_private = allow_private

    async def resolve(self, host: str, port: int = 0, family: AddressFamily = AF_UNSPEC) -> list[ResolveResult]:
        """The addresses of a name, all judged. Raises `AddressForbidden`, `HostUnknown`, `LookUpsBusy`."""
        found = await self._look_up(host, port, family)
        if not found:
            raise HostUnknown(host)
        if not self._allow_private:
            for address in found:
                if is_forbidden(ip_address(address)):
                    raise AddressForbidden(f"{host} is {address}")
        return [_result(host, address, port) for address in found]

    async def close(self) -> None:
        """Nothing is kept open."""


def guarded_socket(info: AddrInfoType) -> socket.socket:
    """A socket for an address that may be connected to. Raises `AddressForbidden`."""
    family, kind, protocol, _, target = info
    address = _literal(str(target[0]))
    if address is None or is_forbidden(address):
        raise AddressForbidden(str(target[0]))
    return socket.socket(family, kind, protocol)


class GuardedHttp:
    """Posts to endpoints: one pool of connections for public addresses, another for endpoints that may be private."""

    def __init__(self, public: aiohttp.ClientSession, private: aiohttp.ClientSession) -> None:
        self._public = public
        self._private = private

    async def post(self, url: str, body: bytes, headers: dict[str, str], *, allow_private: bool) -> tuple[int, str]:
        """Status and `Retry-After` of the answer; its body is not read.

        Raises `UrlMalformed`, `UrlNotHttps`, `AddressForbidden`, `HostUnknown`, `LookUpsBusy`,
        `aiohttp.ClientError`, `TimeoutError`.
        """
        check_url(url, allow_private=allow_private)
        session = self._private if allow_private else self._public
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as response:
            return response.status, response.headers.get("Retry-After", "")


@asynccontextmanager
async def open_guarded_http(
    timeout_seconds: float, context: ssl.SSLContext | None = None, look_up: LookUp | None = None
) -> AsyncIterator[GuardedHttp]:
    """Sessions for deliveries. `context`: whom TLS trusts, `look_up`: who knows the names (the system)."""
    look_up = look_up or SystemLookUp()
    async with (
        _session(timeout_seconds, context, GuardedResolver(look_up, allow_private=False), guarded_socket) as public,
        _session(timeout_seconds, context, GuardedResolver(look_up, allow_private=True), None) as private,
    ):
        yield GuardedHttp(public, private)


def _session(
    timeout_seconds: float,
    context: ssl.SSLContext | None,
    resolver: AbstractResolver,
    make_socket: SocketFactoryType | None,
) -> aiohttp.ClientSession:
    # No cache of names: each connection judges anew. One connection a request: a shop cannot hold ours open.
    connector = aiohttp.TCPConnector(
        resolver=resolver,
        use_dns_cache=False,
        force_close=True,
        limit=0,
        ssl=context if context is not None else True,
        socket_factory=make_socket,
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
    )


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = AF_INET6 if ":" in address else AddressFamily.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
