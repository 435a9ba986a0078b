"""The signer at work: the fourth stop, and the one order in which every signature is made.

verify · entitle · limit · build · journal the reservation · lease · sign · journal the signed bytes · witness · release
Nothing leaves before it is on disk and witnessed. Whatever fails, the round is done again and the same bytes leave.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field

from holdfast.chains.outflow import FeeRate
from holdfast.core import journal as j
from holdfast.core.errors import HoldfastError
from holdfast.core.networks import EvmNetwork, Network
from holdfast.core.orders import SignedOrder
from holdfast.policy import admit
from holdfast.policy.decide import Allowed, Decision, Moment, Proposal, Refused, decide, is_held_back
from holdfast.policy.document import Policy
from holdfast.policy.limits import Reading, refilled
from holdfast.policy.people import Times
from holdfast.policy.record import Record, Reservation
from holdfast.policy.rules import Rule
from holdfast.signer import building, gas, house
from holdfast.signer.clocks import Clocks
from holdfast.signer.coins import NotEnough
from holdfast.signer.intake import take_documents, take_hints, watch_float
from holdfast.signer.networks import Sight
from holdfast.signer.platform import Platform, ProposedPayout, Waiting, Work
from holdfast.signer.settings import SignerSettings
from holdfast.signer.sign import Keys, gas_account, sign
from holdfast.signer.store import Journal
from holdfast.signer.tower import Held, Tower

log = logging.getLogger("holdfast.signer")
PUBLISHED_MAX = 5_000
"""Entries that are handed over at once."""
REFILL_SECONDS = 60
"""How often the journal notes that limits refilled while nothing is decided."""
EVERYTHING_FROZEN = frozenset({"*"})


@dataclass(slots=True)
class Signer:
    """Everything that a round needs. One per process."""

    settings: SignerSettings
    journal: Journal
    keys: Keys
    tower: Tower
    platform: Platform
    sights: dict[str, Sight]
    clocks: Clocks
    held: Held | None = None
    rates: dict[str, FeeRate] = field(default_factory=dict)
    """Networks that can be signed on in this round, and what they ask."""
    waiting: dict[str, Waiting] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    """Reservations whose bytes this process has handed to the signer's own nodes."""
    open_since: dict[int, int] = field(default_factory=dict)
    """When this process first saw a reservation open, by the boot clock."""

    @property
    def record(self) -> Record:
        """What the journal says."""
        return self.journal.record

    async def begin(self, genesis: SignedOrder, version: str) -> None:
        """Compare the journal with what the watchtower holds, before anything is added to it.

        Raises `JournalOlder`, `JournalForked`, `TowerUnreachable`, and for a new journal as `admit.genesis`.
        """
        if self.record.head.seq == 0:
            self._add(admit.genesis(genesis, self.settings.root_fingerprint, self._wall_seconds()))
            self.journal.commit()
        else:
            self.tower.witnessed = self.journal.written
        await self.tower.ask(self.journal)
        self._add(j.Started(self.clocks.boot_id(), version))
        self.journal.commit()

    async def round(self) -> None:
        """Everything that is to be done now, once. Raises what watchtower, platform and journal raise."""
        work = await self.platform.work(self.settings.wait_seconds)
        await self._lease()
        take_documents(work, self.record, self._times().latest, self._add)  # no delay began before either clock says so
        await self._look(work)
        # verify, entitle, limit
        self.waiting = {}
        for proposed in work.payouts:
            self._decide(proposed)
        # build
        self._abandon_expired()
        for name in self.rates:
            self._build(name)
            await self._build_gas(name, work)
        # journal the reservation
        self.journal.commit()
        # lease
        held = await self._lease()
        # sign
        self._sign(held)
        # journal the signed bytes
        self.journal.commit()
        # witness
        held = await self._lease()
        # release
        await self._release(held, work.journal_seq)

    async def close(self) -> None:
        """Close all connections and the journal."""
        await self.tower.close()
        await self.platform.close()
        for sight in self.sights.values():
            await sight.close()
        self.journal.close()

    async def _lease(self) -> Held:
        """A lease for everything that is on disk: the present one while it is that and half of its time is left."""
        held, now = self.held, self.clocks.boot_ms()
        is_good = held is not None and held.lease.witnessed == self.journal.written
        if held is None or not is_good or 2 * (now - held.asked_at_ms) > held.lease.duration_ms:
            held = self.held = await self.tower.ask(self.journal)
        return held

    async def _look(self, work: Work) -> None:
        """At every network: what hints point at, the float, the fees. One that cannot be seen is not signed on."""
        self.rates = {}
        policies = self._policies()
        for name, sight in self.sights.items():
            if name not in self.record.floats or not policies or any(name not in each.networks for each in policies):
                continue
            try:
                await take_hints(work, self.record, sight, policies, self._add)
                now = self.clocks.boot_ms()
                if now - sight.looked_at_ms >= self.settings.watch_milliseconds or work.payouts:
                    await watch_float(self.record, sight, self._add)
                    sight.looked_at_ms = now
                self._refill(name, await sight.outflow.median_time(), is_needed=bool(work.payouts))
                self.rates[name] = await sight.outflow.fees()
            except HoldfastError as error:
                log.warning("%s cannot be seen: %s", name, error)

    def _refill(self, network: str, chain_seconds: int, *, is_needed: bool) -> None:
        """Let the network's limits refill by what all clocks allow, at the latest when something is decided."""
        if self.held is None:
            return
        boot, boot_seconds = self.clocks.boot_id(), self.clocks.boot_ms() // 1000
        reading = Reading(boot, boot_seconds, self.held.tower_seconds(self.clocks), chain_seconds)
        anchor = self.record.clocks.get(network)
        if anchor is None or anchor.boot != boot:
            seconds = 0 if anchor is None else refilled(anchor, reading)
            facts = (boot, boot_seconds, reading.tower_seconds, chain_seconds)
            self._add(j.Clock(network, *facts, refill_seconds=seconds))
            return
        # The anchor moves on by what has passed and no further, so that a clock that is ahead now is not when another
        # one has caught up.
        passed = refilled(anchor, reading) - anchor.refill_seconds
        if passed >= (1 if is_needed else REFILL_SECONDS):
            facts = (boot, anchor.boot_seconds + passed, anchor.tower_seconds + passed, anchor.chain_seconds + passed)
            self._add(j.Clock(network, *facts, refill_seconds=anchor.refill_seconds + passed))

    def _decide(self, proposed: ProposedPayout) -> None:
        """Accept, refuse for ever, or let wait."""
        try:
            proposal = Proposal(proposed.intent, proposed.approvals, proposed.slot, int(proposed.slot_units))
        except ValueError:
            return
        if self.record.is_known(proposal.payout):
            return
        moment = self._moment()
        decision = self._judge(proposal, moment)
        if isinstance(decision, Allowed):
            at, refill = moment.now.earliest, self.record.refill_seconds(decision.payout.network)
            facts = (proposal.payout, proposal.intent, proposal.approvals, proposal.slot, proposal.slot_units)
            self._add(j.Accepted(*facts, at=at, refill_seconds=refill))
        elif decision.rule.is_final:
            self._add(j.Refused(proposal.payout, decision.rule.value, decision.detail[:200]))
        else:
            self.waiting[proposal.payout] = Waiting(proposal.payout, decision.rule.value, decision.detail[:200])

    def _judge(self, proposal: Proposal, moment: Moment) -> Decision:
        """What the policies say, then whether it can be built now."""
        decision = decide(proposal, self.record, moment)
        if isinstance(decision, Refused):
            return decision
        payout = decision.payout
        rate, sight = self.rates.get(payout.network), self.sights.get(payout.network)
        if rate is None or sight is None:
            return Refused(Rule.NETWORK_UNSEEN)
        if not building.fits(self.record, sight.network, payout):
            return Refused(Rule.LINES_IMPOSSIBLE)
        if building.room_units(self.record, sight.network, payout.asset, rate) < payout.lines_units:
            return Refused(Rule.FLOAT_SHORT)
        return building.refuse_rate(sight.network, rate, self._policies()) or decision

    def _abandon_expired(self) -> None:
        """What was accepted and never built, and is too old now: nothing of it was signed, and nothing will be."""
        latest = self._times().latest
        for payout_id in list(self.record.unreserved):
            if self.record.payouts[payout_id].payout.expires_at <= latest:
                self._add(j.Abandoned(payout_id, Rule.INTENT_EXPIRED.value))

    def _build(self, name: str) -> None:
        """Reserve the transactions of a network: payouts, what the house does, replacements."""
        if self._moment().is_frozen(self.record, name):
            return
        network, rate, policies = self.sights[name].network, self.rates[name], self._policies()
        if building.refuse_rate(network, rate, policies) is None:
            for asset in {self.record.payouts[one].payout.asset for one in self.record.unreserved}:
                if asset.startswith(f"{name}/"):
                    self._build_payouts(network, asset, rate)
            for body in house.proposals(self.record, network, rate, policies):
                if not self._moment().is_frozen(self.record, body.asset):
                    self._reserve(body)
        self._bump(network, rate)

    async def _build_gas(self, name: str, work: Work) -> None:
        """Reserve what the gas account does: at most one transaction of it waits at a time."""
        sight, rate, policies = self.sights[name], self.rates[name], self._policies()
        account = gas_account(self.keys, name) if isinstance(sight.network, EvmNetwork) else None
        is_busy = any(one.body.account == account for one in self.record.waiting())
        if account is None or is_busy or self._moment().is_frozen(self.record, name):
            return
        if building.refuse_rate(sight.network, rate, policies) is not None:
            return
        try:
            body = await gas.top_up(self.record, sight, (account, sight.owner(self.record)), policies, rate)
            for hint in work.flushes if body is None else ():
                if body is None and hint.network == name:
                    body = await gas.flush(self.record, sight, hint, (account, policies), rate)
        except HoldfastError as error:
            log.warning("%s: no gas work: %s", name, error)
            return
        if body is not None:
            self._reserve(body)

    def _build_payouts(self, network: Network, asset: str, rate: FeeRate) -> None:
        waiting = [(one, self.record.payouts[one].payout) for one in self.record.unreserved]
        moment = self._moment()
        payouts = [
            (one, payout)
            for one, payout in waiting
            if not is_held_back(self.record, payout, moment.now)
            and not any(moment.is_frozen(self.record, scope) for scope in (payout.asset, payout.merchant))
        ]
        batches = building.batches(network, asset, [one for one in payouts if one[1].asset == asset])
        while batches:
            batch = batches.pop(0)
            body = building.pay(self.record, network, batch, rate)
            refused = None if isinstance(body, NotEnough) else self._reserve(body)
            if isinstance(body, NotEnough) or refused is Rule.LIMIT_FEES:
                break
            if refused is not None and len(batch) > 1:  # too dear together; who is too dear alone stops nobody else
                batches[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]

    def _bump(self, network: Network, rate: FeeRate) -> None:
        now = self.clocks.boot_ms()
        for reservation in self.record.waiting():
            since = self.open_since.setdefault(reservation.seq, now)
            is_late = now - since >= self.settings.bump_after_seconds * 1000
            if reservation.body.network == network.id and reservation.signed is not None and is_late:
                body = building.bump(self.record, network, reservation, rate, self._policies())
                if body is not None:
                    self._reserve(body)

    def _reserve(self, body: j.Reserved) -> Rule | None:
        """Journal a reservation; or why its fee may not be paid."""
        refused = building.refuse_fee(self.record, body, self._policies())
        if refused is not None:
            log.warning("%s: a %s waits: %s %s", body.network, body.purpose, refused.rule, refused.detail)
            return refused.rule
        self._add(body)
        return None

    def _sign(self, held: Held) -> None:
        """Sign what is reserved, where nothing is frozen, while the lease runs."""
        for reservation in self.record.waiting():
            if reservation.signed is None and self._may(held, reservation):
                self._add(sign(reservation, self.record, self.keys))

    def _may(self, held: Held, reservation: Reservation) -> bool:
        """Whether the lease, read again now, covers this: a freeze of a merchant or an asset holds what pays it, the
        first stage of a restore what goes beyond the allow-lists."""
        payouts = [self.record.payouts[one].payout for one in reservation.body.payouts]
        scopes = {reservation.body.network, reservation.body.asset, *(one.merchant for one in payouts)}
        if held.lease.is_frozen(*scopes) or self.record.is_stopped(*scopes):
            return False
        now = self._times()
        return held.is_valid(self.clocks) and not any(is_held_back(self.record, one, now) for one in payouts)

    async def _release(self, held: Held, mirrored: int) -> None:
        """Hand over what is witnessed: to the platform, and signed bytes to our own nodes. The same bytes, always."""
        ready = [one for one in self.record.waiting() if one.signed is not None and one.seq not in self.released]
        covered = {one.seq for one in ready if self._may(held, one)}
        # What the platform says that it has, it has, or it does not get it now: that holds nobody else's back.
        held_back = [one.signed_at for one in ready if one.seq not in covered and one.signed_at > mirrored]
        limit = min(held_back, default=held.lease.seq + 1) - 1
        if held_back:
            log.warning("frozen between signature and release: the journal is kept back from entry %d on", limit + 1)
        for reservation in ready:
            if reservation.signed is not None and reservation.seq in covered and reservation.signed_at <= limit:
                await self._send(reservation.body.network, bytes.fromhex(reservation.signed.raw))
                self.released.add(reservation.seq)
        if self.journal.entries(mirrored, limit, 1) or self.waiting:
            await self._publish(mirrored, limit, held)

    async def _publish(self, mirrored: int, limit: int, held: Held) -> None:
        """Entries up to the limit to the platform, in parts that it takes; what it holds already it does not mind."""
        waiting = list(self.waiting.values())
        entries = self.journal.entries(mirrored, limit, PUBLISHED_MAX)
        while True:
            up_to = mirrored + len(entries)
            lease = held.signed if up_to == held.lease.seq else None
            now_mirrored = await self.platform.publish(mirrored, entries, lease, waiting)
            if now_mirrored <= mirrored or now_mirrored >= limit or len(entries) < PUBLISHED_MAX:
                return
            mirrored, waiting = now_mirrored, []
            entries = self.journal.entries(mirrored, limit, PUBLISHED_MAX)

    async def _send(self, network: str, raw: bytes) -> None:
        """To our own nodes. The platform's broadcaster sends the same bytes for as long as it takes."""
        sight = self.sights.get(network)
        if sight is None:
            return
        try:
            await sight.outflow.send(raw)
        except HoldfastError as error:
            log.warning("%s did not take a transaction: %s", network, error)

    def _moment(self) -> Moment:
        frozen = EVERYTHING_FROZEN if self.held is None else frozenset(self.held.lease.frozen)
        return Moment(self._times(), frozen)

    def _times(self) -> Times:
        wall = self._wall_seconds()
        tower = wall if self.held is None else self.held.tower_seconds(self.clocks)
        return Times(min(wall, tower), max(wall, tower))

    def _policies(self) -> list[Policy]:
        return self.record.policies.in_force(self._times())

    def _wall_seconds(self) -> int:
        return self.clocks.wall_ms() // 1000

    def _add(self, body: j.Body) -> None:
        self.journal.add(body, self.clocks.wall_ms())
