"""Settlement and consolidation on the checking machine: planned from its own nodes, checked, remembered.

Each kind has a checker that refuses everything else. A draft that another officer's machine made is checked by the same
function, so that all devices show one digest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

import msgspec

from holdfast.chains.evm_contracts import COIN
from holdfast.chains.granted import granted_address
from holdfast.chains.outflow import Wanted
from holdfast.chains.safe_reads import SafeReads
from holdfast.core.descriptors import Branch, Place, VaultDescriptor
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.evm import checksum
from holdfast.core.journal import Head
from holdfast.core.money import Asset
from holdfast.core.networks import BitcoinNetwork, EvmNetwork
from holdfast.core.orders import FloatKey
from holdfast.policy.document import Policy
from holdfast.policy.record import Record
from holdfast.vault import drafts, psbt, safe
from holdfast.vault.checks import Check, CheckKind, Digest
from holdfast.vault.claims import Claim, Holdings, describe, refuse_settlement, wanted_units
from holdfast.vault.drafts import AnyDraft
from holdfast.vault.evidence import Evidence
from holdfast.vault.looking import Coin, Eyes, Found, claim_of, entitled_units
from holdfast.vault.spends import INPUTS_MAX, VaultInput, VaultOutput, VaultSpend, vbytes

CONSOLIDATE_COINS = 40
"""From so many coins on the vault is consolidated before a settlement needs more inputs than an officer signs."""


class NothingToSettle(Conflict):
    """Nothing is owed, the float is full, or the vault is short. Look at the table that the detail names."""

    code = "nothing-to-settle"


class DestinationForbidden(BadInput):
    """The draft pays somebody who is neither the float nor the vault itself. Sign nothing; find out who wrote it."""

    code = "destination-forbidden"


class InputUnproved(BadInput):
    """The draft spends an output that this machine has not found in the vault. Sign nothing; find out who wrote it."""

    code = "input-unproved"


class DraftOpen(Conflict):
    """Another draft of this asset is open and does not conflict with this one: both could be paid. Finish that one."""

    code = "draft-open"


class FeeUnreasonable(BadInput):
    """The draft's fee is above what the policy lets one transaction cost. Have a new one made when fees are lower."""

    code = "fee-unreasonable"


class NotOrdered(Conflict):
    """No order of the quorum in the journal says this, or its time has not come. Sign nothing; look at the orders."""

    code = "not-ordered"


class PaidAlready(Conflict):
    """A draft for this payout was checked before, and is no longer open: it is paid. Sign no second one."""

    code = "paid-already"


class OpenDraft(msgspec.Struct, frozen=True):
    """A settlement that this officer's machine has checked, and that may be on its way."""

    digest: str
    units: int
    inputs: tuple[str, ...]
    """Outpoints (Bitcoin family)."""
    nonce: int | None
    """The Safe's (EVM)."""


class Memory(msgspec.Struct):
    """What this machine remembers between checks: an officer's own record, never handed to anybody."""

    seq: int = 0
    head: str = ""
    open: dict[str, OpenDraft] = {}
    """By asset."""
    direct: dict[str, OpenDraft] = {}
    """By payout: what the vault pays itself."""

    @property
    def seen(self) -> Head:
        """The newest entry of the journal that was seen."""
        return Head(self.seq, self.head) if self.seq else Head()


@dataclass(slots=True)
class Bench:
    """Everything that a check on one network needs."""

    eyes: Eyes
    vault: drafts.OfficersVault
    evidence: Evidence
    policies: Sequence[Policy]
    memory: Memory
    safe_reads: SafeReads | None = None
    """EVM."""
    found: Found = field(default_factory=Found)

    @property
    def record(self) -> Record:
        """What the checked journal says."""
        return self.evidence.record

    @property
    def confirmations(self) -> int:
        """By the signed policy."""
        return max(policy.networks[self.eyes.network.id].confirmations for policy in self.policies)

    async def look(self) -> None:
        """Prove the evidence on this machine's own nodes, and find what is the vault's and the float's.

        Raises `EvidenceUnproved`, `SettlementBlocked`.
        """
        await self.eyes.prove(self.evidence, self.confirmations)
        await self.eyes.refuse_strangers(self.record)
        await self.eyes.scan(self.record, self.found, self.confirmations)
        if self.safe_reads is not None:
            tip = await self.eyes.reader.tip()
            floats = [key.address for key in self._keys()]
            heights = (self.eyes.birth_height, tip.height)
            self.found.settled = await self.safe_reads.paid(floats, self.eyes.network.coin, self.eyes.tokens, heights)

    def _keys(self) -> list[FloatKey]:
        name = self.eyes.network.id
        return [self.record.floats[name], *(key for key in self.record.old_floats if key.network == name)]


async def claim_and_holdings(bench: Bench, asset: Asset, *, replaces: bool) -> tuple[Claim, Holdings]:
    """Both walls of a settlement. `replaces`: whether the open draft of the asset is going to be replaced."""
    direct, waiting = await _direct_units(bench, asset)
    claim = claim_of(bench.evidence, asset.id, bench.found, direct)
    opened = bench.memory.open.get(asset.id)
    in_flight = opened.units if opened is not None and not replaces and await is_open(bench, opened) else 0
    if isinstance(bench.eyes.network, BitcoinNetwork):
        vault = sum(coin.units for coin in bench.found.coins.values())
        lying = bench.found.float_units
    else:
        vault, lying = await _evm_units(bench, asset)
    cap = min(policy.assets[asset.id].float_cap_units for policy in bench.policies)
    return claim, Holdings(vault, entitled_units(bench.record, asset.id) + waiting, lying, in_flight, cap)


async def _direct_units(bench: Bench, asset: Asset) -> tuple[int, int]:
    """What the vault has paid directly, and what it has still to pay so: neither is the company's."""
    paid = waiting = 0
    for payout_id, payout in bench.record.direct.items():
        if payout.asset == asset.id:
            draft = bench.memory.direct.get(payout_id)
            is_paid = draft is not None and not await is_open(bench, draft)
            paid, waiting = paid + payout.lines_units * is_paid, waiting + payout.lines_units * (not is_paid)
    return paid, waiting


async def plan(bench: Bench, asset: Asset, units: int | None, fee_per_kvb: int) -> AnyDraft:
    """A settlement's draft: so many units, or as much as may be settled. Raises `NothingToSettle`."""
    claim, holdings = await claim_and_holdings(bench, asset, replaces=True)
    if isinstance(bench.eyes.network, EvmNetwork):
        most = wanted_units(claim, holdings, 0) if units is None else units
        if most <= 0 or bench.safe_reads is None:
            raise NothingToSettle("; ".join(describe(claim, holdings, asset.decimals, asset.symbol)))
        token = COIN if asset.id == bench.eyes.network.coin.id else _contract(asset)
        payment = safe.SafePayment(token, bench.record.floats[bench.eyes.network.id].address, most)
        return safe.draft_of(bench.vault.safe, payment, await bench.safe_reads.nonce())
    coins = sorted(bench.found.coins.values(), key=lambda coin: (-coin.units, coin.outpoint))[:INPUTS_MAX]
    fee = -(-_size(bench, len(coins)) * fee_per_kvb // 1000)
    most = min(wanted_units(claim, holdings, fee) if units is None else units, sum(one.units for one in coins) - fee)
    if most <= 0:
        raise NothingToSettle("; ".join(describe(claim, holdings, asset.decimals, asset.symbol)))
    to_float = [VaultOutput(bench.record.floats[bench.eyes.network.id].address, most)]
    return psbt.draft_of(_spend(bench, _fewest(coins, most + fee), to_float, fee_per_kvb))


async def plan_direct_payout(bench: Bench, payout_id: str, fee_per_kvb: int) -> AnyDraft:
    """A draft of what the quorum ordered out of the vault. Raises `NotOrdered`, `NothingToSettle`."""
    payout = bench.record.direct.get(payout_id)
    if payout is None:
        raise NotOrdered(payout_id[:80])
    if bench.safe_reads is not None:
        if len(payout.lines) != 1:
            raise NothingToSettle("a Safe pays one line at a time: have the merchant order them one by one")
        token = COIN if "/slip44:" in payout.asset else checksum(bytes.fromhex(payout.asset.rpartition("0x")[2]))
        payment = safe.SafePayment(token, payout.lines[0].destination, payout.lines[0].units)
        return safe.draft_of(bench.vault.safe, payment, await bench.safe_reads.nonce())
    coins = sorted(bench.found.coins.values(), key=lambda coin: (-coin.units, coin.outpoint))[:INPUTS_MAX]
    fee = -(-_size(bench, len(coins)) * fee_per_kvb // 1000)
    if sum(coin.units for coin in coins) < payout.lines_units + fee:
        raise NothingToSettle("the vault's largest coins do not reach: consolidate first")
    lines = [VaultOutput(line.destination, line.units) for line in payout.lines]
    return psbt.draft_of(_spend(bench, _fewest(coins, payout.lines_units + fee), lines, fee_per_kvb))


def plan_consolidation(bench: Bench, fee_per_kvb: int) -> AnyDraft:
    """A draft that makes one coin of the vault's smallest ones (Bitcoin family). Raises `NothingToSettle`."""
    coins = sorted(bench.found.coins.values(), key=lambda coin: (coin.units, coin.outpoint))[:INPUTS_MAX]
    if len(coins) < 2 or not isinstance(bench.eyes.network, BitcoinNetwork):
        raise NothingToSettle("the vault has fewer than two coins")
    return psbt.draft_of(_spend(bench, coins, [], fee_per_kvb))


async def plan_migration(bench: Bench, asset: Asset, fee_per_kvb: int) -> AnyDraft:
    """A draft that moves the vault's largest coins, or all of an asset, to the vault that was ordered.

    Raises `NotOrdered`, `NothingToSettle`.
    """
    order, _ = bench.record.migrations.get(bench.eyes.network.id, (None, 0))
    if order is None:
        raise NotOrdered(bench.eyes.network.id)
    if bench.safe_reads is not None:
        held = await bench.eyes.outflow.holding(Wanted(frozenset({bench.vault.safe.address}), bench.eyes.tokens))
        token = COIN if asset.id == bench.eyes.network.coin.id else _contract(asset)
        units = held.units.get((bench.vault.safe.address, asset.id), 0)
        if not units:
            raise NothingToSettle("the Safe holds nothing of it: flush first")
        return safe.draft_of(
            bench.vault.safe, safe.SafePayment(token, order.address, units), await bench.safe_reads.nonce()
        )
    coins = sorted(bench.found.coins.values(), key=lambda coin: (-coin.units, coin.outpoint))[:INPUTS_MAX]
    units = sum(coin.units for coin in coins) - -(-_size(bench, len(coins)) * fee_per_kvb // 1000)
    if units <= 0:
        raise NothingToSettle("the vault is empty")
    return psbt.draft_of(_spend(bench, coins, [VaultOutput(order.address, units)], fee_per_kvb))


async def check_settlement(bench: Bench, asset: Asset, draft: AnyDraft) -> Check:
    """Whether this draft may be signed as a settlement; remembered as the asset's open draft.

    Raises `DestinationForbidden`, `InputUnproved`, `FeeUnreasonable`, `DraftOpen`, `ClaimExceeded`, `CapExceeded`,
    `MerchantsShort`.
    """
    to = bench.record.floats[bench.eyes.network.id].address
    units, fee, opened = await _paid(bench, asset, draft, to)
    before = bench.memory.open.get(asset.id)
    conflicts = before is not None and _conflict(before, opened)
    if before is not None and not conflicts and await is_open(bench, before):
        raise DraftOpen(before.digest)
    claim, holdings = await claim_and_holdings(bench, asset, replaces=conflicts)
    refuse_settlement(units, fee, claim, holdings)
    bench.memory.open[asset.id] = opened
    table = describe(claim, holdings, asset.decimals, asset.symbol)
    return _checked(bench, CheckKind.SETTLEMENT, asset.id, draft, table)


def check_consolidation(bench: Bench, draft: AnyDraft) -> Check:
    """Whether this draft pays the vault alone. Raises `DestinationForbidden`, `InputUnproved`, `FeeUnreasonable`."""
    if not isinstance(draft, psbt.Draft):
        raise DestinationForbidden("a Safe needs no consolidation")
    _require_inputs(bench, draft.spend)
    if any(output.place is None for output in draft.spend.outputs):
        raise DestinationForbidden("an output is not the vault's own")
    _require_fee(bench, draft.spend.fee_units)
    return _checked(bench, CheckKind.CONSOLIDATION, bench.eyes.network.coin.id, draft, [])


async def check_direct_payout(bench: Bench, payout_id: str, draft: AnyDraft) -> Check:
    """Whether this draft pays exactly what the quorum ordered out of the vault, and no other draft has.

    Raises `NotOrdered`, `DestinationForbidden`, `InputUnproved`, `FeeUnreasonable`, `PaidAlready`, `DraftOpen`.
    """
    payout = bench.record.direct.get(payout_id)
    if payout is None or payout.network != bench.eyes.network.id:
        raise NotOrdered(payout_id[:80])
    before = bench.memory.direct.get(payout_id)
    if before is not None and not await is_open(bench, before):
        raise PaidAlready(before.digest)
    paid, opened = _outputs(bench, payout.asset, draft)
    if sorted(paid) != sorted((line.destination, line.units) for line in payout.lines):
        raise DestinationForbidden(", ".join(address for address, _ in paid) or "nothing is paid")
    if before is not None and not _conflict(before, opened):
        raise DraftOpen(before.digest)
    bench.memory.direct[payout_id] = opened
    return _checked(
        bench, CheckKind.DIRECT_PAYOUT, payout.asset, draft, [f"ordered by {payout.merchant} and the quorum"]
    )


def check_migration(bench: Bench, asset: Asset, draft: AnyDraft, now: int) -> Check:
    """Whether this draft moves money to the vault that the quorum named, after its delay, and to nobody else.

    Raises `NotOrdered`, `DestinationForbidden`, `InputUnproved`, `FeeUnreasonable`.
    """
    order, at = bench.record.migrations.get(bench.eyes.network.id, (None, 0))
    delay = max(policy.delays.loosening_seconds for policy in bench.policies)
    if order is None or now < max(order.not_before, at + delay):
        raise NotOrdered(bench.eyes.network.id)
    paid, _ = _outputs(bench, asset.id, draft)
    if [address for address, _ in paid] != [order.address]:
        raise DestinationForbidden(", ".join(address for address, _ in paid) or "nothing is paid")
    return _checked(bench, CheckKind.MIGRATION, asset.id, draft, [f"migration order {order.number}"])


def _outputs(bench: Bench, asset: str, draft: AnyDraft) -> tuple[list[tuple[str, int]], OpenDraft]:
    """What a draft pays to others than the vault itself."""
    if isinstance(draft, psbt.Draft):
        _require_inputs(bench, draft.spend)
        _require_fee(bench, draft.spend.fee_units)
        paid = [(output.address, output.units) for output in draft.spend.outputs if output.place is None]
        inputs = tuple(f"{one.txid}:{one.vout}" for one in draft.spend.inputs)
        return paid, OpenDraft(draft.digest, sum(units for _, units in paid), inputs, None)
    payment = draft.payment
    token = COIN if "/slip44:" in asset else checksum(bytes.fromhex(asset.rpartition("/erc20:")[2].removeprefix("0x")))
    if payment.token != token:
        raise DestinationForbidden(f"{payment.token} is another asset")
    return [(payment.to, payment.units)], OpenDraft(draft.digest, payment.units, (), int(draft.transaction.nonce))


def _checked(bench: Bench, kind: CheckKind, asset: str, draft: AnyDraft, why: Sequence[str]) -> Check:
    shown = [line for line in drafts.describe(draft, bench.vault) if not line.startswith("signed by")]
    return Check(kind, bench.eyes.network.id, asset, Digest(draft.digest), (*shown, *why))


async def is_open(bench: Bench, draft: OpenDraft) -> bool:
    """Whether a draft may still be paid: its inputs lie there, or its nonce was not used."""
    if draft.nonce is not None:
        return bench.safe_reads is not None and draft.nonce >= await bench.safe_reads.nonce()
    return all(outpoint in bench.found.coins for outpoint in draft.inputs)


def read_memory(path: Path) -> Memory:
    """What this machine remembers; nothing where there is no file yet."""
    return msgspec.json.decode(path.read_bytes(), type=Memory) if path.exists() else Memory()


def write_memory(path: Path, memory: Memory) -> None:
    """Remember it, whole or not at all."""
    new = path.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(memory)) + b"\n")
    new.replace(path)


async def _paid(bench: Bench, asset: Asset, draft: AnyDraft, to: str) -> tuple[int, int, OpenDraft]:
    """What a draft pays to the float and to the network, if it pays nobody else."""
    match draft:
        case psbt.Draft():
            spend = draft.spend
            _require_inputs(bench, spend)
            _require_fee(bench, spend.fee_units)
            paid = [output for output in spend.outputs if output.place is None]
            if (
                asset.id != bench.eyes.network.coin.id
                or [one.address for one in paid] != [to]
                or len(spend.outputs) > 2
            ):
                raise DestinationForbidden(", ".join(one.address for one in paid) or "nothing is paid")
            inputs = tuple(f"{one.txid}:{one.vout}" for one in spend.inputs)
            return paid[0].units, spend.fee_units, OpenDraft(draft.digest, paid[0].units, inputs, None)
        case safe.SafeDraft():
            payment = draft.payment
            token = COIN if asset.id == bench.eyes.network.coin.id else _contract(asset)
            if (payment.token, payment.to) != (token, to):
                raise DestinationForbidden(f"{payment.units} of {payment.token} to {payment.to}")
            return payment.units, 0, OpenDraft(draft.digest, payment.units, (), int(draft.transaction.nonce))
        case _ as never:
            assert_never(never)


def _conflict(before: OpenDraft, after: OpenDraft) -> bool:
    """Whether only one of the two can ever be paid."""
    if before.nonce is not None:
        return before.nonce == after.nonce
    return bool(set(before.inputs) & set(after.inputs))


def _require_inputs(bench: Bench, spend: VaultSpend) -> None:
    for one in spend.inputs:
        coin = bench.found.coins.get(f"{one.txid}:{one.vout}")
        if coin is None or (coin.place, coin.units) != (one.place, one.units):
            raise InputUnproved(f"{one.txid}:{one.vout}")


def _require_fee(bench: Bench, fee_units: int) -> None:
    most = min(policy.networks[bench.eyes.network.id].fee_max_units for policy in bench.policies)
    if fee_units > most:
        raise FeeUnreasonable(f"{fee_units} above {most}")


def _fewest(coins: Sequence[Coin], units: int) -> list[Coin]:
    """The largest coins until they reach."""
    chosen: list[Coin] = []
    for coin in coins:
        chosen.append(coin)
        if sum(one.units for one in chosen) >= units:
            break
    return chosen


def _spend(bench: Bench, coins: Sequence[Coin], paid: Sequence[VaultOutput], fee_per_kvb: int) -> VaultSpend:
    """The transaction: what is paid (nothing: a consolidation), the rest to the vault's next change address."""
    network, descriptor = bench.eyes.network, bench.eyes.descriptor
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  the callers have asked
    place = Place(Branch.CHANGE, bench.found.change_used)
    own = VaultDescriptor.parse(descriptor).address(place.index, network, place.branch)
    fee = -(-_size(bench, len(coins), len(paid) + 1) * fee_per_kvb // 1000)
    rest = sum(coin.units for coin in coins) - sum(one.units for one in paid) - fee
    outputs = list(paid)
    if rest > max(network.coin_dust_units, 1_000):
        outputs.append(VaultOutput(own, rest, place))
    inputs = []
    for coin in coins:
        txid, _, vout = coin.outpoint.partition(":")
        inputs.append(VaultInput(txid, int(vout), coin.place, coin.units))
    return VaultSpend(network, descriptor, tuple(inputs), tuple(outputs))


def _size(bench: Bench, inputs: int, outputs: int = 2) -> int:
    return vbytes(VaultDescriptor.parse(bench.eyes.descriptor), inputs, [bytes(34)] * outputs)


async def _evm_units(bench: Bench, asset: Asset) -> tuple[int, int]:
    """What lies in the Safe and at deposit addresses that a flush would bring, and at the floats."""
    network, record = bench.eyes.network, bench.record
    plan_ = bench.vault.safe
    forwarders = set()
    for deposit in record.deposits.values():
        if deposit.network == network.id:
            address = granted_address(record, network, deposit.merchant, deposit.index)
            if address is None:
                raise InputUnproved(f"index {deposit.index} of {deposit.merchant}")
            forwarders.add(address)
    floats = {key.address for key in (record.floats[network.id], *record.old_floats) if key.network == network.id}
    addresses = frozenset({plan_.address, *forwarders, *floats})
    held = await bench.eyes.outflow.holding(Wanted(addresses=addresses, tokens=bench.eyes.tokens))
    units = {address: held.units.get((address, asset.id), 0) for address in addresses}
    return sum(units[one] for one in (plan_.address, *forwarders)), sum(units[one] for one in floats)


def _contract(asset: Asset) -> str:
    return checksum(bytes.fromhex(asset.id.rpartition("/erc20:")[2].removeprefix("0x")))
