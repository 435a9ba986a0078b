"""Where a webhook may go: a table of hostile URLs and addresses, and names that change their mind."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from ipaddress import ip_address
from socket import AF_INET, AddressFamily

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from holdfast.payments.guarded_http import (
    AddressForbidden,
    GuardedResolver,
    HostUnknown,
    UrlMalformed,
    UrlNotHttps,
    check_url,
    is_forbidden,
    open_guarded_http,
)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.1",
        "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1",
        "203.0.113.1", "192.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "2002:7f00:1::",
        "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "::8.8.8.8", "fec0::1", "100::1",
    ],
)  # fmt: skip
def test_an_address_that_may_be_somebodys_own_network_is_forbidden(address: str) -> None:
    assert is_forbidden(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111"])
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
        ("https://127.0.0.1/", AddressForbidden),
        ("https://[::1]/", AddressForbidden),
        ("https://[::ffff:169.254.169.254]/latest/meta-data", AddressForbidden),
        ("https://169.254.169.254/latest/meta-data", AddressForbidden),
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


class ChangingNames(GuardedResolver):
    """A resolver whose names answer what the test wants, and something else the next time (DNS rebinding)."""

    def __init__(self, *answers: list[str]) -> None:
        super().__init__(allow_private=False)
        self.answers = list(answers)

    async def look_up(self, host: str, port: int, family: AddressFamily) -> list[str]:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Inside:
    """A server in the private network, which nobody may reach."""

    port: int = 0
    reached: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.reached.append(request.path)
        if request.path == "/away":
            return web.Response(status=302, headers={"Location": "/inside"})
        return web.Response(status=204, headers={"Retry-After": "7"})


@pytest_asyncio.fixture
async def inside() -> AsyncIterator[Inside]:
    server = Inside()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


@pytest.mark.parametrize("answers", [["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["fe80::1"], ["64:ff9b::7f00:1"]])
async def test_a_name_with_any_forbidden_address_is_not_connected_to(inside: Inside, answers: list[str]) -> None:
    async with open_guarded_http(2, resolver=ChangingNames(answers)) as http:
        with pytest.raises(AddressForbidden):
            await http.post(f"https://shop.example:{inside.port}/hook", b"{}", {}, allow_private=False)
    assert inside.reached == []


async def test_the_connection_goes_to_the_address_that_was_judged_and_names_are_judged_each_time() -> None:
    resolver = ChangingNames(["8.8.8.8"], ["127.0.0.1"])
    found = await resolver.resolve("shop.example", 443, AF_INET)
    # What is connected to is the address itself, so a second question cannot change it.
    assert [(one["host"], one["hostname"]) for one in found] == [("8.8.8.8", "shop.example")]
    with pytest.raises(AddressForbidden):
        await resolver.resolve("shop.example", 443, AF_INET)


async def test_a_name_without_an_address_is_named() -> None:
    async with open_guarded_http(2, resolver=ChangingNames([])) as http:
        with pytest.raises(HostUnknown):
            await http.post("https://shop.example/hook", b"{}", {}, allow_private=False)
    with pytest.raises(HostUnknown):
        await GuardedResolver(allow_private=False).resolve("no-such-name.invalid", 443)


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
