"""Where is it now: every unit of every end stands in one row, and what can be frozen is asked of a real node."""

import msgspec
import pytest

from holdfast.chains.localnet import AnvilNode
from holdfast.chains.rpc import RpcClient
from holdfast.core.evm import keccak256
from holdfast.trace.labels.issuer_reads import freezable, read_holdings
from holdfast.trace.labels.where import Holding, Lies, where_is_it
from holdfast.trace.model import End, EndKind, Label, LabelKind, Trace

NETWORK = "eip155:1"
USDT = f"{NETWORK}/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"
ETHER = f"{NETWORK}/slip44:60"
ONE, TWO, THREE = (f"0x{digit * 40}" for digit in "123")


def end(address: str, asset: str, kind: EndKind, haircut: int, label: Label | None = None) -> End:
    return End(NETWORK, address, asset, kind, {"haircut": haircut, "fifo": haircut + 1}, label)


def deposit(address: str, confidence: int) -> Label:
    return Label(NETWORK, address, "Binance", LabelKind.DEPOSIT, "behaviour", confidence, 1)


TRACE = Trace(
    ends=[
        end(ONE, ETHER, EndKind.SERVICE, 5, deposit(ONE, 60)),
        end(TWO, ETHER, EndKind.SERVICE, 7, deposit(TWO, 40)),
        end(THREE, USDT, EndKind.UNSPENT, 11),
        end(ONE, USDT, EndKind.UNSPENT, 13),
        end(THREE, ETHER, EndKind.UNSPENT, 17),
        end(THREE, ETHER, EndKind.BELOW, 1),
    ]
)


def test_deposits_at_one_service_are_one_row_and_each_freezable_address_has_its_own() -> None:
    rows = where_is_it(TRACE)
    assert [(row.lies, row.owner, row.units["haircut"]) for row in rows] == [
        (Lies.FREEZABLE, "Tether", 13), (Lies.FREEZABLE, "Tether", 11), (Lies.SERVICE, "Binance", 12),
        (Lies.UNSPENT, "", 17), (Lies.LOST_SIGHT, "", 1),
    ]  # fmt: skip
    service = rows[2]
    assert (service.addresses, service.confidence) == ((ONE, TWO), 40)
    assert rows[0].contract == "0xdac17f958d2ee523a2206206994597c13d831ec7"


@pytest.mark.parametrize("policy", ["haircut", "fifo"])
def test_the_table_adds_up_to_the_traces_ends(policy: str) -> None:
    for asset in (ETHER, USDT):
        shown = sum(row.units[policy] for row in where_is_it(TRACE) if row.asset == asset)
        assert shown == sum(each.lies[policy] for each in TRACE.ends if each.asset == asset)


def test_what_the_issuer_has_frozen_is_no_longer_freezable() -> None:
    said = Holding(NETWORK, THREE, USDT, balance=11, is_frozen=True, height=9, block="0x09", source="node")
    rows = where_is_it(TRACE, [said])
    assert [row.holdings for row in rows if row.lies is Lies.FROZEN] == [(said,)]
    assert sum(row.lies is Lies.FREEZABLE for row in rows) == 1


def _token(frozen: bytes) -> str:
    """Code that answers `balanceOf` with 7 and one of the blacklist functions with 1, and reverts otherwise."""
    head = bytes.fromhex("5f3560e01c80") + b"\x63" + keccak256(b"balanceOf(address)")[:4] + bytes.fromhex("14601b57")
    head += b"\x63" + keccak256(frozen)[:4] + bytes.fromhex("14602457") + bytes.fromhex("5f5ffd")
    answers = b"".join(b"\x5b\x60" + bytes([units]) + bytes.fromhex("5f5260205ff3") for units in (7, 1))
    return "0x" + (head + answers).hex()


@pytest.mark.node
@pytest.mark.xdist_group("anvil")
@pytest.mark.parametrize(
    ("function", "is_frozen"),
    [(b"isBlackListed(address)", True), (b"isBlacklisted(address)", True), (b"neither(address)", None)],
)
async def test_a_real_node_tells_balance_and_blacklist_at_a_block(
    anvil_node: AnvilNode, function: bytes, is_frozen: bool | None
) -> None:
    contract = "0x" + keccak256(function)[:20].hex()
    rpc = RpcClient(anvil_node.rpc_url)
    try:
        await rpc.call(msgspec.Raw, "anvil_setCode", contract, _token(function))
        (held,) = await read_holdings(rpc, NETWORK, [(THREE, f"{NETWORK}/erc20:{contract}")])
    finally:
        await rpc.close()
    assert (held.balance, held.is_frozen) == (7, is_frozen)
    assert held.block.startswith("0x")


def test_only_unspent_tokens_of_issuers_are_asked_about() -> None:
    assert freezable(TRACE, NETWORK) == [(ONE, USDT), (THREE, USDT)]
