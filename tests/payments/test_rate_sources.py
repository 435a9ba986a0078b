"""Each public source, asked over HTTP. There is no internet here: a local server answers in the published shapes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import pytest_asyncio
from aiohttp import web

from holdfast.payments.rate_sources import ADAPTERS, ANSWER_BYTES_MAX, RateSourceUnknown, open_sources
from holdfast.payments.rates import MedianRates, RateRules, RateSourceFailed, parse_price
from holdfast.runtime.clock import SystemClock

ANSWERS = {
    "kraken": '{"error":[],"result":{"XLTCZEUR":{"a":["85.40000","1","1.000"],"c":["85.31000","0.5"]}}}',
    "coinbase": '{"data":{"amount":"85.31","base":"LTC","currency":"EUR"}}',
    "bitstamp": '{"timestamp":"1763726400","open":"84.00","last":"85.31","bid":"85.30","ask":"85.33"}',
    "binance": '{"symbol":"LTCEUR","price":"85.31000000"}',
    "bitfinex": "[85.3,120.1,85.33,99.2,1.1,0.013,85.31,900.5,86.1,83.2]",
    "coingecko": '{"litecoin":{"eur":85.31}}',
}
PATHS = {
    "kraken": "/0/public/Ticker?pair=LTCEUR",
    "coinbase": "/v2/prices/LTC-EUR/spot",
    "bitstamp": "/api/v2/ticker/ltceur/",
    "binance": "/api/v3/ticker/price?symbol=LTCEUR",
    "bitfinex": "/v2/ticker/tLTCEUR",
    "coingecko": "/api/v3/simple/price?ids=litecoin&vs_currencies=eur&precision=full",
}


@dataclass
class Server:
    """Answers everything with one body, and remembers what it was asked."""

    url: str = ""
    body: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    in_pieces: bool = False
    """Whether each byte of the body is sent by itself."""
    asked: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if self.in_pieces:
            return await self.answer_in_pieces(request)
        return web.Response(text=self.body, status=self.status, headers=self.headers)

    async def answer_in_pieces(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(self.body))})
        await response.prepare(request)
        for byte in self.body.encode():
            await response.write(bytes([byte]))
            await asyncio.sleep(0)  # whoever asked reads it before the next one is sent
        return response


@pytest_asyncio.fixture
async def server() -> AsyncIterator[Server]:
    said = Server()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", said.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    said.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield said
    await runner.cleanup()


class Steady:
    """A source that always has the same price."""

    name = "steady"

    async def price(self, symbol: str, currency: str) -> int:
        return parse_price("85.31")


async def ask(server: Server, name: str, symbol: str = "LTC", currency: str = "EUR") -> int | None:
    async with open_sources([name], {name: server.url}) as sources:
        return await sources[0].price(symbol, currency)


@pytest.mark.parametrize("name", ADAPTERS)
async def test_each_source_is_asked_for_the_pair_and_its_price_is_read_exactly(server: Server, name: str) -> None:
    server.body = ANSWERS[name]
    assert await ask(server, name) == parse_price("85.31")
    assert server.asked == [PATHS[name]]


@pytest.mark.parametrize("name", ADAPTERS)
async def test_an_answer_that_comes_in_pieces_is_read_to_its_end(server: Server, name: str) -> None:
    server.body, server.in_pieces = ANSWERS[name], True
    assert await ask(server, name) == parse_price("85.31")


BROKEN: list[Callable[[str], str]] = [
    lambda _: "",
    lambda _: "<html>maintenance</html>",
    lambda _: "[]",
    lambda _: "null",
    lambda _: '"85.31"',
    lambda body: body.replace("85.31", "-85.31"),
    lambda body: body.replace("85.31", "0").replace("0000", ""),
    lambda body: body[:-5],
    lambda body: body + " " * ANSWER_BYTES_MAX,
    lambda _: "[" * (ANSWER_BYTES_MAX - 1),
    lambda body: body[:-1] + ',"deep":' + '{"a":' * 10_000,
]


@pytest.mark.parametrize("name", ADAPTERS)
@pytest.mark.parametrize("change", range(len(BROKEN)))
async def test_a_broken_answer_is_no_price(server: Server, name: str, change: int) -> None:
    server.body = BROKEN[change](ANSWERS[name])
    try:
        found = await ask(server, name)
    except RateSourceFailed:
        return
    assert found is None


async def test_an_answer_that_is_nested_too_deep_fails_its_source_and_no_other(server: Server) -> None:
    server.body = "[" * 10_000
    rules = RateRules(sources_min=1, max_age=timedelta(minutes=5), band_basis_points=100)
    async with open_sources(["kraken"], {"kraken": server.url}) as sources:
        rates = MedianRates([*sources, Steady()], rules, {}, SystemClock())
        rate = await rates.rate("LTC", "EUR")
    assert (rate.value, rate.sources) == (parse_price("85.31"), ["steady 85.31"])


@pytest.mark.parametrize("status", [301, 302, 403, 429, 502, 503])
async def test_a_source_that_refuses_or_sends_us_elsewhere_has_failed(server: Server, status: int) -> None:
    server.body, server.status, server.headers = ANSWERS["binance"], status, {"Location": "/elsewhere"}
    with pytest.raises(RateSourceFailed):
        await ask(server, "binance")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [("kraken", 200, '{"error":["EQuery:Unknown asset pair"]}'), ("coinbase", 404, "{}"), ("bitstamp", 404, ""),
     ("binance", 400, '{"code":-1121}'), ("bitfinex", 500, '["error",10020,"symbol: invalid"]'),
     ("coingecko", 200, "{}")],
)  # fmt: skip
async def test_a_pair_that_a_source_does_not_have_is_not_a_failure(
    server: Server, name: str, status: int, body: str
) -> None:
    server.status, server.body = status, body
    assert await ask(server, name) is None


@pytest.mark.parametrize("name", ["coinbase", "binance"])
async def test_an_answer_about_another_pair_is_not_taken(server: Server, name: str) -> None:
    server.body = ANSWERS[name].replace("LTC", "BTC")
    with pytest.raises(RateSourceFailed):
        await ask(server, name)


async def test_a_coin_without_a_coingecko_name_is_not_asked_for(server: Server) -> None:
    assert await ask(server, "coingecko", symbol="NOVEL") is None
    assert server.asked == []


async def test_a_server_that_is_not_there_has_failed() -> None:
    async with open_sources(["kraken"], {"kraken": "http://127.0.0.1:1"}) as sources:
        with pytest.raises(RateSourceFailed):
            await sources[0].price("LTC", "EUR")


async def test_a_source_that_nobody_knows_is_named() -> None:
    with pytest.raises(RateSourceUnknown, match="mtgox"):
        async with open_sources(["kraken", "mtgox"]):
            pass
