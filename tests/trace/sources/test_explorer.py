"""Transfers from an explorer: a real HTTP server in the published shape, with its limits, refusals and oddities."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp import web

from holdfast.core.errors import HoldfastError
from holdfast.core.evm import parse_address
from holdfast.core.networks import evm_network
from holdfast.faces.cli.trace_case import Asked, run
from holdfast.trace.evidence import Evidence
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources import outward
from holdfast.trace.sources.beside import Beside
from holdfast.trace.sources.explorer import (
    AddressesNeeded,
    ExplorerAccess,
    ExplorerAnswerMalformed,
    ExplorerRefused,
    ExplorerSource,
    ExplorerUnreachable,
    ExplorerUrlMalformed,
)
from holdfast.trace.sources.outward import pull_outward
from holdfast.trace.sources.port import LeftOut, Wanted
from holdfast.trace.sources.pull import pull
from holdfast.trace.store import Store

NETWORK = evm_network(1, "ethereum", "ETH")
THIEF, OTHER = (parse_address("0x" + letter * 40) for letter in "ab")
USDT = "0xdac17f958d2ee523a2206206994597c13d831ec7"
SECRET = "SECRETKEY9"
Row = dict[str, str]


class Explorer:
    """Answers as the published interface does. What it holds and how it misbehaves is set by each test."""

    def __init__(self) -> None:
        self.lists: dict[str, list[Row]] = {"txlist": [], "txlistinternal": [], "tokentx": []}
        self.tip = 1_000
        self.misbehaviour: list[web.Response] = []
        self.asked: list[dict[str, str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        self.asked.append(asked)
        if self.misbehaviour:
            return self.misbehaviour.pop(0)
        if asked["action"] == "eth_blockNumber":
            return web.json_response({"jsonrpc": "2.0", "id": 83, "result": hex(self.tip)})
        first, last = int(asked["startblock"]), int(asked["endblock"])
        address = asked["address"].lower()
        rows = [
            row for row in self.lists[asked["action"]]
            if first <= int(row["blockNumber"] or 0) <= last and address in (row["from"], row["to"])
        ]  # fmt: skip
        size = int(asked["offset"])
        begin = (int(asked["page"]) - 1) * size
        shown = rows[begin : begin + size]
        if not shown:
            return web.json_response({"status": "0", "message": "No transactions found", "result": []})
        return web.json_response({"status": "1", "message": "OK", "result": shown})

    def add(self, action: str, number: int, **changes: str) -> Row:
        row = {
            "blockNumber": str(100 + number), "timeStamp": str(1_685_742_563 + number), "hash": f"0x{number:064x}",
            "from": THIEF.lower(), "to": OTHER.lower(), "value": str(10**18 + number), "isError": "0",
        }  # fmt: skip
        if action == "txlist":
            row |= {"transactionIndex": "3", "gasUsed": "21000", "gasPrice": "2", "txreceipt_status": "1",
                    "contractAddress": ""}  # fmt: skip
        if action == "tokentx":
            row |= {"contractAddress": USDT, "tokenSymbol": "USDT", "tokenDecimal": "6", "transactionIndex": "3"}
        self.lists[action].append(row | changes)
        return row


@pytest_asyncio.fixture
async def explorer() -> AsyncIterator[Explorer]:
    one = Explorer()
    app = web.Application()
    app.router.add_get("/api", one.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api"
    yield one
    await runner.cleanup()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(SECRET + "\n")
    return path


def access(explorer: Explorer, key_file: Path | None = None, *, rows: int = 5, attempts: int = 3) -> ExplorerAccess:
    return ExplorerAccess(
        explorer.url, key_file, requests_per_second=1_000, rows_per_page=rows, window=50, rows_most=100,
        attempts_max=attempts, pause_seconds=0.001,
    )  # fmt: skip


async def pulled(how: ExplorerAccess, store: Store, *addresses: str, beside: Beside | None = None) -> None:
    source = ExplorerSource(how, NETWORK, beside or Beside())
    try:
        await pull(source, Wanted(addresses=frozenset(addresses or (THIEF,))), store)
    finally:
        await source.close()


def found(store: Store) -> list[Transfer]:
    return list(store.leaving(NETWORK.id, [THIEF]))


async def test_three_lists_make_one_account_of_an_address(explorer: Explorer, tmp_path: Path) -> None:
    explorer.add("txlist", 1)
    explorer.add("txlistinternal", 1, value="7", **{"from": OTHER.lower(), "to": THIEF.lower()})
    explorer.add("tokentx", 1, value="5000001")
    explorer.add("tokentx", 1, value="5000001")  # twice in one transaction: two transfers
    with Store(tmp_path) as store:
        await pulled(access(explorer), store)
        moves = store.of_transactions(NETWORK.id, [f"0x{1:064x}"])
        assert [(each.movement, each.units, each.target) for each in moves] == [
            (Movement.COIN, 10**18 + 1, OTHER), (Movement.INTERNAL, 7, THIEF), (Movement.TOKEN, 5_000_001, OTHER),
            (Movement.TOKEN, 5_000_001, OTHER), (Movement.FEE, 42_000, FEES),
        ]  # fmt: skip
        assert moves[2].asset == f"eip155:1/erc20:{USDT}"


@pytest.mark.parametrize("in_one_block", [1, 4, 5, 6, 17])
async def test_pages_lose_and_double_nothing_wherever_they_end(
    explorer: Explorer, tmp_path: Path, in_one_block: int
) -> None:
    for number in range(40):
        explorer.add("txlist", number, blockNumber=str(100 + number // in_one_block))
    with Store(tmp_path) as store:
        await pulled(access(explorer), store)
        assert sorted(each.transaction for each in found(store) if each.movement is Movement.COIN) == [
            f"0x{number:064x}" for number in range(40)
        ]
        assert len(store) == 80


async def test_failed_empty_false_and_broken_rows_are_counted(explorer: Explorer, tmp_path: Path) -> None:
    explorer.add("txlist", 1, isError="1")
    explorer.add("txlist", 2, value="0")
    explorer.add("txlist", 3, value="1.5.2")
    explorer.add("txlist", 4, hash="0x12")
    explorer.add("txlist", 5, to="", contractAddress=OTHER.lower())
    explorer.add("tokentx", 6, tokenSymbol="U\u0405DT", contractAddress="0x" + "9" * 40)
    explorer.add("tokentx", 7, value=str(2**255))
    with Store(tmp_path) as store:
        await pulled(access(explorer, rows=50), store)
        assert store.left_out == {
            LeftOut.FAILED: 1, LeftOut.NOTHING: 1, LeftOut.MALFORMED: 2, LeftOut.IMITATION: 1, LeftOut.UNITS: 1,
        }  # fmt: skip
        assert [each.height for each in found(store) if each.movement is Movement.FEE] == [101, 102, 103, 105]
        assert [each.target for each in found(store) if each.movement is Movement.COIN] == [OTHER]


async def test_blocks_that_may_still_change_are_left_for_the_next_pull(explorer: Explorer, tmp_path: Path) -> None:
    explorer.tip = 112
    explorer.add("txlist", 0)
    explorer.add("txlist", 1)
    with Store(tmp_path) as store:
        await pulled(access(explorer), store)
        assert {each.height for each in found(store)} == {100}
        await pulled(access(explorer), store)
        assert {each.height for each in found(store)} == {100}
        explorer.tip = 113
        await pulled(access(explorer), store)
        assert {each.height for each in found(store)} == {100, 101}
        assert {asked["startblock"] for asked in explorer.asked[-3:]} == {"101"}


async def test_a_pull_that_was_cut_goes_on_with_the_next_address(explorer: Explorer, tmp_path: Path) -> None:
    explorer.add("txlist", 1)
    with Store(tmp_path) as store:
        source = ExplorerSource(access(explorer), NETWORK)
        with pytest.raises(KeyboardInterrupt):
            await pull(source, Wanted(addresses=frozenset({THIEF, OTHER})), store, cut)
        await source.close()
        before = len(explorer.asked)
        await pulled(access(explorer), store, THIEF, OTHER)
        addresses = {asked["address"] for asked in explorer.asked[before:] if "address" in asked}
        assert addresses == {max(THIEF, OTHER)}


def cut(_: object) -> None:
    raise KeyboardInterrupt


async def test_a_busy_address_is_not_pulled_without_end_and_said(explorer: Explorer, tmp_path: Path) -> None:
    for number in range(200):
        explorer.add("txlist", number)
    with Store(tmp_path) as store:
        await pulled(access(explorer), store)
        [told] = store.pulled.values()
        assert "more than 100 rows of txlist" in told.stopped[0]
        assert 100 < len(store) / 2 < 110


async def test_it_waits_where_it_asked_too_often(explorer: Explorer, tmp_path: Path) -> None:
    explorer.add("txlist", 1)
    explorer.misbehaviour = [
        web.json_response({"status": "0", "message": "NOTOK", "result": "Max rate limit reached"}),
        web.Response(status=429), web.Response(status=502),
    ]  # fmt: skip
    with Store(tmp_path) as store:
        await pulled(access(explorer, attempts=4), store)
        assert len(store) == 2


async def test_its_refusals_have_names(explorer: Explorer, tmp_path: Path) -> None:
    def notok(text: str) -> web.Response:
        return web.json_response({"status": "0", "message": "NOTOK", "result": text})

    cases: list[tuple[list[web.Response], type[HoldfastError]]] = [
        ([notok("Max rate limit reached") for _ in range(3)], ExplorerUnreachable),
        ([notok("Invalid API Key")], ExplorerRefused),
        ([web.Response(status=403)], ExplorerRefused),
        ([web.Response(text="<html>")], ExplorerAnswerMalformed),
        ([web.json_response({"result": "high"})], ExplorerAnswerMalformed),
    ]
    for answers, error in cases:
        explorer.misbehaviour = answers
        with Store(tmp_path) as store, pytest.raises(error):
            await pulled(access(explorer), store)
    with Store(tmp_path) as store, pytest.raises(AddressesNeeded):
        await pull(ExplorerSource(access(explorer), NETWORK), Wanted(), store)
    for url in ("ftp://host/api", "https:///api", "https://me:pw@host/api", "https://host/api?apikey=x"):
        with pytest.raises(ExplorerUrlMalformed):
            ExplorerSource(ExplorerAccess(url), NETWORK)


async def test_a_key_is_in_the_request_and_nowhere_else(explorer: Explorer, tmp_path: Path, key_file: Path) -> None:
    """Not in errors, though the server repeats it; not in evidence, cursors or counts."""
    explorer.add("txlist", 1, memo=f"for {SECRET}")
    evidence = Evidence(tmp_path / "evidence")
    with Store(tmp_path / "store") as store:
        await pulled(access(explorer, key_file), store, beside=Beside(evidence))
        assert all(asked["apikey"] == SECRET for asked in explorer.asked)
        explorer.misbehaviour = [
            web.json_response({"status": "0", "message": "NOTOK", "result": f"plan of {SECRET} ended"})
        ]
        with pytest.raises(ExplorerRefused) as refused:
            await pulled(access(explorer, key_file), store, OTHER)
    assert "plan of" in str(refused.value)
    texts = [str(refused.value), repr(refused.value.__cause__), repr(refused.value.__context__)]
    for text in (*texts, *texts_below(tmp_path, key_file)):
        assert SECRET.lower() not in text.lower()
    [page, *_] = [evidence.raw(each) for each in evidence.exhibits]
    assert json.loads(page)["result"][0]["hash"] == f"0x{1:064x}"


def texts_below(folder: Path, but: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file() and path != but)
    return [path.read_bytes().decode("latin-1") for path in files]


async def test_what_is_reached_is_asked_for_next(
    explorer: Explorer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chain of four accounts, known one by one."""
    chain = [parse_address("0x" + digit * 40) for digit in "1234"]
    for number, (payer, payee) in enumerate(pairwise(chain)):
        explorer.add("txlist", number, **{"from": payer.lower(), "to": payee.lower()})
    with Store(tmp_path) as store:
        source = ExplorerSource(access(explorer), NETWORK)

        def reached() -> set[str]:
            return {each.target for each in store.leaving(NETWORK.id, chain)} - {FEES}

        wanted = Wanted(NETWORK.id, addresses=frozenset(chain[:1]))
        assert await pull_outward(source, wanted, store, reached) == []
        assert len(store) == 6
        monkeypatch.setattr(outward, "ADDRESSES_MOST", 2)
        [said] = await pull_outward(source, wanted, store, reached)
        assert "2 more were reached" in said or "1 more" in said
        await source.close()


async def test_a_trace_asks_an_explorer_for_what_the_theft_reached(
    explorer: Explorer, tmp_path: Path, key_file: Path
) -> None:
    """From the robbed address alone, over three hops, with a stranger's payments left unasked."""
    hops = [parse_address("0x" + digit * 40) for digit in "1234"]
    for number, (payer, payee) in enumerate(pairwise(hops)):
        explorer.add(
            "txlist", number, **{"from": payer.lower(), "to": payee.lower()}, value=str(10**18 - 10**6 * number)
        )
    explorer.add("txlist", 9, **{"from": OTHER.lower(), "to": "0x" + "9" * 40})
    asked = Asked(
        stolen_from=(hops[0],), sources=(f"explorer:{explorer.url}",), network="ethereum", key_file=key_file,
        case=tmp_path / "case",
    )  # fmt: skip
    found = await asyncio.to_thread(run, asked, lambda *_: None)
    [last] = [end for end in found.trace.ends if end.address == hops[3]]
    assert last.lies["fifo"] > 10**17
    assert {each["address"] for each in explorer.asked if "address" in each} == set(hops)
