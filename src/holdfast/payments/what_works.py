"""What works and what does not, for everybody to see: payments in by network, payouts by asset, and since when.

One pure function from what was read. Nothing of a single merchant is in it, and no reason that staff gave.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast.core.orders import Stage
from holdfast.payments.catalogue import Catalogue
from holdfast.payments.payout_stages import Known
from holdfast.payments.positions import Position


@dataclass(frozen=True, slots=True)
class PaymentsIn:
    """Payments of one network: whether they are credited."""

    network: str
    name: str
    is_credited: bool
    trouble: str | None
    """Code of the error for which crediting waits. Addresses stay payable all the while."""
    since: datetime | None


@dataclass(frozen=True, slots=True)
class PayoutsOut:
    """Payouts of one asset."""

    network: str
    asset: str
    symbol: str
    name: str
    """The network's, for people."""
    is_paid: bool
    """Whether anything is signed at all."""
    stage: Stage | None
    """How far payouts have come back after a freeze; None: this platform asks no watchtower."""
    is_silent: bool
    """Whether they wait because signer or watchtower is not heard, whatever the stage."""
    since: datetime | None


@dataclass(frozen=True, slots=True)
class WhatWorks:
    """All of it at one moment."""

    payments_in: tuple[PaymentsIn, ...]
    payouts: tuple[PayoutsOut, ...]

    @property
    def is_all_well(self) -> bool:
        """Whether everything works as it always does."""
        is_out = all(one.is_paid and one.stage in (None, Stage.NORMAL) for one in self.payouts)
        return is_out and all(one.is_credited for one in self.payments_in)


def what_works(catalogue: Catalogue, positions: Mapping[str, Position], known: Known, now: datetime) -> WhatWorks:
    """What works, from where followers stand and what the watchtower said."""
    came = []
    for listed in catalogue.networks.values():
        position = positions[listed.id]
        since = position.read_through if position.trouble else None
        came.append(PaymentsIn(listed.id, listed.network.name, position.trouble is None, position.trouble, since))
    silent_since = known.silent_since(now)
    out = []
    for listed in catalogue.networks.values():
        for asset in listed.assets.values():
            standing = known.of(listed.id, asset.id)
            stage = standing.stage if standing else Stage.NORMAL if known.heard_at else None
            is_frozen = stage is Stage.FROZEN
            is_silent = silent_since is not None and not is_frozen
            since = silent_since if is_silent else standing.since if standing else None
            facts = (listed.id, asset.id, asset.symbol, listed.network.name)
            out.append(PayoutsOut(*facts, not is_frozen and not is_silent, stage, is_silent, since))
    return WhatWorks(tuple(came), tuple(out))
