"""Settlement on the checking machine: an honest one is signed and paid, and every lie has its own refusal."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from fixtures_signer import COIN, ETHER, EVM, GAS_KEY, LTC, MinedHint, Scene, fresh_address, policy_text
from holdfast.chains.agreement import AgreeingNodes
from holdfast.chains.evm import EvmNode
from holdfast.chains.evm_contracts import COIN as EVM_COIN
from holdfast.chains.evm_house import GasAccount, flush
from holdfast.chains.localnet import AnvilNode, RegtestNode
from holdfast.chains.outflow_agreement import Access, open_outflow
from holdfast.chains.rpc import Credentials, RpcClient
from holdfast.chains.safe_reads import SafeReads
from holdfast.core.descriptors import Branch, Place
from holdfast.core.journal import Head, JournalBroken, StoredEntry
from holdfast.core.money import Asset
from holdfast.core.networks import Network
from holdfast.core.orders import DirectPayout, Migration
from holdfast.policy.audit import EvidenceFalse
from holdfast.policy.people import Times
from holdfast.signer.loop import Signer
from holdfast.vault import drafts, psbt, safe, settling
from holdfast.vault.checks import Check, NotChecked
from holdfast.vault.claims import CapExceeded, ClaimExceeded, MerchantsShort
from holdfast.vault.evidence import EvidenceRolledBack, read_evidence
from holdfast.vault.looking import EvidenceUnproved, Eyes, SettlementBlocked
from holdfast.vault.settling import (
    Bench,
    DestinationForbidden,
    DraftOpen,
    FeeUnreasonable,
    InputUnproved,
    Memory,
    NothingToSettle,
    NotOrdered,
    OpenDraft,
    PaidAlready,
)  # fmt: skip
from holdfast.vault.spends import VaultInput, VaultOutput

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="session")]

RLTC = Asset(LTC.coin.id, "rLTC", 8)
ETH = Asset(EVM.coin.id, "ETH", 18)
FEE_RATE = 2_000


@pytest.fixture
def scene(tmp_path: Path, litecoin: RegtestNode, anvil_node: AnvilNode) -> Scene:
    scene = Scene(tmp_path, litecoin, anvil_node)
    scene.set_policy(policy_text())
    scene.certify()
    return scene


async def finish(scene: Scene, signer: Signer) -> None:
    """All that was signed is mined and journaled as final."""
    await scene.litecoin.mine(1)
    for seq in signer.record.open:
        one = signer.record.reservations[seq]
        assert one.signed is not None
        height = await (scene.litecoin if one.body.network == LTC.id else scene.anvil).height()
        scene.platform.mined.append(MinedHint(seq, one.signed.transaction, height))
    await signer.round()
    assert not signer.record.open


async def paid_out(scene: Scene, ltc: int = 2 * COIN, ether: int = ETHER) -> None:
    """A merchant's deposits, and payouts of his that are final: now the vault owes the float."""
    scene.birth = (await scene.litecoin.height() + 1, await scene.anvil.height() + 1)
    await scene.deposit(ltc=10 * COIN, ether=10 * ETHER)
    await scene.fund(ltc=[6 * COIN], ether=20 * ETHER)
    scene.order([(fresh_address(LTC), ltc)])
    scene.order([(fresh_address(EVM), ether)])
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
        await finish(scene, signer)


@asynccontextmanager
async def checking(
    scene: Scene, network: Network, entries: Sequence[StoredEntry] | None = None
) -> AsyncIterator[Bench]:
    """An officer's checking machine with a node of its own, and the journal as evidence."""
    is_evm = network is EVM
    root, memory = scene.house.quorum.fingerprint(), Memory()
    evidence = read_evidence(scene.platform.entries if entries is None else entries, root, Head())
    if is_evm:
        reader = AgreeingNodes([EvmNode(scene.anvil.rpc_url, EVM)])  # type: ignore[arg-type]  # of the EVM family
        access = Access(scene.anvil.rpc_url)
    else:
        reader, where = AgreeingNodes([scene.litecoin.node()]), scene.litecoin.access()
        access = Access(where.url, Credentials(where.cookie_file))
    eyes = Eyes(
        network, reader, open_outflow(network, [access]), {}, scene.descriptor, scene.plan.vault, scene.birth[is_evm]
    )
    now = scene.clocks.wall_ms() // 1000
    reads = SafeReads(scene.anvil.rpc_url, scene.plan.vault) if is_evm else None
    vault = drafts.OfficersVault(network, tuple(scene.people), 2)
    try:
        policies = evidence.record.policies.in_force(Times(now, now))
        yield Bench(eyes, vault, evidence, policies, memory, reads)
    finally:
        await reader.close()
        await eyes.outflow.close()
        if reads is not None:
            await reads.close()


async def sign_and_send(scene: Scene, draft: drafts.AnyDraft, check: Check) -> None:
    for secret in scene.secrets[:2]:
        draft = drafts.sign(draft, secret, check)
    finished = drafts.finalise(draft)
    if finished.to:
        rpc = RpcClient(scene.anvil.rpc_url)
        await GasAccount(rpc, GAS_KEY).send(finished.to, finished.data)
        await rpc.close()
    else:
        await scene.litecoin._rpc.call(str, "sendrawtransaction", finished.data.hex())
        await scene.litecoin.mine(1)


async def test_what_was_paid_out_is_settled_once_on_litecoin(scene: Scene) -> None:
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        await bench.look()
        draft = await settling.plan(bench, RLTC, None, FEE_RATE)
        check = await settling.check_settlement(bench, RLTC, draft)
        assert isinstance(draft, psbt.Draft)
        [to_float, change] = draft.spend.outputs
        assert (to_float.address, to_float.units + draft.spend.fee_units) == (scene.ltc_float, 2 * COIN + 10)
        assert change.place == Place(Branch.CHANGE, 0)
        assert any("2.00000000 rLTC of payouts that merchants signed" in line for line in check.lines)
        await sign_and_send(scene, draft, check)
    async with checking(scene, LTC) as bench:
        await bench.look()
        assert bench.found.settled == {RLTC.id: to_float.units}
        with pytest.raises(NothingToSettle):
            await settling.plan(bench, RLTC, None, FEE_RATE)
        with pytest.raises(ClaimExceeded):  # "since last time" owes nothing: the claim is cumulative
            await settling.check_settlement(bench, RLTC, await settling.plan(bench, RLTC, COIN, FEE_RATE))


async def test_what_was_paid_out_is_settled_once_on_evm(scene: Scene) -> None:
    await paid_out(scene)
    await flush(scene.anvil.rpc_url, scene.plan.factory, [scene.index()], [EVM_COIN], GAS_KEY)
    async with checking(scene, EVM) as bench:
        await bench.look()
        draft = await settling.plan(bench, ETH, None, 0)
        assert isinstance(draft, safe.SafeDraft)
        assert (draft.payment.to, draft.payment.units) == (scene.evm_float, ETHER + 10)
        check = await settling.check_settlement(bench, ETH, draft)
        assert await settling.is_open(bench, bench.memory.open[ETH.id])
        await sign_and_send(scene, draft, check)
        assert not await settling.is_open(bench, bench.memory.open[ETH.id])
    async with checking(scene, EVM) as bench:
        await bench.look()
        with pytest.raises(NothingToSettle):
            await settling.plan(bench, ETH, None, 0)


async def test_nothing_is_signed_without_a_check_of_the_same_digest(scene: Scene) -> None:
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        await bench.look()
        check = await settling.check_settlement(bench, RLTC, await settling.plan(bench, RLTC, COIN, FEE_RATE))
        other = await settling.plan(bench, RLTC, COIN + 1, FEE_RATE)
        with pytest.raises(NotChecked):
            drafts.sign(other, scene.secrets[0], check)


def changed(bench: Bench, draft: drafts.AnyDraft, **more: object) -> psbt.Draft:
    assert isinstance(draft, psbt.Draft)
    return psbt.draft_of(replace(draft.spend, **more))  # type: ignore[arg-type]  # fields of a spend


async def test_each_lie_in_a_draft_has_its_own_refusal(scene: Scene) -> None:
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        await bench.look()
        good = await settling.plan(bench, RLTC, COIN, FEE_RATE)
        assert isinstance(good, psbt.Draft)
        pay, change = good.spend.outputs
        [spent] = good.spend.inputs
        thief = VaultOutput(fresh_address(LTC), pay.units)
        less = replace(change, units=change.units - pay.units)
        bad: list[tuple[type[Exception], psbt.Draft]] = [
            (DestinationForbidden, changed(bench, good, outputs=(thief, change))),
            (DestinationForbidden, changed(bench, good, outputs=(pay, thief, less))),
            (DestinationForbidden, changed(bench, good, outputs=(replace(change, units=change.units + pay.units),))),
            (FeeUnreasonable, changed(bench, good, outputs=(pay, replace(change, units=change.units - COIN)))),
            (InputUnproved, changed(bench, good, inputs=(replace(spent, txid="ab" * 32),))),
            (InputUnproved, changed(bench, good, inputs=(replace(spent, units=spent.units + 5),))),
        ]  # fmt: skip
        for error, draft in bad:
            with pytest.raises(error):
                await settling.check_settlement(bench, RLTC, draft)
        with pytest.raises(ClaimExceeded):
            await settling.check_settlement(bench, RLTC, await settling.plan(bench, RLTC, 2 * COIN + 11, FEE_RATE))
        assert bench.memory.open == {}


async def test_a_second_draft_must_conflict_with_the_first(scene: Scene) -> None:
    await scene.deposit(ltc=3 * COIN)
    await paid_out(scene)
    scene.birth = (1, 1)
    async with checking(scene, LTC) as bench:
        await bench.look()
        first = await settling.plan(bench, RLTC, COIN, FEE_RATE)
        await settling.check_settlement(bench, RLTC, first)
        replacement = await settling.plan(bench, RLTC, COIN, 2 * FEE_RATE)
        await settling.check_settlement(bench, RLTC, replacement)
        used = bench.memory.open[RLTC.id].inputs[0]
        free = next(coin for name, coin in bench.found.coins.items() if name != used)
        txid, _, vout = free.outpoint.partition(":")
        assert isinstance(first, psbt.Draft)
        pay = replace(first.spend.outputs[0], units=COIN // 2)
        own = replace(first.spend.outputs[1], units=free.units - COIN // 2 - 1_000)
        alone = (VaultInput(txid, int(vout), free.place, free.units),)
        other = changed(bench, first, inputs=alone, outputs=(pay, own))
        with pytest.raises(DraftOpen):
            await settling.check_settlement(bench, RLTC, other)
        bench.memory.open[RLTC.id] = OpenDraft("ab" * 32, COIN, ("cd" * 32 + ":0",), None)  # paid: its input is gone
        await settling.check_settlement(bench, RLTC, other)


async def test_above_the_cap_nothing_is_settled_whatever_is_owed(scene: Scene) -> None:
    scene.platform.policies.clear()
    scene.set_policy(policy_text().replace('float_cap = "500"', 'float_cap = "4.5"', 1))
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        await bench.look()
        with pytest.raises(CapExceeded):
            await settling.check_settlement(bench, RLTC, await settling.plan(bench, RLTC, COIN, FEE_RATE))


async def test_what_is_the_merchants_stays_in_the_vault_whatever_is_owed(scene: Scene) -> None:
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        await bench.look()
        bench.record.entitlements["mer_one", RLTC.id] += 3 * COIN
        with pytest.raises(MerchantsShort):
            await settling.check_settlement(bench, RLTC, await settling.plan(bench, RLTC, COIN, FEE_RATE))


async def test_a_stranger_who_spent_the_float_blocks_every_settlement(scene: Scene) -> None:
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        bench.record.stopped[LTC.id] = "unexplained spend"
        with pytest.raises(SettlementBlocked):
            await bench.look()
    async with checking(scene, LTC) as bench:
        for outpoint, coin in list(bench.record.coins[LTC.id].items()):
            bench.record.coins[LTC.id]["ab" * 32 + ":0"] = replace(coin, outpoint="ab" * 32 + ":0")
            del bench.record.coins[LTC.id][outpoint]
        with pytest.raises(SettlementBlocked):
            await bench.look()


def edited(entries: Sequence[StoredEntry], old: str, new: str) -> list[StoredEntry]:
    """The journal as a signer in an attacker's hands would write it: every hash is right."""
    from holdfast.core.journal import entry_hash

    made, hash_before = [], Head().hash
    for entry in entries:
        document = entry.document.replace(old, new)
        hash_before = entry_hash(hash_before, document.encode())
        made.append(StoredEntry(document, hash_before))
    return made


async def test_a_journal_that_lies_is_found_out_entry_by_entry(scene: Scene) -> None:
    await paid_out(scene)
    root = scene.house.quorum.fingerprint()
    good = scene.platform.entries
    with pytest.raises(JournalBroken):
        read_evidence([*good[:5], *good[6:]], root, Head())
    bigger = edited(good, f'"units\\":\\"{2 * COIN}', f'"units\\":\\"{5 * COIN}')
    assert bigger != good
    with pytest.raises(EvidenceFalse):  # the merchant signed another amount
        read_evidence(bigger, root, Head())
    with pytest.raises(EvidenceFalse):  # the tariff does not fit
        read_evidence(edited(good, f'"units":"{10 * COIN}"', f'"units":"{90 * COIN}"'), root, Head())
    with pytest.raises(EvidenceFalse):
        read_evidence(good, "ab" * 32, Head())
    head = Head(len(good), good[-1].hash)
    with pytest.raises(EvidenceRolledBack):
        read_evidence(good[:-1], root, head)
    assert read_evidence(good, root, head).record.head == head


async def test_a_deposit_or_payout_that_is_not_on_the_officers_chain_proves_nothing(scene: Scene) -> None:
    await paid_out(scene)
    async with checking(scene, LTC) as bench:
        key, deposit = next(item for item in bench.record.deposits.items() if item[0][0] == LTC.id)
        bench.record.deposits[key] = msgspec.structs.replace(deposit, units=deposit.units + 1)
        with pytest.raises(EvidenceUnproved):
            await bench.look()
    async with checking(scene, LTC) as bench:
        bench.evidence.mined[:] = [msgspec.structs.replace(one, height=1) for one in bench.evidence.mined]
        with pytest.raises(EvidenceUnproved):
            await bench.look()
    async with checking(scene, LTC) as bench:
        for payout in bench.evidence.ordered:
            ordered = bench.evidence.ordered[payout]
            line = msgspec.structs.replace(ordered.lines[0], destination=fresh_address(LTC))
            bench.evidence.ordered[payout] = msgspec.structs.replace(ordered, lines=(line,))
        with pytest.raises(EvidenceUnproved):
            await bench.look()


async def test_a_consolidation_pays_the_vault_alone(scene: Scene) -> None:
    scene.birth = (await scene.litecoin.height() + 1, 1)
    for _ in range(3):
        await scene.deposit(ltc=COIN)
    await scene.fund(ltc=[COIN])
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
    async with checking(scene, LTC) as bench:
        await bench.look()
        draft = settling.plan_consolidation(bench, FEE_RATE)
        check = settling.check_consolidation(bench, draft)
        assert isinstance(draft, psbt.Draft)
        pay = VaultOutput(scene.ltc_float, draft.spend.outputs[0].units)
        with pytest.raises(DestinationForbidden):
            settling.check_consolidation(bench, changed(bench, draft, outputs=(pay,)))
        await sign_and_send(scene, draft, check)
    async with checking(scene, LTC) as bench:
        await bench.look()
        assert [coin.place for coin in bench.found.coins.values()] == [Place(Branch.CHANGE, 0)]
        assert bench.found.vault_fees_units == draft.spend.fee_units


async def ordered_directly(scene: Scene, to: str) -> str:
    """A payout that the quorum orders out of the vault, once it is found that an order with another signature counts
    for nothing; its id."""
    scene.birth = (await scene.litecoin.height() + 1, 1)
    await scene.deposit(ltc=100 * COIN)
    await scene.fund(ltc=[COIN])
    payout = scene.order([(to, 80 * COIN)])  # above what the float pays at once
    [proposed] = scene.platform.payouts
    ordered = DirectPayout(proposed.intent.document, proposed.intent.signature, 11)
    async with scene.watched(), scene.signing() as signer:
        scene.platform.payouts = []
        await signer.round()
        scene.platform.orders.append(scene.house.order(msgspec.structs.replace(ordered, signature="ab" * 64)))
        await signer.round()
        assert signer.record.direct == {}  # not the merchant's signature
        scene.platform.orders.append(scene.house.order(ordered))
        scene.platform.payouts = [proposed]
        await signer.round()
        assert signer.record.tombstones[payout] == "direct-payout"
        assert not signer.record.reservations
    return payout


async def test_a_direct_payout_is_paid_by_the_vault_once_and_never_by_the_float(scene: Scene) -> None:
    to = fresh_address(LTC)
    payout = await ordered_directly(scene, to)
    async with checking(scene, LTC) as bench:
        await bench.look()
        draft = await settling.plan_direct_payout(bench, payout, FEE_RATE)
        assert isinstance(draft, psbt.Draft)
        spend = draft.spend
        thief = tuple(replace(one, address=fresh_address(LTC)) if one.address == to else one for one in spend.outputs)
        with pytest.raises(DestinationForbidden):
            await settling.check_direct_payout(bench, payout, changed(bench, draft, outputs=thief))
        check = await settling.check_direct_payout(bench, payout, draft)
        with pytest.raises(NotOrdered):
            await settling.check_direct_payout(bench, "ab" * 32, draft)
        await sign_and_send(scene, draft, check)
        memory = bench.memory
    async with checking(scene, LTC) as bench:
        bench.memory.direct.update(memory.direct)
        await bench.look()
        with pytest.raises(PaidAlready):
            await settling.check_direct_payout(bench, payout, draft)
        claim, holdings = await settling.claim_and_holdings(bench, RLTC, replaces=False)
        assert claim.units == -spend.fee_units  # the merchant's money is not the company's
        assert holdings.entitled_units == 99 * COIN - 80 * COIN - 10


async def test_a_migration_goes_to_the_ordered_vault_after_its_delay(scene: Scene) -> None:
    await paid_out(scene)
    new_vault, now = fresh_address(LTC), scene.clocks.wall_ms() // 1000
    scene.platform.orders.append(scene.house.order(Migration(LTC.id, new_vault, now, 12)))
    async with scene.watched(), scene.signing() as signer:
        await signer.round()
    async with checking(scene, LTC) as bench:
        await bench.look()
        moved = [VaultOutput(new_vault, 7 * COIN)]
        spend = settling._spend(bench, list(bench.found.coins.values()), moved, FEE_RATE)
        draft = psbt.draft_of(spend)
        with pytest.raises(NotOrdered):
            settling.check_migration(bench, RLTC, draft, now + 3_500)
        later = now + 4_000
        assert settling.check_migration(bench, RLTC, draft, later).kind == "migration"
        thief = replace(spend.outputs[0], address=fresh_address(LTC))
        with pytest.raises(DestinationForbidden):
            settling.check_migration(bench, RLTC, changed(bench, draft, outputs=(thief, *spend.outputs[1:])), later)
