"""Where a webhook may go: a table of hostile URLs and addresses, and names that change their mind."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET, SOCK_STREAM, AddressFamily
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from holdfast.payments import guarded_http
from holdfast.payments.guarded_http import (
    LOOK_UPS_MAX,
    AddressForbidden,
    GuardedResolver,
    HostUnknown,
    LookUpsBusy,
    SystemLookUp,
    UrlMalformed,
    UrlNotHttps,
    check_url,
    guarded_socket,
    is_forbidden,
    open_guarded_http,
)
from holdfast.payments.webhooks import ENDPOINTS_MAX


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "192.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::8.8.8.8", "fec0::1", "100::1",
        # What clouds keep for their own servers: Azure, IBM, Oracle, Alibaba, AWS, Google, Tencent, Scaleway.
        "168.63.129.16", "::ffff:168.63.129.16", "161.26.0.10", "166.9.209.204", "192.0.0.192", "100.100.100.200",
        "169.254.170.2", "fd20:ce::254", "169.254.0.23", "169.254.42.42",
    ],
)  # fmt: skip
def test_an_address_that_may_be_somebodys_own_network_is_forbidden(address: str) -> None:
    assert is_forbidden(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "168.63.129.15",
                                     "166.7.255.255", "166.12.0.0", "2606:4700::1111"])  # fmt: skip
def test_a_plain_public_address_is_not(address: str) -> None:
    assert not is_forbidden(ip_address(address))


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("http://shop.example/hook", UrlNotHttps),
        ("ftp://shop.example/", UrlMalformed),
        ("file:///etc/passwd", UrlMalformed),
        ("gopher://shop.example/", UrlMalformed),
        ("https://", UrlMalformed),
        ("https://user:pass@shop.example/", UrlMalformed),
        ("https://8.8.8.8@127.0.0.1/", UrlMalformed),
        ("https://shop.example/#top", UrlMalformed),
        ("https://shop.example\\@127.0.0.1/", UrlMalformed),
        ("https://shop.example /", UrlMalformed),
        ("https://shop.example/\r\nX: y", UrlMalformed),
        ("https://shop.example:99999/", UrlMalformed),
        ("https://[::1/", UrlMalformed),
        ("https://shöp.example/", UrlMalformed),
        ("https://shop.example/" + "x" * 500, UrlMalformed),
        ("https://2130706433/", UrlMalformed),
        ("https://0x7f000001/", UrlMalformed),
        ("https://0177.0.0.1/", UrlMalformed),
        ("https://127.1/", UrlMalformed),
        ("https://127.0.0.1./", UrlMalformed),
        ("https://127%2e0.0.1/", UrlMalformed),
        ("https://shop..example/", UrlMalformed),
        ("https://" + "a" * 64 + ".example/", UrlMalformed),
        ("https://" + "a." * 127 + "example/", UrlMalformed),
        ("https://127.0.0.1/", AddressForbidden),
        ("https://[::1]/", AddressForbidden),
        ("https://[::ffff:169.254.169.254]/latest/meta-data", AddressForbidden),
        ("https://169.254.169.254/latest/meta-data", AddressForbidden),
        ("https://168.63.129.16/machine/?comp=goalstate", AddressForbidden),
    ],
)
def test_a_hostile_url_is_refused_when_it_is_registered(url: str, refusal: type[Exception]) -> None:
    with pytest.raises(refusal):
        check_url(url, allow_private=False)


def test_an_endpoint_that_may_be_private_may_be_plain_and_local_and_nothing_else() -> None:
    assert check_url("http://10.0.0.7:8080/hook", allow_private=True)
    for url in ("ftp://10.0.0.7/", "http://user@10.0.0.7/"):
        with pytest.raises(UrlMalformed):
            check_url(url, allow_private=True)


class ChangingNames:
    """Answers what the test wants, and something else the next time (DNS rebinding)."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int, family: AddressFamily) -> list[str]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Inside:
    """A server in the private network, which nobody may reach; `secure_port` speaks TLS as `shop.example`."""

    trusting: ssl.SSLContext
    port: int = 0
    secure_port: int = 0
    reached: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.reached.append(request.path)
        self.hosts.append(request.host)
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "http://169.254.169.254/latest/meta-data"})
        if request.path == "/flood":
            return await self.flood(request)
        return web.Response(status=204, headers={"Retry-After": "7"})

    async def flood(self, request: web.Request) -> web.StreamResponse:
        """A body without an end."""
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"x" * 65_536)
        return response


@pytest_asyncio.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    certificate = certificate_of("shop.example", tmp_path)
    server = Inside(ssl.create_default_context(cafile=certificate))
    serving = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    serving.load_cert_chain(certificate)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving).start()
    server.port, server.secure_port = (address[1] for address in runner.addresses)
    yield server
    await runner.cleanup()


def certificate_of(name: str, directory: Path) -> Path:
    """A file with a key and its self-signed certificate for a name."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, SHA256())
    )
    path = directory / "server.pem"
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(Encoding.PEM))
    return path


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1"], ["64:ff9b::7f00:1"]])
async def test_a_name_with_any_forbidden_address_is_not_connected_to(inside: Inside, answers: list[str]) -> None:
    async with open_guarded_http(2, look_up=ChangingNames(answers)) as http:
        with pytest.raises(AddressForbidden):
            await http.post(f"https://shop.example:{inside.port}/hook", b"{}", {}, allow_private=False)
    assert inside.reached == []


async def test_a_name_that_changes_after_it_was_judged_changes_nothing(inside: Inside) -> None:
    """Only the first answer leads to the server: a second question before connecting would fail the attempt."""
    names = ChangingNames(["127.0.0.1"], ["203.0.113.1"])
    async with open_guarded_http(2, inside.trusting, names) as http:
        url = f"https://shop.example:{inside.secure_port}/hook"
        assert await http.post(url, b"{}", {}, allow_private=True) == (204, "7")
    # The certificate is checked for the name, not for the address, and the shop sees its own name.
    assert (names.asked, inside.hosts) == (["shop.example"], [f"shop.example:{inside.secure_port}"])


async def test_a_name_is_judged_at_each_attempt(inside: Inside) -> None:
    names = ChangingNames(["2001:db8::1"], ["127.0.0.1"], ["10.0.0.1"])
    async with open_guarded_http(2, inside.trusting, names) as http:
        for _ in range(3):
            with pytest.raises(AddressForbidden):
                await http.post(f"https://shop.example:{inside.secure_port}/", b"{}", {}, allow_private=False)
    assert (len(names.asked), inside.reached) == (3, [])


async def test_names_are_asked_for_at_each_attempt_and_never_remembered(inside: Inside) -> None:
    names = ChangingNames(["127.0.0.1"])
    async with open_guarded_http(2, look_up=names) as http:
        for _ in range(3):
            assert await http.post(f"http://shop.example:{inside.port}/", b"", {}, allow_private=True) == (204, "7")
    assert len(names.asked) == 3


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["2606:4700::1111", "::ffff:7f00:1"]])
async def test_the_resolver_hands_out_no_address_of_a_name_that_has_a_forbidden_one(answers: list[str]) -> None:
    with pytest.raises(AddressForbidden):
        await GuardedResolver(ChangingNames(answers), allow_private=False).resolve("shop.example", 443)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1", "2130706433", "169.254.169.254", "shop.example"])
def test_no_socket_is_made_for_an_address_that_was_not_judged(address: str) -> None:
    with pytest.raises(AddressForbidden):
        guarded_socket((AF_INET, SOCK_STREAM, 0, "", (address, 443)))


async def test_a_connection_to_a_literal_address_is_judged_where_it_is_made(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Literal addresses never meet the resolver: the socket is the last guard, whatever became of the others."""
    monkeypatch.setattr(guarded_http, "check_url", lambda url, **_: url)
    async with open_guarded_http(2) as http:
        with pytest.raises(AddressForbidden):
            await http.post(f"https://127.0.0.1:{inside.port}/", b"{}", {}, allow_private=False)
    assert inside.reached == []


async def test_a_body_without_an_end_is_not_read(inside: Inside) -> None:
    async with open_guarded_http(5) as http:
        status, _ = await http.post(f"http://127.0.0.1:{inside.port}/flood", b"{}", {}, allow_private=True)
    assert status == 200


async def test_a_name_without_an_address_is_named() -> None:
    async with open_guarded_http(2, look_up=ChangingNames([])) as http:
        with pytest.raises(HostUnknown):
            await http.post("https://shop.example/hook", b"{}", {}, allow_private=False)
    for name in ("no-such-name.invalid", "label..empty"):
        with pytest.raises(HostUnknown):
            await SystemLookUp()(name, 443, AF_INET)


class SilentServers:
    """Stands where the system's resolver is asked: names below `silent.example` have no answer until they are let go.

    (Real servers that never answer would need a resolver configuration of our own, which is the machine's.)
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()
        self._really = socket.getaddrinfo
        monkeypatch.setattr(socket, "getaddrinfo", self._get)

    def _get(self, host: str, *args: Any, **kwargs: Any) -> Any:
        if not host.endswith(".silent.example"):
            return self._really(host, *args, **kwargs)
        self.asked.append(host)
        self.let_go.wait()
        return self._really("127.0.0.1", *args, **kwargs)


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[SilentServers]:
    servers = SilentServers(monkeypatch)
    yield servers
    servers.let_go.set()


@asynccontextmanager
async def waiting(*questions: Coroutine[Any, Any, object]) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Questions that are being asked, each in a task; no more of them than the block lasts."""
    tasks = [asyncio.create_task(question) for question in questions]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_names_whose_servers_never_answer_keep_no_other_from_being_looked_up(
    inside: Inside, silent: SilentServers
) -> None:
    async with open_guarded_http(10) as http:

        def post(host: str) -> Coroutine[Any, Any, tuple[int, str]]:
            return http.post(f"http://{host}:{inside.port}/", b"", {}, allow_private=True)

        async with waiting(*(post(f"shop{n}.silent.example") for n in range(2 * ENDPOINTS_MAX))):
            async with asyncio.timeout(10):
                while len(silent.asked) < 2 * ENDPOINTS_MAX:  # noqa: ASYNC110  threads make it true
                    await asyncio.sleep(0.01)
            assert await post("localhost") == (204, "7")


async def test_a_name_has_one_thread_however_often_it_is_asked_for(silent: SilentServers) -> None:
    look_up = SystemLookUp()
    for _ in range(3):
        async with waiting(look_up("a.silent.example", 443, AF_INET)):
            pass  # it is given up, as by an attempt that took too long
    async with waiting(*(look_up("a.silent.example", 443, AF_INET) for _ in range(3))) as asking:
        silent.let_go.set()
        assert await asyncio.gather(*asking) == [["127.0.0.1"]] * 3
    assert len(silent.asked) == 1
    assert await look_up("a.silent.example", 443, AF_INET) == ["127.0.0.1"]
    assert len(silent.asked) == 2  # an answer is not remembered


async def test_all_names_together_have_a_bounded_number_of_threads(silent: SilentServers) -> None:
    look_up = SystemLookUp(most=2)
    async with waiting(*(look_up(f"{name}.silent.example", 443, AF_INET) for name in "aab")) as asking:
        with pytest.raises(LookUpsBusy):
            await look_up("localhost", 443, AF_INET)
        silent.let_go.set()
        await asyncio.gather(*asking)
    assert await look_up("localhost", 443, AF_INET) == ["127.0.0.1"]


def test_the_names_of_one_merchant_are_few_among_all() -> None:
    assert ENDPOINTS_MAX * 8 <= LOOK_UPS_MAX


async def test_a_system_that_gives_no_thread_is_busy_and_no_name_is_lost_by_it() -> None:
    look_up = SystemLookUp()
    before = threading.stack_size(2**46)  # more than there is
    try:
        with pytest.raises(LookUpsBusy):
            await look_up("localhost", 443, AF_INET)
    finally:
        threading.stack_size(before)
    assert await look_up("localhost", 443, AF_INET) == ["127.0.0.1"]


async def test_a_redirect_is_an_answer_and_is_not_followed(inside: Inside) -> None:
    async with open_guarded_http(2) as http:
        status, _ = await http.post(f"http://127.0.0.1:{inside.port}/away", b"{}", {}, allow_private=True)
    assert (status, inside.reached) == (302, ["/away"])


async def test_an_endpoint_that_may_be_private_is_reached(inside: Inside) -> None:
    async with open_guarded_http(2) as http:
        told = await http.post(f"http://localhost:{inside.port}/hook", b"{}", {"webhook-id": "x"}, allow_private=True)
    assert told == (204, "7")


async def test_a_certificate_that_nobody_knows_is_not_believed(inside: Inside) -> None:
    async with open_guarded_http(2) as http:
        with pytest.raises(aiohttp.ClientError):
            await http.post(f"https://localhost:{inside.port}/hook", b"{}", {}, allow_private=True)
    assert inside.reached == []


async def test_proxies_of_the_environment_are_not_used(inside: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with open_guarded_http(2) as http:
        assert await http.post(f"http://127.0.0.1:{inside.port}/", b"", {}, allow_private=True) == (204, "7")
