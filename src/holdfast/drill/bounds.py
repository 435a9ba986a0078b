"""What is promised to be the most that can be lost, by what the attacker owns."""

from __future__ import annotations

from enum import StrEnum


class Bound(StrEnum):
    """Which of the promises a drill is measured against."""

    NOTHING = "nothing"
    SIGNER_HONEST = "signer honest"
    """Released, burst, rate over the time, and fees: with merchants' genuine signatures."""
    SIGNER_OWNED = "signer owned"
    """The float, at most its cap, settlements in flight and gas."""
    MERCHANT_LIMIT = "merchant's own limit"
    FEES = "fee budget"
    """What the policy lets fees cost, on each network in its own coin."""
