"""The one place where a payout is decided: one ladder, one `if` a rule, in the order of `Rule`. The third stop.

Pure: the record says what has happened, the caller says what time it is and what is frozen. It changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from holdfast.core.intents import (
    APPROVAL_TAG,
    NUMBER_WINDOW,
    Conversion,
    Intent,
    IntentMalformed,
    Payout,
    SignedIntent,
    StandingOrder,
    read_intent,
    signing_input,
    standing_payout,
)
from holdfast.core.orders import Stage
from holdfast.core.quorum import Signature, is_signed, signers
from holdfast.policy.document import AssetPolicy, Policy
from holdfast.policy.limits import Usage
from holdfast.policy.people import MerchantRecord, Times
from holdfast.policy.record import Key, Record, limit_of
from holdfast.policy.rules import Rule


class Proposal(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be decided: an intent, and for a standing order the slot and the amount that somebody proposes."""

    intent: SignedIntent
    approvals: tuple[Signature, ...] = ()
    slot: int | None = None
    slot_units: int = 0

    @property
    def payout(self) -> str:
        """The payout's id."""
        return self.intent.id if self.slot is None else f"{self.intent.id}:{self.slot}"


@dataclass(frozen=True, slots=True)
class Moment:
    """What counts besides the record: the time, and what watchtower or people froze."""

    now: Times
    frozen: frozenset[str] = frozenset()

    def is_frozen(self, record: Record, scope: str) -> bool:
        """Whether nothing may be signed in this scope."""
        return "*" in self.frozen or scope in self.frozen or record.is_stopped(scope)


@dataclass(frozen=True, slots=True)
class Allowed:
    """It may be built and signed."""

    payout: Payout


@dataclass(frozen=True, slots=True)
class Refused:
    """It is not signed now, or never, and this is why."""

    rule: Rule
    detail: str = ""


Decision = Allowed | Refused


def decide(  # noqa: C901, PLR0915  the one ladder: a branch a rule
    proposal: Proposal, record: Record, moment: Moment, *, is_direct: bool = False
) -> Decision:
    """Whether the payout may be signed under every policy that is in force.

    `is_direct`: the quorum pays it out of the vault, so limits of the float and single officers' approvals say nothing.
    """
    policies = record.policies.in_force(moment.now)
    document = proposal.intent.document.encode()
    # verify
    try:
        intent = read_intent(document)
        payout = _payout(intent, proposal)
    except IntentMalformed as error:
        return Refused(Rule.INTENT_MALFORMED, error.detail)
    if payout is None:
        return Refused(Rule.INTENT_KIND_UNSUPPORTED)
    if any(_waits_too_long(intent, policy) for policy in policies):
        return Refused(Rule.INTENT_TOO_LONG_LIVED)
    person = record.merchants.get(payout.merchant)
    if person is None:
        return Refused(Rule.MERCHANT_UNKNOWN)
    signed_by = _signer(person, proposal.intent, document)
    if signed_by is None:
        return Refused(Rule.SIGNATURE_INVALID)
    if payout.expires_at <= moment.now.latest:
        return Refused(Rule.INTENT_EXPIRED)
    if proposal.slot is None and _is_number_used(record, payout):
        return Refused(Rule.NUMBER_REUSED, str(payout.number))
    certificate = person.in_force(moment.now, policies[0]) if policies else person.newest
    if certificate is None or payout.merchant in moment.frozen:
        return Refused(Rule.MERCHANT_FROZEN)
    if certificate.key != signed_by:
        return Refused(Rule.SIGNATURE_INVALID, "this key does not count now")
    if certificate.expires_at.timestamp() <= moment.now.latest:
        return Refused(Rule.CERTIFICATE_EXPIRED)
    if payout.not_before > moment.now.earliest:
        return Refused(Rule.INTENT_EARLY)
    if not policies or any(policy.expires_at <= moment.now.latest for policy in policies):
        return Refused(Rule.POLICY_EXPIRED)
    if any(payout.network not in policy.networks for policy in policies) or payout.network not in record.floats:
        return Refused(Rule.NETWORK_UNLISTED)
    if any(payout.asset not in policy.assets for policy in policies):
        return Refused(Rule.ASSET_UNLISTED)
    if any(line.destination in _ours(record, payout.network) for line in payout.lines):
        return Refused(Rule.DESTINATION_OURS)
    if moment.is_frozen(record, payout.network):
        return Refused(Rule.NETWORK_FROZEN)
    if moment.is_frozen(record, payout.asset):
        return Refused(Rule.ASSET_FROZEN)
    if not is_direct and is_held_back(record, payout, moment.now):
        return Refused(Rule.STAGE_ALLOWLISTED)
    if not is_direct and any(
        _approvals_missing(proposal, record, policy.assets[payout.asset], payout) for policy in policies
    ):
        return Refused(Rule.APPROVALS_MISSING)
    # entitle
    short = payout.lines_units + payout.fee_units - record.entitlements.get((payout.merchant, payout.asset), 0)
    if short > 0:
        return Refused(Rule.ENTITLEMENT_SHORT, f"{short} units")
    # limit
    for policy in () if is_direct else policies:
        rule = _limit(policy, record, payout, moment.now)
        if rule is not None:
            return Refused(rule)
    return Allowed(payout)


def is_held_back(record: Record, payout: Payout, now: Times) -> bool:
    """Whether its scope is only just being restored, and not all of it goes where officers have long let it go."""
    if record.stage_of(payout.network, payout.asset, payout.merchant) is not Stage.ALLOWLISTED:
        return False
    keys = {(payout.merchant, payout.network, line.destination) for line in payout.lines}
    return not all(record.is_listed(policy, key, now) for policy in record.policies.in_force(now) for key in keys)


def _payout(intent: Intent, proposal: Proposal) -> Payout | None:
    if isinstance(intent, Conversion):
        return None
    if isinstance(intent, StandingOrder):
        if proposal.slot is None:
            raise IntentMalformed("a standing order is paid slot by slot")
        return standing_payout(intent, proposal.slot, proposal.slot_units)
    if proposal.slot is not None:
        raise IntentMalformed("a payout has no slots")
    return intent


def _waits_too_long(intent: Intent, policy: Policy) -> bool:
    return isinstance(intent, Payout) and intent.expires_at - intent.not_before > policy.intent_seconds_max


def _signer(person: MerchantRecord, intent: SignedIntent, document: bytes) -> bytes | None:
    """Which of the merchant's keys, of any time, made the signature."""
    message = signing_input(document)
    keys = dict.fromkeys(certificate.key for certificate, _ in reversed(person.certificates))
    return next((key for key in keys if is_signed(key.hex(), intent.signature, message)), None)


def _is_number_used(record: Record, payout: Payout) -> bool:
    used = record.numbers.get(payout.merchant, set())
    return bool(used) and (payout.number in used or payout.number <= max(used) - NUMBER_WINDOW)


def _ours(record: Record, network: str) -> set[str]:
    keys = [record.floats[network], *(key for key in record.old_floats if key.network == network)]
    return {address for key in keys for address in (key.address, key.vault)}


def _approvals_missing(proposal: Proposal, record: Record, asset: AssetPolicy, payout: Payout) -> bool:
    wanted = asset.approvals_for(payout.lines_units)
    if not wanted:
        return False
    document = proposal.intent.document.encode()
    return record.quorum is None or len(_approvers(document, proposal.approvals, record)) < wanted


def _approvers(document: bytes, approvals: Sequence[Signature], record: Record) -> list[str]:
    if record.quorum is None:
        return []
    return [officer.key for officer in signers(APPROVAL_TAG, document, approvals, record.quorum)]


_CLASS_RULES = {
    "new": Rule.LIMIT_NEW_DESTINATIONS,
    "aged": Rule.LIMIT_AGED_DESTINATIONS,
    "listed": Rule.LIMIT_LISTED_DESTINATIONS,
    "merchant": Rule.LIMIT_MERCHANT,
    "total": Rule.LIMIT_TOTAL,
}


def _limit(policy: Policy, record: Record, payout: Payout, now: Times) -> Rule | None:
    asset = policy.assets[payout.asset]
    charges = record.charges(policy, payout, now.latest)
    too_large = [key for key, units in charges.items() if units > _burst(policy, key)]
    if payout.lines_units > min(asset.payout_max_units, asset.unconfirmed_max_units) or too_large:
        return Rule.PAYOUT_TOO_LARGE
    usage, at = record.usage[policy.hash], record.refill_seconds(payout.network)
    for kind, rule in _CLASS_RULES.items():
        for key, units in charges.items():
            limit = limit_of(policy, key)
            if key[0] == kind and (limit is None or usage.get(key, Usage()).left_units(limit, at) < units):
                return rule
    if record.unconfirmed.get(payout.asset, 0) + payout.lines_units > asset.unconfirmed_max_units:
        return Rule.UNCONFIRMED_TOO_MUCH
    is_whole = record.stage_of(payout.network, payout.asset, payout.merchant) is Stage.NORMAL
    if not is_whole and any(record.eased_units(policy, key, at) < units for key, units in charges.items()):
        return Rule.STAGE_LIMITED
    return None


def _burst(policy: Policy, key: Key) -> int:
    limit = limit_of(policy, key)
    return 0 if limit is None else limit.burst_units
