"""What a journal says, as a value: entitlements, limits, coins and nonces follow from its entries and nothing else.

Signer, watchtower and checking machine fold the same entries with this same code. `apply` believes the journal: whoever
reads a foreign one checks each entry with `policy.audit` and on a node of his own first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import assert_never

from holdfast.core import journal as j
from holdfast.core.certificates import read_certificate
from holdfast.core.intents import (
    NUMBER_WINDOW,
    IntentMalformed,
    Payout,
    StandingOrder,
    intent_id,
    read_intent,
    standing_payout,
)
from holdfast.core.journal import Entry, Head
from holdfast.core.orders import (
    EVERYTHING,
    Decide,
    DirectPayout,
    FloatKey,
    Genesis,
    Migration,
    Reanchor,
    Recovery,
    Restore,
    RotateFloat,
    Stage,
    Veto,
    read_order,
    read_word,
)
from holdfast.core.quorum import Quorum, read_quorum
from holdfast.policy.document import HOUSE_KINDS, Policy, read_policy
from holdfast.policy.limits import Anchor, Limit, Usage
from holdfast.policy.people import MerchantRecord, Policies, Times

PAYOUT = "payout"
"""The purpose of a transaction that merchants ordered."""
DIRECT = "direct-payout"
"""Why the float will never pay a payout that the quorum ordered out of the vault."""
GAS_PURPOSES = frozenset({"flush", "forwarder-deployment", "gas-top-up"})
"""What the gas account sends; all else leaves the float."""
Key = tuple[str, ...]
"""Which bucket: `("total", asset)`, `("merchant", asset, merchant)`, `("new", asset)`, `("fees", network)`, …"""


@dataclass(slots=True)
class PayoutRecord:
    """A payout that was accepted."""

    payout: Payout
    charged_units: int
    """What the merchant's entitlement fell by."""
    reservation: int | None = None


@dataclass(frozen=True, slots=True)
class Coin:
    """An output that lies at the float (Bitcoin family)."""

    outpoint: str
    address: str
    units: int
    made_by: int | None
    """The reservation whose change it is, while that is not final; None: it is final."""


@dataclass(slots=True)
class Reservation:
    """A transaction, and all that was signed in its place."""

    seq: int
    body: j.Reserved
    signed: j.Signed | None = None
    signed_at: int = 0
    """`seq` of the entry with its signed bytes."""
    replaced_by: int | None = None
    mined: j.Mined | None = None
    spent: dict[str, Coin] = field(default_factory=dict)
    """Its inputs, by outpoint (Bitcoin family)."""


@dataclass(slots=True)
class Record:
    """Everything that the journal says."""

    head: Head = field(default_factory=Head)
    quorum: Quorum | None = None
    journal_key: str = ""
    lease_key: str = ""
    floats: dict[str, FloatKey] = field(default_factory=dict)
    """By network: where the float lies now."""
    old_floats: list[FloatKey] = field(default_factory=list)
    policies: Policies = field(default_factory=Policies)
    merchants: dict[str, MerchantRecord] = field(default_factory=dict)
    enrolment: str = ""
    entitlements: dict[tuple[str, str], int] = field(default_factory=dict)
    """(merchant, asset): what he may still order out; may fall below zero after a reorganisation."""
    deposits: dict[tuple[str, str], j.Deposit] = field(default_factory=dict)
    gone: set[tuple[str, str]] = field(default_factory=set)
    """Fundings that left the chain and did not come back: nothing is built upon their coins."""
    numbers: dict[str, set[int]] = field(default_factory=dict)
    tombstones: dict[str, str] = field(default_factory=dict)
    """Payouts that are over: refused or abandoned, with the rule."""
    payouts: dict[str, PayoutRecord] = field(default_factory=dict)
    """Accepted and not final."""
    unreserved: dict[str, None] = field(default_factory=dict)
    """Those of them that no transaction pays yet, oldest first."""
    paid: set[str] = field(default_factory=set)
    usage: dict[str, dict[Key, Usage]] = field(default_factory=dict)
    """By policy hash: what is used of each bucket."""
    unconfirmed: dict[str, int] = field(default_factory=dict)
    """By asset: accepted and not final."""
    destinations: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """(merchant, network, address): refill time of the first final payout there."""
    reservations: dict[int, Reservation] = field(default_factory=dict)
    open: dict[int, None] = field(default_factory=dict)
    """The newest version of every transaction that is not final, oldest first."""
    transactions: dict[str, int] = field(default_factory=dict)
    """Every transaction that was signed, and its reservation."""
    coins: dict[str, dict[str, Coin]] = field(default_factory=dict)
    """By network and outpoint: what can be spent."""
    float_units: dict[tuple[str, str], int] = field(default_factory=dict)
    """By address and asset: what a float holds once all that is reserved has left, network fees aside."""
    nonces: dict[str, int] = field(default_factory=dict)
    """By account: the next one (EVM)."""
    fundings: dict[tuple[str, str], j.Funding] = field(default_factory=dict)
    heights: dict[str, int] = field(default_factory=dict)
    """By network: up to which block something of ours was found final."""
    clocks: dict[str, Anchor] = field(default_factory=dict)
    stopped: dict[str, str] = field(default_factory=dict)
    """Scopes that the signer stopped by itself, and why."""
    touched: set[str] = field(default_factory=set)
    """Networks whose float somebody else spent, until it is rotated."""
    stages: dict[str, tuple[Stage, int]] = field(default_factory=dict)
    """By scope that is being restored: how far, and since when. What people froze, the watchtower alone knows."""
    eased: dict[str, dict[Key, Usage]] = field(default_factory=dict)
    """By policy hash: what is used of the divided limits since the newest step of a restore."""
    orders: set[int] = field(default_factory=set)
    direct: dict[str, Payout] = field(default_factory=dict)
    """Payouts that the quorum ordered out of the vault itself."""
    migrations: dict[str, tuple[Migration, int]] = field(default_factory=dict)
    """By network: where the vault moves, and when that was ordered."""

    def apply(self, entry: Entry) -> None:  # noqa: C901, PLR0915  one branch a kind of entry: a list, not a decision
        """Take the next entry."""
        body = entry.body
        match body:
            case j.Ordered():
                self._ordered(body)
            case j.PolicyTaken():
                self._policy_taken(read_policy(body.document.encode()), body.at)
            case j.CertificateTaken() | j.VetoTaken() | j.RecoveryTaken():
                self._person(body)
            case j.Started():
                pass
            case j.Clock():
                facts = (body.boot, body.boot_seconds, body.tower_seconds, body.chain_seconds, body.refill_seconds)
                self.clocks[body.network] = Anchor(*facts)
            case j.Deposit() | j.DepositGone() | j.Funding() | j.FundingGone():
                self._arrived(body)
            case j.Refused():
                self.tombstones[body.payout] = body.rule
            case j.Accepted():
                self._accepted(body)
            case j.Abandoned():
                self._abandoned(body)
            case j.Reserved():
                self._reserved(entry.seq, body)
            case j.Signed():
                self._signed(entry.seq, body)
            case j.Mined():
                self._mined(body)
            case j.Stopped():
                self.stopped[body.scope] = body.reason
                self.touched.add(body.scope)
                self.stages.pop(body.scope, None)
            case _ as never:
                assert_never(never)
        self.head = Head(entry.seq, entry.stored.hash)

    def refill_seconds(self, network: str) -> int:
        """By which time the network's limits have refilled."""
        return self.clocks[network].refill_seconds if network in self.clocks else 0

    def is_stopped(self, *scopes: str) -> bool:
        """Whether the signer stopped any of these by itself."""
        return EVERYTHING in self.stopped or any(scope in self.stopped for scope in scopes)

    def stage_of(self, *scopes: str) -> Stage:
        """The stage that counts for what belongs to all of these: the narrowest one."""
        found = {self.stages[scope][0] for scope in (EVERYTHING, *scopes) if scope in self.stages}
        return next((stage for stage in (Stage.ALLOWLISTED, Stage.LIMITED) if stage in found), Stage.NORMAL)

    def eased_units(self, policy: Policy, key: Key, at: int) -> int:
        """What is left of a bucket while its scope is being restored."""
        limit, usage = limit_of(policy, key), self.eased.get(policy.hash, {}).get(key, Usage())
        return 0 if limit is None else usage.left_units(limit.divided(policy.limited_divisor), at)

    def is_listed(self, policy: Policy, key: tuple[str, str, str], now: Times) -> bool:
        """Whether a destination is on a policy's list, and was on one long before."""
        by = now.earliest - policy.delays.ageing_seconds
        return policy.listed.get(key, 0) > now.latest and any(
            key in other.listed and at <= by for other, at in self.policies.taken
        )

    def destination_class(self, policy: Policy, payout: Payout, address: str, now: int) -> str:
        """`listed`, `aged` or `new`: which bucket a destination draws on."""
        key = (payout.merchant, payout.network, address)
        if policy.listed.get(key, 0) > now:
            return "listed"
        first = self.destinations.get(key)
        age = self.refill_seconds(payout.network) - first if first is not None else -1
        return "aged" if age >= policy.delays.ageing_seconds else "new"

    def charges(self, policy: Policy, payout: Payout, now: int) -> dict[Key, int]:
        """What a payout takes of each bucket."""
        charges: dict[Key, int] = {
            ("total", payout.asset): payout.lines_units,
            ("merchant", payout.asset, payout.merchant): payout.lines_units,
        }
        for line in payout.lines:
            key = (self.destination_class(policy, payout, line.destination, now), payout.asset)
            charges[key] = charges.get(key, 0) + line.units
        return charges

    def family(self, seq: int) -> list[Reservation]:
        """All versions of a transaction, oldest first: at most one of them can ever be in the chain."""
        first = self.reservations[seq]
        while first.body.replaces is not None:
            first = self.reservations[first.body.replaces]
        versions = [first]
        while versions[-1].replaced_by is not None:
            versions.append(self.reservations[versions[-1].replaced_by])
        return versions

    def is_known(self, payout: str) -> bool:
        """Whether this payout was accepted or refused before: no proposal of it is looked at again."""
        return payout in self.payouts or payout in self.paid or payout in self.tombstones

    def waiting(self) -> list[Reservation]:
        """The newest version of every transaction that is not final, oldest first."""
        return [self.reservations[seq] for seq in self.open]

    def float_of(self, network: str, address: str) -> FloatKey | None:
        """The float, of now or before, that lies at this address."""
        keys = (self.floats.get(network), *self.old_floats)
        return next((key for key in keys if key is not None and (key.network, key.address) == (network, address)), None)

    def _ordered(self, body: j.Ordered) -> None:
        order = read_order(body.order.document.encode())
        match order:
            case Genesis():
                self.quorum = read_quorum(order.quorum.encode())
                self.journal_key, self.lease_key = order.journal_key, order.lease_key
                self.floats = {one.network: one for one in order.floats}
                return
            case RotateFloat(float=key):
                self.old_floats.append(self.floats[key.network])
                self.floats[key.network] = key
                self.touched.discard(key.network)
            case Restore():
                self._restored(order, body.at)
            case Reanchor(lease_key=lease_key):
                self.lease_key = lease_key
            case DirectPayout():
                self._direct(order)
            case Migration():
                self.migrations[order.network] = (order, body.at)
            case Decide():
                person = self.merchants.setdefault(order.merchant, MerchantRecord())
                person.decided[order.version] = (body.at, True)
            case _ as never:
                assert_never(never)
        self.orders.add(order.number)

    def _restored(self, order: Restore, at: int) -> None:
        for scope in order.scopes:
            self.stages[scope] = (order.stage, at)
        self.stages = {scope: one for scope, one in self.stages.items() if one[0] is not Stage.NORMAL}
        self.eased = {}
        if order.stage is Stage.ALLOWLISTED:
            is_all = EVERYTHING in order.scopes
            self.stopped = {k: v for k, v in self.stopped.items() if not is_all and k not in order.scopes}

    def _direct(self, order: DirectPayout) -> None:
        """The vault pays it: the float never will, and the merchant has it no more."""
        payout = read_intent(order.intent.encode())
        if isinstance(payout, Payout):
            payout_id = intent_id(order.intent.encode())
            self.direct[payout_id] = payout
            self.tombstones[payout_id] = DIRECT
            self.numbers.setdefault(payout.merchant, set()).add(payout.number)
            self._entitle(payout.merchant, payout.asset, -payout.lines_units - payout.fee_units)

    def _policy_taken(self, policy: Policy, at: int) -> None:
        before = self.usage.get(self.policies.taken[-1][0].hash, {}) if self.policies.taken else {}
        self.usage[policy.hash] = dict(before)
        self.policies.taken.append((policy, at))

    def _person(self, body: j.CertificateTaken | j.VetoTaken | j.RecoveryTaken) -> None:
        match body:
            case j.CertificateTaken():
                certificate = read_certificate(body.document.encode())
                person = self.merchants.setdefault(certificate.merchant, MerchantRecord())
                person.certificates.append((certificate, body.at))
                self.enrolment = hashlib.sha256((self.enrolment + body.document).encode()).hexdigest()
            case j.VetoTaken():
                veto = read_word(body.veto.document.encode(), Veto)
                self.merchants.setdefault(veto.merchant, MerchantRecord()).vetoed.add(veto.version)
            case j.RecoveryTaken():
                recovery = read_word(body.recovery.document.encode(), Recovery)
                person = self.merchants.setdefault(recovery.merchant, MerchantRecord())
                person.decided[recovery.version] = (body.at, False)
            case _ as never:
                assert_never(never)

    def _arrived(self, body: j.Deposit | j.DepositGone | j.Funding | j.FundingGone) -> None:
        match body:
            case j.Deposit():
                self.deposits[body.network, body.key] = body
                self._entitle(body.merchant, body.asset, body.units - body.tariff_units)
            case j.DepositGone():
                gone = self.deposits.pop((body.network, body.key))
                self._entitle(gone.merchant, gone.asset, gone.tariff_units - gone.units)
            case j.Funding():
                is_back = (body.network, body.key) in self.gone
                self.fundings[body.network, body.key] = body
                self.gone.discard((body.network, body.key))
                self.heights[body.network] = max(self.heights.get(body.network, 0), body.height)
                self._float(body.address, body.asset, body.units)
                is_spent = is_back and self._is_spent(body.network, body.key)
                if ":" in body.key and not body.key.startswith("0x") and not is_spent:
                    coin = Coin(body.key, body.address, body.units, None)
                    self.coins.setdefault(body.network, {})[body.key] = coin
            case j.FundingGone():
                funding = self.fundings.pop((body.network, body.key))
                self.gone.add((body.network, body.key))
                self._float(funding.address, funding.asset, -funding.units)
                self.coins.get(body.network, {}).pop(body.key, None)
            case _ as never:
                assert_never(never)

    def _is_spent(self, network: str, outpoint: str) -> bool:
        """Whether a transaction that is, or may still be, in the chain spends it: a funding can come back."""
        return any(
            outpoint in one.spent and (one.mined is None or one.mined.reservation == seq)
            for seq, one in self.reservations.items()
            if one.body.network == network
        )

    def _accepted(self, body: j.Accepted) -> None:
        payout = payout_of(body)
        if body.slot is None:
            used = self.numbers.setdefault(payout.merchant, set())
            used.add(payout.number)
            floor = max(used) - NUMBER_WINDOW
            self.numbers[payout.merchant] = {one for one in used if one > floor} if min(used) <= floor else used
        charged = payout.lines_units + payout.fee_units
        self.payouts[body.payout] = PayoutRecord(payout, charged)
        self.unreserved[body.payout] = None
        self._entitle(payout.merchant, payout.asset, -charged)
        self.unconfirmed[payout.asset] = self.unconfirmed.get(payout.asset, 0) + payout.lines_units
        for policy, _ in self.policies.taken:
            for key, units in self.charges(policy, payout, body.at).items():
                self._charge(policy, key, units, body.refill_seconds)

    def _abandoned(self, body: j.Abandoned) -> None:
        record = self.payouts.pop(body.payout)
        self.unreserved.pop(body.payout, None)
        self._entitle(record.payout.merchant, record.payout.asset, record.charged_units)
        self.unconfirmed[record.payout.asset] -= record.payout.lines_units
        self.tombstones[body.payout] = body.rule

    def _reserved(self, seq: int, body: j.Reserved) -> None:
        self.reservations[seq] = Reservation(seq, body)
        self.open[seq] = None
        if body.replaces is not None:
            old = self.reservations[body.replaces]
            old.replaced_by = seq
            del self.open[old.seq]
            if old.signed is not None and old.body.change_index is not None:
                self.coins[body.network].pop(f"{old.signed.transaction}:{old.body.change_index}", None)
        else:
            self._float(body.account, body.asset, -body.out_units)
        coins = self.coins.get(body.network, {})
        earlier = {} if body.replaces is None else self.reservations[body.replaces].spent
        reservation = self.reservations[seq]
        for outpoint in body.inputs:
            reservation.spent[outpoint] = earlier[outpoint] if outpoint in earlier else coins.pop(outpoint)
        if body.nonce is not None:
            self.nonces[body.account] = max(self.nonces.get(body.account, 0), body.nonce + 1)
        for payout in body.payouts:
            self.payouts[payout].reservation = seq
            self.unreserved.pop(payout, None)
        for policy, _ in self.policies.taken:
            self._charge(policy, ("fees", body.network), body.extra_fee_units, body.refill_seconds)
            if body.purpose != PAYOUT:
                self._charge(policy, (body.purpose, body.network), body.extra_fee_units, body.refill_seconds)

    def _signed(self, seq: int, body: j.Signed) -> None:
        reservation = self.reservations[body.reservation]
        reservation.signed, reservation.signed_at = body, seq
        self.transactions[body.transaction] = body.reservation
        reserved = reservation.body
        if reserved.change_index is not None:
            outpoint = f"{body.transaction}:{reserved.change_index}"
            coin = Coin(outpoint, reserved.account, reserved.change_units, reservation.seq)
            self.coins.setdefault(reserved.network, {})[outpoint] = coin

    def _mined(self, body: j.Mined) -> None:
        reservation = self.reservations[body.reservation]
        for version in self.family(body.reservation):
            version.mined = body
            self.open.pop(version.seq, None)
        reserved = reservation.body
        self.heights[reserved.network] = max(self.heights.get(reserved.network, 0), body.height)
        coins = self.coins.get(reserved.network, {})
        for version in self.family(body.reservation):
            if version is not reservation and version.signed is not None:
                coins.pop(f"{version.signed.transaction}:{version.body.change_index}", None)
            # What only a version that lost would have spent is there still.
            left = {name: coin for name, coin in version.spent.items() if name not in reservation.spent}
            coins.update({name: coin for name, coin in left.items() if (reserved.network, name) not in self.gone})
        if reserved.change_index is not None:
            self._change_is_final(reservation, body.transaction)
        if not reserved.payouts and body.is_reverted:
            self._float(reserved.account, reserved.asset, reserved.out_units)
        unpaid = set(body.unpaid)
        for payout_id in reserved.payouts:
            self._paid(payout_id, body, {line for of, line in unpaid if of == payout_id})

    def _change_is_final(self, reservation: Reservation, transaction: str) -> None:
        coins = self.coins.setdefault(reservation.body.network, {})
        outpoint = f"{transaction}:{reservation.body.change_index}"
        # A version that was replaced can be the one that is mined: its change is nobody's input, for only what has one
        # version is built upon.
        if outpoint in coins or reservation.replaced_by is not None:
            coins[outpoint] = Coin(outpoint, reservation.body.account, reservation.body.change_units, None)

    def _paid(self, payout_id: str, body: j.Mined, unpaid: set[int]) -> None:
        payout = self.payouts.pop(payout_id).payout
        self.paid.add(payout_id)
        returned = 0
        for place, line in enumerate(payout.lines):
            if body.is_reverted or place in unpaid:
                returned += line.units
            else:
                key = (payout.merchant, payout.network, line.destination)
                self.destinations.setdefault(key, self.refill_seconds(payout.network))
        self.unconfirmed[payout.asset] -= payout.lines_units
        self._float(self.reservations[body.reservation].body.account, payout.asset, returned)
        self._entitle(payout.merchant, payout.asset, returned)

    def _float(self, address: str, asset: str, units: int) -> None:
        self.float_units[address, asset] = self.float_units.get((address, asset), 0) + units

    def _entitle(self, merchant: str, asset: str, units: int) -> None:
        self.entitlements[merchant, asset] = self.entitlements.get((merchant, asset), 0) + units

    def _charge(self, policy: Policy, key: Key, units: int, now: int) -> None:
        limit = limit_of(policy, key)
        if limit is not None and units:
            usage = self.usage[policy.hash]
            usage[key] = usage.get(key, Usage()).charged(limit, units, now)
            eased = self.eased.setdefault(policy.hash, {})
            eased[key] = eased.get(key, Usage()).charged(limit.divided(policy.limited_divisor), units, now)


def payout_of(accepted: j.Accepted) -> Payout:
    """What an accepted entry pays. Raises `IntentMalformed`."""
    intent = read_intent(accepted.intent.document.encode())
    if isinstance(intent, Payout) and accepted.slot is None:
        return intent
    if isinstance(intent, StandingOrder) and accepted.slot is not None:
        return standing_payout(intent, accepted.slot, accepted.slot_units)
    raise IntentMalformed("it is no payout, and no slot of a standing order")


def limit_of(policy: Policy, key: Key) -> Limit | None:
    """The limit of a bucket; None where the policy has no such asset, network or kind: nothing of it may go out."""
    kind, where = key[0], key[1]
    if kind == "fees" or kind in HOUSE_KINDS:
        network = policy.networks.get(where)
        if network is None:
            return None
        return network.fees if kind == "fees" else network.house.get(kind)
    asset = policy.assets.get(where)
    if asset is None:
        return None
    if kind == "merchant":
        return policy.merchant_limit(key[2], where)
    return asset.total if kind == "total" else asset.classes[kind]
