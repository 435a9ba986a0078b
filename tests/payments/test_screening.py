"""Screening on real nodes and a real database: what is listed is held, what a peer adds is live, a person decides."""

import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fixtures_payments import Pool, Shop, bitcoin_settings, catch_up
from fixtures_payouts import ETHER, Payer, enrolled_payer
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.rpc import RpcClient
from holdfast.chains.senders import SendersUnknown, Sent, bitcoin_senders, evm_senders
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.core.states import PayoutState
from holdfast.faces.cli.screening import what_is_held
from holdfast.faces.follower import open_screen
from holdfast.faces.screening import Screening, ScreeningMisconfigured, open_screening, policy_of
from holdfast.payments import held_payouts, ordering, signer_work
from holdfast.payments.deposits import Deposit
from holdfast.payments.held_payouts import PayoutNotHeld
from holdfast.payments.ordering import DestinationRefused
from holdfast.runtime.settings import NodeSettings, ScreeningSettings, Settings
from holdfast.trace.case import write_whole
from holdfast.trace.labels.shelf import KeptBook, Shelf
from holdfast.trace.model import Label, LabelKind, Movement, Reason, Step, Trace, Transfer
from holdfast.trace.screening import Policy

CENT = 1_000_000
LITECOIN = known_network("litecoin-regtest")


class _Info(msgspec.Struct):
    ismine: bool


def litecoin_network() -> BitcoinNetwork:
    assert isinstance(LITECOIN, BitcoinNetwork)
    return LITECOIN


@pytest.fixture
async def shop(pool: Pool, index_pool: Pool, litecoin: RegtestNode) -> AsyncIterator[Shop]:
    nodes = [NodeSettings(url=litecoin.rpc_url, cookie_file=litecoin.cookie_file)]
    opened = await Shop(pool, index_pool, [bitcoin_settings("litecoin-regtest", nodes=nodes)]).open()
    yield opened
    await opened.close()


def settings(directory: Path, shop: Shop, **changes: object) -> Settings:
    screening = ScreeningSettings(
        check_deposits=True,
        check_payouts=True,
        labels_dir=directory / "labels",
        cases_dir=directory / "cases",
        **changes,  # type: ignore[arg-type]  any setting
    )
    networks = {each.network.name: each for each in shop.networks}
    return Settings(path=directory / "holdfast.toml", networks=networks, screening=screening)


async def paid(shop: Shop, litecoin: RegtestNode) -> tuple[Deposit, str]:
    """A deposit that waits for its confirmation, and who sent it."""
    created = await shop.invoice(price="0.01")
    transaction = await litecoin.send(created.quotes[0].address, CENT)
    node = litecoin.node()
    shop.nodes.append(node)
    sender, *_ = await bitcoin_senders(node.rpc, litecoin_network(), Sent(transaction, None, created.quotes[0].address))
    follower = shop.follower(litecoin.node())
    await catch_up(follower)
    (deposit,) = await shop.deposits(created)
    return deposit, sender


def listed_by_a_peer(directory: Path, address: str, kind: str = "theft") -> None:
    """By another process, as a person or a feed does it."""
    told = directory / "peer.csv"
    told.write_text(f"network,address,name,kind\n{LITECOIN.id},{address},Exploiter,{kind}\n")
    command = [sys.executable, "-m", "holdfast", "labels", "add", str(told), "--dir", str(directory / "labels")]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  our own program


@pytest.mark.node
@pytest.mark.xdist_group("litecoin")
async def test_a_sender_whom_a_peer_lists_while_the_follower_runs_is_held_and_others_are_credited(
    shop: Shop, litecoin: RegtestNode, tmp_path: Path
) -> None:
    async with open_screen(settings(tmp_path, shop), shop.clock) as screen:
        follower = shop.follower(litecoin.node())
        follower.work = replace(follower.work, screen=screen)
        first, _ = await paid(shop, litecoin)
        await litecoin.mine(1)
        await catch_up(follower)
        second, sender = await paid(shop, litecoin)
        listed_by_a_peer(tmp_path, sender)
        await litecoin.mine(1)
        await catch_up(follower)
    by_id = {each.id: each for each in await shop.deposits()}
    assert by_id[first.id].state == "confirmed"
    assert by_id[second.id].state == "held"
    assert sender in str(by_id[second.id].held_for)
    assert "Exploiter" in str(by_id[second.id].held_for)
    assert await shop.asked() == ["deposit-held"]


@pytest.mark.node
@pytest.mark.xdist_group("litecoin")
async def test_money_that_a_traced_case_led_to_is_held_by_its_transaction(
    shop: Shop, litecoin: RegtestNode, tmp_path: Path
) -> None:
    deposit, sender = await paid(shop, litecoin)
    assert deposit.transaction is not None
    moved = Transfer(
        deposit.network, 1, 0, 1, deposit.transaction, sender, deposit.address, deposit.asset, CENT, Movement.OUTPUT
    )
    step = Step("E1", moved, 3, Reason.DIRECT, 90, {"haircut": CENT // 2})
    write_whole(tmp_path / "cases" / "heist" / "trace.json", Trace(steps=[step]))
    screening = open_screening(settings(tmp_path, shop), shop.clock)
    why = await screening.deposit(deposit)
    assert why is not None
    assert "money of heist" in why
    assert "50.00 %" in why
    await _closed(screening)


@pytest.mark.node
@pytest.mark.xdist_group("litecoin")
@pytest.mark.parametrize(("unknown", "is_held"), [("hold", True), ("credit", False)])
async def test_where_nobody_can_tell_the_sender_the_policy_decides(
    shop: Shop, litecoin: RegtestNode, tmp_path: Path, unknown: str, is_held: bool
) -> None:
    deposit, _ = await paid(shop, litecoin)
    screening = open_screening(settings(tmp_path, shop, unknown_sender=unknown), shop.clock)
    why = await screening.deposit(replace(deposit, transaction=None))
    assert (why is not None) is is_held
    await _closed(screening)


async def _closed(screening: Screening) -> None:
    assert screening.close is not None
    await screening.close()


@pytest.mark.node
@pytest.mark.xdist_group("litecoin")
async def test_senders_are_read_from_the_transactions_own_bytes(litecoin: RegtestNode) -> None:
    node = litecoin.node()
    try:
        mine = await node.rpc.call(str, "getnewaddress")
        found = await bitcoin_senders(node.rpc, litecoin_network(), Sent(await litecoin.send(mine, CENT), None, mine))
        own = [(await node.rpc.call(_Info, "getaddressinfo", each)).ismine for each in found]
    finally:
        await node.close()
    assert own
    assert all(own)


@pytest.mark.node
@pytest.mark.xdist_group("anvil")
async def test_an_evm_payments_sender_is_who_signed_it(anvil_node: AnvilNode) -> None:
    payer, payee, *_ = await anvil_node.accounts()
    transaction = await anvil_node.send(payee, 5, sender=payer)
    rpc = RpcClient(anvil_node.rpc_url)
    try:
        found = await evm_senders(rpc, Sent(transaction, None, payee))
    finally:
        await rpc.close()
    assert [each.lower() for each in found] == [payer.lower()]


# --- payouts -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def payer(pool: Pool) -> Payer:
    made = await enrolled_payer(pool)
    await made.fund(10 * ETHER)
    return made


def screening_of(directory: Path, payer: Payer) -> Screening:
    async def nobody(_: Deposit) -> list[str]:
        raise SendersUnknown("not asked here")

    return Screening(KeptBook(directory), directory / "cases", Policy(), payer.clock, nobody)


def listed(directory: Path, address: str, kind: LabelKind, confidence: int = 90) -> None:
    said = Label("eip155:*", address, "X", kind, "a list", confidence, 1)
    Shelf(directory).add("a list", [said], 1)


async def test_a_payout_to_a_sanctioned_address_is_not_taken_on(payer: Payer, tmp_path: Path) -> None:
    screening = screening_of(tmp_path, payer)
    payer.desk = replace(payer.desk, refuses=screening.refuses)
    intent = payer.intent(5, 7)
    listed(tmp_path, intent.lines[1].destination, LabelKind.SANCTIONED)
    with pytest.raises(DestinationRefused, match="sanctioned"):
        await payer.draft(intent)
    await payer.ordered(5)


async def test_a_payout_whose_destination_is_listed_later_is_kept_from_the_signer_until_a_person_decides(
    payer: Payer, tmp_path: Path
) -> None:
    screening = screening_of(tmp_path, payer)
    good, bad = await payer.ordered(5), await payer.ordered(7)
    listed(tmp_path, bad.lines[0].destination, LabelKind.THEFT)
    async with payer.pool.connection() as conn:
        (held,) = await held_payouts.ask(conn, screening.holds, payer.clock.now())
        work = await signer_work.read_work(conn, screening.holds)
    assert held.id == bad.id
    assert [each.payout for each in work.payouts] == [good.key]
    assert (await payer.again(bad)).waiting_rule == "screening"
    async with payer.pool.connection() as conn, conn.transaction():
        await held_payouts.release(conn, bad.id, "Ann", payer.clock.now())
    async with payer.pool.connection() as conn:
        assert await held_payouts.ask(conn, screening.holds, payer.clock.now()) == []
        work = await signer_work.read_work(conn, screening.holds)
    assert {each.payout for each in work.payouts} == {good.key, bad.key}


async def test_a_person_refuses_a_held_payout_and_its_units_are_on_the_balance_again(
    payer: Payer, tmp_path: Path
) -> None:
    screening = screening_of(tmp_path, payer)
    payout = await payer.ordered(7)
    before = await payer.balance()
    listed(tmp_path, payout.lines[0].destination, LabelKind.SANCTIONED)
    async with payer.pool.connection() as conn:
        await held_payouts.ask(conn, screening.holds, payer.clock.now())
        (shown,) = await what_is_held(conn)
    assert (shown["subject"], shown["reason"]) == (payout.id, "payout-held")
    assert "sanctioned" in shown["why"]
    async with payer.pool.connection() as conn, conn.transaction():
        await held_payouts.refuse(conn, payout.id, "Ann", payer.clock.now())
    after = await payer.again(payout)
    assert (after.state, after.rule) == (PayoutState.REFUSED, "screening")
    assert await payer.balance() == (before[0] + 7, before[1] - 7)
    assert await payer.is_balanced()
    async with payer.pool.connection() as conn, conn.transaction():
        with pytest.raises(PayoutNotHeld):
            await held_payouts.release(conn, payout.id, "Ann", payer.clock.now())


async def test_without_screening_nothing_is_kept_back(payer: Payer) -> None:
    payout = await payer.ordered(7)
    async with payer.pool.connection() as conn:
        assert [each.payout for each in (await signer_work.read_work(conn)).payouts] == [payout.key]
    assert ordering.refuses_nobody(payout.network, [payout.lines[0].destination]) is None


@pytest.mark.parametrize("wrong", [{"rules": {"thief": "hold"}}, {"rules": {"theft": "burn"}}, {"taint": "maybe"}])
def test_a_setting_that_means_nothing_is_refused_when_the_process_starts(wrong: dict[str, object]) -> None:
    with pytest.raises(ScreeningMisconfigured):
        policy_of(ScreeningSettings(**wrong))  # type: ignore[arg-type]  wrong on purpose
