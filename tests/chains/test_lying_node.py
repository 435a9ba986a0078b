"""A node that lies, stammers or is out of breath: a named error, and nothing is believed."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures_chains import Books
from fixtures_lies import Proxy, lying_proxy
from holdfast.chains.bitcoin import BitcoinAccess, BitcoinNode
from holdfast.chains.localnet import RegtestNode, free_port
from holdfast.chains.port import NodeAnswerMalformed, NodeUnreachable, Watch
from holdfast.chains.rpc import Limits, NodeCredentialsRefused, NodeUrlMalformed

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("litecoin")]

UNITS = 123_456_789
LIMITS = Limits(timeout_seconds=0.5, attempts_max=3, backoff_seconds=0.01, answer_bytes_max=200_000)

Answer = dict[str, Any]


@pytest.fixture
async def proxy(litecoin: RegtestNode) -> AsyncIterator[Proxy]:
    async with lying_proxy(litecoin.rpc_url) as proxy:
        yield proxy


@pytest.fixture
async def books(litecoin: RegtestNode, proxy: Proxy) -> AsyncIterator[Books]:
    """A follower behind the proxy, up to date, with one more payment waiting and one in a new block."""
    node = BitcoinNode(BitcoinAccess(proxy.url, cookie_file=litecoin.cookie_file), litecoin.network, LIMITS)
    address = await litecoin.new_address()
    books = Books(node, Watch(litecoin.network.id, [address]))
    await books.catch_up()
    await litecoin.send(address, UNITS)
    await litecoin.mine()
    await litecoin.send(address, UNITS)
    yield books
    await node.close()
    await litecoin.mine()


def changed(method: str, change: Callable[[Any], Any]) -> Callable[[str, Answer], Answer]:
    """A lie about the results of one method."""

    def lie(asked: str, told: Answer) -> Answer:
        return {**told, "result": change(told["result"])} if asked == method else told

    return lie


def more_money(text: str) -> str:
    assert UNITS.to_bytes(8, "little").hex() in text
    return text.replace(UNITS.to_bytes(8, "little").hex(), (UNITS + 1).to_bytes(8, "little").hex())


def without(key: str) -> Callable[[str, Answer], Answer]:
    return lambda _method, told: {name: value for name, value in told.items() if name != key}


LIES = {
    "another amount in a block": changed("getblock", more_money),
    "a block cut short": changed("getblock", lambda text: text[:-20]),
    "a block cut to nothing": changed("getblock", lambda _: ""),
    "a block with something after it": changed("getblock", lambda text: text + "00"),
    "half a byte": changed("getblock", lambda text: text[:-1]),
    "not hex": changed("getblock", lambda text: "zz" + text[2:]),
    "not even text": changed("getblock", lambda _: 17),
    "another block": changed("getblock", lambda text: "ff000020" + text[8:]),
    "a header of another hash": changed("getblockheader", lambda told: told[:-2] if isinstance(told, str) else told),
    "a height as a float": changed(
        "getblockheader", lambda told: told if isinstance(told, str) else {**told, "height": float(told["height"])}
    ),
    "a height as text": changed(
        "getblockheader", lambda told: told if isinstance(told, str) else {**told, "height": str(told["height"])}
    ),
    "no height": changed("getblockheader", lambda told: told if isinstance(told, str) else {}),
    "null": lambda _method, told: {**told, "result": None},
    "no result": without("result"),
    "no id": without("id"),
    "the id of another call": lambda _method, told: {**told, "id": told["id"] + 1_000},
    "the id as text": lambda _method, told: {**told, "id": str(told["id"])},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_a_lie_is_named_and_nothing_is_believed(
    books: Books, proxy: Proxy, lie: Callable[[str, Answer], Answer]
) -> None:
    before = list(books.blocks)
    proxy.lie = lie
    with pytest.raises(NodeAnswerMalformed):
        await books.catch_up()
    assert books.blocks == before
    proxy.lie = None
    await books.catch_up()
    assert books.units == [UNITS]


async def test_another_amount_in_a_waiting_transaction_is_named(books: Books, proxy: Proxy) -> None:
    proxy.lie = changed("getrawtransaction", more_money)
    with pytest.raises(NodeAnswerMalformed):
        await books.node.unconfirmed(books.watch)
    proxy.lie = None
    assert [arrival.units for arrival in (await books.node.unconfirmed(books.watch)).arrivals] == [UNITS]


@pytest.mark.parametrize(
    "mangle",
    [lambda body: body[:-3], lambda _: b"", lambda _: b"<html>hello</html>", lambda body: b"[" + body + b"]",
     lambda body: body + b" " * 300_000],
    ids=["cut short", "empty", "a web page", "a list", "too large"],
)  # fmt: skip
async def test_an_answer_that_is_no_answer_is_named(
    books: Books, proxy: Proxy, mangle: Callable[[bytes], bytes]
) -> None:
    before = list(books.blocks)
    proxy.mangle = mangle
    with pytest.raises(NodeAnswerMalformed):
        await books.catch_up()
    assert books.blocks == before


async def test_a_batch_with_an_answer_missing_is_named(books: Books, proxy: Proxy) -> None:
    books.node.prepare(())
    proxy.mangle = lambda body: b"[]" if body.startswith(b"[") else body
    with pytest.raises(NodeAnswerMalformed):
        await books.node.headers(0, 3)


@pytest.mark.parametrize("status", [429, 503, 502])
async def test_a_node_out_of_breath_is_asked_again(books: Books, proxy: Proxy, status: int) -> None:
    proxy.statuses = [(status, {"Retry-After": "0"})] * 2
    await books.catch_up()
    assert books.units == [UNITS]


async def test_a_node_that_stays_out_of_breath_is_unreachable_after_the_attempts_allowed(
    books: Books, proxy: Proxy
) -> None:
    proxy.requests, proxy.statuses = 0, [(429, {})] * 100
    with pytest.raises(NodeUnreachable, match="429"):
        await books.node.tip()
    assert proxy.requests == LIMITS.attempts_max


async def test_a_node_that_keeps_us_waiting_is_unreachable(books: Books, proxy: Proxy) -> None:
    proxy.delay_seconds = 30
    with pytest.raises(NodeUnreachable, match=r"0\.5 s"):
        await books.node.tip()


async def test_a_node_that_is_not_there_is_unreachable(litecoin: RegtestNode) -> None:
    node = BitcoinNode(BitcoinAccess(f"http://127.0.0.1:{free_port()}/"), litecoin.network, LIMITS)
    with pytest.raises(NodeUnreachable):
        await node.tip()
    await node.close()


async def test_wrong_credentials_are_named_and_never_shown(litecoin: RegtestNode, tmp_path: Path) -> None:
    password_file = tmp_path / "password"
    password_file.write_text("hunter2-hunter2")
    access = BitcoinAccess(litecoin.rpc_url, user="somebody", password_file=password_file)
    node = BitcoinNode(access, litecoin.network, LIMITS)
    with pytest.raises(NodeCredentialsRefused) as refused:
        await node.tip()
    assert "hunter2" not in shown(refused.value)
    await node.close()


async def test_a_missing_cookie_file_is_named(litecoin: RegtestNode, tmp_path: Path) -> None:
    node = BitcoinNode(BitcoinAccess(litecoin.rpc_url, cookie_file=tmp_path / "none"), litecoin.network, LIMITS)
    with pytest.raises(NodeCredentialsRefused, match="none: No such file"):
        await node.tip()
    await node.close()


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "127.0.0.1:8332", "http://rpc:hunter2@127.0.0.1/", "http:///path-hunter2", ""]
)
def test_a_url_that_cannot_be_used_is_named_and_never_shown(litecoin: RegtestNode, url: str) -> None:
    with pytest.raises(NodeUrlMalformed) as refused:
        BitcoinNode(BitcoinAccess(url), litecoin.network, LIMITS)
    assert "hunter2" not in shown(refused.value)


async def test_a_key_in_a_url_is_in_no_error(litecoin: RegtestNode) -> None:
    node = BitcoinNode(BitcoinAccess(f"http://127.0.0.1:{free_port()}/v3/hunter2"), litecoin.network, LIMITS)
    with pytest.raises(NodeUnreachable) as refused:
        await node.tip()
    assert "hunter2" not in shown(refused.value)
    await node.close()


def shown(error: BaseException | None) -> str:
    """All that a log could show of an error: itself and what led to it."""
    texts = []
    while error is not None:
        texts.append(f"{error} {error!r} {error.args} {error.__notes__ if hasattr(error, '__notes__') else ''}")
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " ".join(texts)
