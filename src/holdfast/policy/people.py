"""Whose word counts at a moment: the policies in force, each merchant's key, vetoes. Pure; part of the record.

Tightening counts at once, loosening waits: while a looser policy waits, a payout must be allowed by both. A changed key
waits out its cooling-off; a veto stops the merchant until his recovery key, or the quorum after a long delay, decides.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.core.certificates import Certificate
from holdfast.policy.document import Policy, loosenings


@dataclass(frozen=True, slots=True)
class Times:
    """What time it is, by the signer's clock and the watchtower's: an attacker must move both to gain."""

    earliest: int
    """Delays and beginnings are measured by this one, seconds since 1970."""
    latest: int
    """Expiries are measured by this one."""


@dataclass(slots=True)
class Policies:
    """All policies that were taken and may still count, oldest first, and when each was taken."""

    taken: list[tuple[Policy, int]] = field(default_factory=list)

    def in_force(self, now: Times) -> list[Policy]:
        """The policy that counts, then those that wait: each of them must allow what is signed."""
        if not self.taken:
            return []
        base, waiting = self.taken[0][0], list[Policy]()
        for policy, at in self.taken[1:]:
            delay = base.delays.loosening_seconds if loosenings(base, policy) else 0
            if now.earliest >= at + delay:
                base, waiting = policy, []
            else:
                waiting.append(policy)
        return [base, *waiting]


@dataclass(slots=True)
class MerchantRecord:
    """What the journal says of one merchant's certificates."""

    certificates: list[tuple[Certificate, int]] = field(default_factory=list)
    vetoed: set[int] = field(default_factory=set)
    """Versions whose key somebody with the old or the recovery key denied."""
    decided: dict[int, tuple[int, bool]] = field(default_factory=dict)
    """Versions that were decided for: when, and whether the quorum did (which waits), not the recovery key."""

    def in_force(self, now: Times, policy: Policy) -> Certificate | None:
        """The certificate whose key counts; None while a veto waits for its decision, or before the first."""
        decided = {
            version
            for version, (at, is_by_quorum) in self.decided.items()
            if now.earliest >= at + (policy.delays.recovery_seconds if is_by_quorum else 0)
        }
        if self.vetoed and not decided:
            return None
        chosen: Certificate | None = None
        for certificate, at in self.certificates:
            is_change = chosen is not None and certificate.key != chosen.key
            is_ripe = now.earliest >= at + policy.delays.key_change_seconds
            if certificate.version in decided or (
                certificate.version not in self.vetoed and (is_ripe or not is_change)
            ):
                chosen = certificate
        return chosen

    @property
    def newest(self) -> Certificate | None:
        """The newest certificate, whether its key counts already or not: its ranges do."""
        return self.certificates[-1][0] if self.certificates else None
