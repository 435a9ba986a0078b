"""A zone in a build from which one guard is missing: `python weakened_zone.py GUARD MODULE ARGUMENT…`.

Everything else is the real thing. A drill against such a build must show the loss, or it shows nothing at all.
"""

import runpy
import sys
from collections.abc import Callable
from typing import Any


def without_merchants_signature() -> None:
    """Whoever asks is believed: as where the system that asks is the system that is allowed to ask."""
    from holdfast.policy import decide

    vars(decide)["_signer"] = lambda person, _intent, _document: person.newest.key


def without_memory_of_payouts() -> None:
    """What was paid may be paid again."""
    from holdfast.policy import decide
    from holdfast.policy.record import Record

    def never(*_: Any) -> bool:
        return False

    vars(decide)["_is_number_used"] = never
    Record.is_known = never  # type: ignore[method-assign]  that is what is taken away


def without_eyes() -> None:
    """Nobody looks at what leaves the float."""
    from holdfast.signer import loop
    from holdfast.watchtower.watch import Watch

    async def blind(*_: Any) -> None:
        return None

    vars(loop)["watch_float"] = blind
    Watch._stop = lambda *_: None  # type: ignore[method-assign]  that is what is taken away


def without_entitlements() -> None:
    """Everybody is good for everything."""
    from holdfast.policy import record

    class Boundless(dict[tuple[str, str], int]):
        def get(self, _key: Any, _default: Any = 0) -> Any:
            return 10**60

    made = record.Record.__init__

    def boundless(self: record.Record, *args: Any, **named: Any) -> None:
        made(self, *args, **named)
        self.entitlements = Boundless()

    setattr(record.Record, "__init__", boundless)  # noqa: B010  mypy forbids it otherwise


def without_quorum_under_certificates() -> None:
    """A certificate counts whoever signed it."""
    from holdfast.core.certificates import CERTIFICATE_TAG
    from holdfast.policy import admit

    checked = vars(admit)["require_quorum"]

    def lenient(tag: bytes, *rest: Any) -> Any:
        return None if tag == CERTIFICATE_TAG else checked(tag, *rest)

    vars(admit)["require_quorum"] = lenient


def without_limits() -> None:
    """Whatever a merchant is good for may go out at once."""
    from holdfast.policy import decide

    vars(decide)["_limit"] = lambda *_: None


def without_fee_budget() -> None:
    """Fees cost what they cost."""
    from holdfast.signer import building

    vars(building)["refuse_fee"] = lambda *_: None


def without_unconfirmed_bound() -> None:
    """What is released and not final counts for nothing."""
    from holdfast.policy import decide
    from holdfast.policy.rules import Rule

    checked = vars(decide)["_limit"]

    def lenient(*args: Any) -> Any:
        rule = checked(*args)
        return None if rule is Rule.UNCONFIRMED_TOO_MUCH else rule

    vars(decide)["_limit"] = lenient


def without_lease() -> None:
    """A signer that has had one lease goes on without another."""
    from dataclasses import replace

    import msgspec

    from holdfast.core.errors import Unavailable
    from holdfast.signer.loop import Signer
    from holdfast.signer.tower import Held

    asked = Signer._lease

    async def careless(self: Signer) -> Held:
        try:
            return await asked(self)
        except Unavailable:
            if self.held is None:
                raise
            head = self.journal.written
            lease = msgspec.structs.replace(self.held.lease, seq=head.seq, head=head.hash, duration_ms=10**9)
            signed = msgspec.structs.replace(self.held.signed, lease=lease)
            self.held = replace(self.held, signed=signed, asked_at_ms=self.clocks.boot_ms())
            return self.held

    setattr(Signer, "_lease", careless)  # noqa: B010  mypy forbids it otherwise


def without_quorum() -> None:
    """One officer's signature is enough."""
    from holdfast.core import quorum
    from holdfast.policy import admit
    from holdfast.watchtower import standing

    def content(tag: bytes, document: bytes, signatures: Any, known: Any) -> Any:
        signed = quorum.signers(tag, document, signatures, known)
        if not signed:
            raise quorum.QuorumNotReached("nobody")
        return signed

    for module in (admit, standing):
        vars(module)["require_quorum"] = content


GUARDS: dict[str, Callable[[], None]] = {
    "merchants-signature": without_merchants_signature,
    "memory-of-payouts": without_memory_of_payouts,
    "eyes": without_eyes,
    "entitlements": without_entitlements,
    "quorum-under-certificates": without_quorum_under_certificates,
    "limits": without_limits,
    "fee-budget": without_fee_budget,
    "unconfirmed-bound": without_unconfirmed_bound,
    "lease": without_lease,
    "quorum": without_quorum,
}


if __name__ == "__main__":
    guard, module, *words = sys.argv[1:]
    GUARDS[guard]()
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__")
