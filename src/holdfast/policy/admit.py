"""Which documents the record takes: policies, certificates, orders, vetoes. Each is checked here, and nowhere else.

`None` means that it was taken before. A document that is wrong raises its named error and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.core import journal as j
from holdfast.core.certificates import CERTIFICATE_TAG, Certificate, CertificateMalformed, read_certificate
from holdfast.core.errors import Conflict
from holdfast.core.intents import SignedIntent
from holdfast.core.orders import (
    EVERYTHING,
    ORDER_TAG,
    RECOVERY_TAG,
    STEPS,
    VETO_TAG,
    DirectPayout,
    Genesis,
    OrderMalformed,
    Recovery,
    Restore,
    RotateFloat,
    SignedOrder,
    SignedWord,
    Stage,
    Veto,
    read_order,
    read_word,
)
from holdfast.core.quorum import Quorum, QuorumNotTrusted, Signature, is_signed, read_quorum, require_quorum, tagged
from holdfast.policy.decide import Moment, Proposal, Refused, decide
from holdfast.policy.document import POLICY_TAG, read_policy
from holdfast.policy.people import MerchantRecord, Times
from holdfast.policy.record import Record

AHEAD_SECONDS_MAX = 300
"""How far ahead of the signer's clock an officer's may be."""


class DocumentStale(Conflict):
    """A newer document of this kind was taken before. Sign the next version."""

    code = "document-stale"


class RangesTaken(Conflict):
    """The certificate grants addresses that another merchant's certificate granted. Nothing of it counts."""

    code = "ranges-taken"


class WordUnsigned(Conflict):
    """The veto or recovery is not signed by a key that may. Sign with the merchant's old key or recovery key."""

    code = "word-unsigned"


class RestoreNotDue(Conflict):
    """The step does not follow on the scope's stage, comes too soon, or lacks a check. Do what the detail says."""

    code = "restore-not-due"


class NotBegun(Conflict):
    """The journal has no genesis order. Have the officers sign one."""

    code = "not-begun"


def genesis(signed: SignedOrder, root_fingerprint: str, now: int) -> j.Ordered:
    """The first entry: the quorum whose fingerprint was pinned ordered to begin.

    Raises `OrderMalformed`, `QuorumNotTrusted`, `QuorumMalformed`, `QuorumNotReached`.
    """
    document = signed.document.encode()
    order = read_order(document)
    if not isinstance(order, Genesis):
        raise OrderMalformed("it is no genesis order")
    quorum = read_quorum(order.quorum.encode())
    if quorum.fingerprint() != root_fingerprint:
        raise QuorumNotTrusted(f"{quorum.fingerprint()} is not {root_fingerprint[:64]}")
    require_quorum(ORDER_TAG, document, signed.signatures, quorum)
    return j.Ordered(signed, now)


def order(record: Record, signed: SignedOrder, now: int) -> j.Ordered | None:
    """An order of the quorum. Raises `OrderMalformed`, `QuorumNotReached`, `NotBegun`, `RestoreNotDue`."""
    document = signed.document.encode()
    content = read_order(document)
    if isinstance(content, Genesis):
        raise OrderMalformed("a journal begins once")
    if content.number in record.orders:
        return None
    require_quorum(ORDER_TAG, document, signed.signatures, _quorum(record))
    if isinstance(content, DirectPayout):
        _require_direct(record, content, now)
    if isinstance(content, RotateFloat) and content.float.network not in record.floats:
        raise OrderMalformed(f"{content.float.network} has no float")
    if isinstance(content, Restore):
        _require_step(record, content, now)
    return j.Ordered(signed, now)


def _require_step(record: Record, content: Restore, now: int) -> None:
    """One step at a time, each once the one before has lasted; what was stolen from must be under a new key."""
    if content.stage not in STEPS or not content.scopes or content.at > now + AHEAD_SECONDS_MAX:
        raise RestoreNotDue("it names no step, no scope, or a time that is still to come")
    before, needed = STEPS[content.stage]
    if missing := needed.difference(content.checked):
        raise RestoreNotDue(f"not checked: {', '.join(sorted(missing))}")
    soak = max((one.delays.restore_soak_seconds for one in record.policies.in_force(Times(now, now))), default=0)
    for scope in content.scopes:
        touched = record.touched if scope == EVERYTHING else record.touched & {scope}
        if touched:
            raise RestoreNotDue(f"the float was spent by somebody else and not rotated: {', '.join(sorted(touched))}")
        stage, since = record.stages.get(scope, (Stage.FROZEN, 0))
        if content.stage is not Stage.ALLOWLISTED and stage is not before:
            raise RestoreNotDue(f"{scope} is not {before}")
        # Whoever signs before the stage has lasted cannot have seen how it went.
        if content.stage is not Stage.ALLOWLISTED and min(content.at, now) < since + soak:
            raise RestoreNotDue(f"{scope} is {before} for {soak} seconds at the least: sign at {since + soak}")


def _require_direct(record: Record, content: DirectPayout, now: int) -> None:
    """The merchant signed it, it is covered, and the float has not paid it and never will."""
    proposal = Proposal(SignedIntent(content.intent, content.signature))
    if record.is_known(proposal.payout):
        raise DocumentStale(f"payout {proposal.payout}")
    decision = decide(proposal, record, Moment(Times(now, now)), is_direct=True)
    if isinstance(decision, Refused):
        raise OrderMalformed(f"the payout may not be paid: {decision.rule}")


def policy(record: Record, document: str, signatures: Sequence[Signature], now: int) -> j.PolicyTaken | None:
    """A policy that the quorum signed. Raises `PolicyMalformed`, `QuorumNotReached`, `DocumentStale`, `NotBegun`."""
    content = read_policy(document.encode())
    taken = record.policies.taken
    if any(other.hash == content.hash for other, _ in taken):
        return None
    require_quorum(POLICY_TAG, document.encode(), signatures, _quorum(record))
    if taken and content.version <= taken[-1][0].version:
        raise DocumentStale(f"policy version {content.version}")
    return j.PolicyTaken(document, tuple(signatures), now)


def certificate(record: Record, document: str, signatures: Sequence[Signature], now: int) -> j.CertificateTaken | None:
    """A merchant's certificate that the quorum signed.

    Raises `CertificateMalformed`, `QuorumNotReached`, `DocumentStale`, `RangesTaken`, `NotBegun`.
    """
    content = read_certificate(document.encode())
    person = record.merchants.get(content.merchant, MerchantRecord())
    if any(other.document() == document.encode() for other, _ in person.certificates):
        return None
    require_quorum(CERTIFICATE_TAG, document.encode(), signatures, _quorum(record))
    if person.newest is not None and content.version <= person.newest.version:
        raise DocumentStale(f"certificate version {content.version}")
    for other in record.merchants.values():
        if other.newest is not None and other.newest.merchant != content.merchant and _overlap(content, other.newest):
            raise RangesTaken(f"{content.merchant} and {other.newest.merchant}")
    if person.newest is not None and content.recovery_key != person.newest.recovery_key:
        raise CertificateMalformed("a recovery key never changes: enrol the merchant anew")
    return j.CertificateTaken(document, tuple(signatures), now)


def veto(record: Record, signed: SignedWord, now: int) -> j.VetoTaken | None:
    """A merchant's veto against a certificate's key. Raises `OrderMalformed`, `WordUnsigned`."""
    content = read_word(signed.document.encode(), Veto)
    person = record.merchants.get(content.merchant, MerchantRecord())
    if content.version in person.vetoed:
        return None
    older = {one.key.hex() for one, _ in person.certificates if one.version < content.version}
    _require_word(VETO_TAG, signed, content.by, older | _recovery_keys(person))
    return j.VetoTaken(signed, now)


def recovery(record: Record, signed: SignedWord, now: int) -> j.RecoveryTaken | None:
    """The recovery key's decision. Raises `OrderMalformed`, `WordUnsigned`."""
    content = read_word(signed.document.encode(), Recovery)
    person = record.merchants.get(content.merchant, MerchantRecord())
    if content.version in person.decided:
        return None
    _require_word(RECOVERY_TAG, signed, content.by, _recovery_keys(person))
    return j.RecoveryTaken(signed, now)


def _recovery_keys(person: MerchantRecord) -> set[str]:
    return {person.newest.recovery_key.hex()} if person.newest is not None else set()


def _require_word(tag: bytes, signed: SignedWord, by: str, keys: set[str]) -> None:
    if by not in keys or not is_signed(by, signed.signature, tagged(tag, signed.document.encode())):
        raise WordUnsigned(by[:64])


def _quorum(record: Record) -> Quorum:
    if record.quorum is None:
        raise NotBegun
    return record.quorum


def _overlap(mine: Certificate, his: Certificate) -> bool:
    return any(
        a.network == b.network and a.vault == b.vault and a_from < b_to and b_from < a_to
        for a in mine.networks
        for b in his.networks
        for a_from, a_to in a.ranges
        for b_from, b_to in b.ranges
    )
