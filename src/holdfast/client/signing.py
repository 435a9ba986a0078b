"""From what a shop wants paid to a signed intent: amounts, addresses, fee, number and times are all decided here.

Nothing that the platform says goes into it unchecked: decimals of a token and the most that a fee may be are the
merchant's own to say. No network, no platform: it runs on a machine that has neither.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.client.keys import MerchantKey
from holdfast.client.outbox import Outbox
from holdfast.core.addresses import parse_address
from holdfast.core.errors import BadInput, Conflict
from holdfast.core.intents import Intent, Line, Payout, SignedIntent, StandingOrder, read_intent
from holdfast.core.money import parse_units
from holdfast.core.networks import network_by_id

VALID_SECONDS = 86_400
"""How long a payout's intent may be paid, unless told otherwise."""
SKEW_SECONDS = 60
"""An intent is valid from a little before it is signed: clocks differ."""
NUMBER_SPREAD = 2**30
"""Numbers are the time in milliseconds and up to so much more: several signers of one merchant do not meet, and what is
signed now can be handed in for weeks."""
FEE_SHARE = 20
"""A fee above one part in so many of the lines' sum is signed only if the merchant has said so."""


class DecimalsUnknown(BadInput):
    """An amount in whole tokens needs the token's decimals, and not from the platform. Give `decimals`, or units."""

    code = "decimals-unknown"


class FeeTooHigh(BadInput):
    """The platform asks for a higher fee than you allowed. Give `fee_units_max` if you mean to pay it."""

    code = "fee-too-high"


class ReferenceUsed(Conflict):
    """Something else was signed with this reference before, and may be paid still. Take another reference."""

    code = "reference-used"


@dataclass(frozen=True, slots=True)
class PayTo:
    """One destination: with an amount in whole coins, or in smallest units."""

    destination: str
    amount: str | None = None
    """Decimal text, as in `0.25`."""
    units: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PayoutOrder:
    """A payout that a shop wants."""

    asset: str
    """CAIP-19 id."""
    lines: Sequence[PayTo]
    reference: str | None = None
    """The shop's own name for it: the same one is never paid twice. None: a fresh one."""
    valid_seconds: int = VALID_SECONDS
    fee_units: int | None = None
    """None: what the platform asks for, up to `fee_units_max`."""
    fee_units_max: int | None = None
    """None: a twentieth of the lines' sum."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewStandingOrder:
    """A standing order that a shop wants."""

    asset: str
    destination: str
    every_seconds: int
    expires_at: datetime
    amount: str | None = None
    """Most that one slot pays, in whole coins; or in smallest `units`."""
    units: int | None = None
    reference: str | None = None
    not_before: datetime | None = None
    """None: now."""
    fee_units: int | None = None
    fee_units_max: int | None = None


@dataclass(slots=True)
class IntentSigner:
    """Builds and signs intents with the merchant's key."""

    key: MerchantKey = field(repr=False)
    now: Callable[[], datetime]
    outbox: Outbox = field(default_factory=Outbox)
    decimals: Mapping[str, int] = field(default_factory=dict)
    """Decimals of tokens by CAIP-19 id, from a source other than the platform."""

    def payout(self, merchant: str, order: PayoutOrder, fee_units: int) -> SignedIntent:
        """The payout's signed intent: the one signed before for its reference, while it is valid and offers the fee.

        `merchant`: his id, from the certificate. Raises `FeeTooHigh`, `ReferenceUsed`, `DecimalsUnknown`,
        `IntentMalformed`, `OutboxBroken`, the errors of amounts and addresses.
        """
        lines = tuple(self.line(order.asset, one) for one in order.lines)
        check_fee(order, fee_units, sum(line.units for line in lines))
        now = self._seconds()
        reference = order.reference or f"sdk {secrets.token_hex(12)}"
        intent = Payout(
            merchant=merchant,
            network=order.asset.partition("/")[0],
            asset=order.asset,
            lines=lines,
            fee_units=fee_units,
            number=self._number(),
            not_before=now - SKEW_SECONDS,
            expires_at=now + order.valid_seconds,
            reference=reference,
        )
        before = self.outbox.find(reference)
        if before is not None:
            signed_before = read_intent(before.document.encode())
            if not isinstance(signed_before, Payout) or _wanted(signed_before) != _wanted(intent):
                raise ReferenceUsed(f"{reference!r}")
            if signed_before.expires_at > now and signed_before.fee_units >= fee_units:
                return before
            intent = _with_number(intent, signed_before.number)
        return self._signed(intent)

    def standing_order(self, merchant: str, order: NewStandingOrder, fee_units: int) -> SignedIntent:
        """The standing order's signed intent. Raises as `payout` does."""
        line = self.line(order.asset, PayTo(order.destination, order.amount, order.units))
        check_fee(order, fee_units, line.units)
        reference = order.reference or f"sdk {secrets.token_hex(12)}"
        begins = self._seconds() if order.not_before is None else int(order.not_before.timestamp())
        intent = StandingOrder(
            merchant=merchant,
            network=order.asset.partition("/")[0],
            asset=order.asset,
            destination=line.destination,
            units=line.units,
            fee_units=fee_units,
            every_seconds=order.every_seconds,
            number=self._number(),
            not_before=begins,
            expires_at=int(order.expires_at.timestamp()),
            reference=reference,
        )
        before = self.outbox.find(reference)
        if before is None:
            return self._signed(intent)
        if _wanted(read_intent(before.document.encode())) != _wanted(intent):
            raise ReferenceUsed(f"{reference!r}")
        return before  # two valid orders would pay twice: the one there is stays the only one

    def line(self, asset: str, wanted: PayTo) -> Line:
        """One destination as it is signed. Raises `DecimalsUnknown`, the errors of amounts and addresses."""
        destination = parse_address(network_by_id(asset.partition("/")[0]), wanted.destination.strip())
        if (wanted.units is None) == (wanted.amount is None):
            raise DecimalsUnknown(f"{destination}: give an amount, or units")
        units = wanted.units if wanted.units is not None else parse_units(wanted.amount or "", self.places(asset))
        return Line(destination, units)

    def places(self, asset: str) -> int:
        """Decimals of an asset: a coin's are the network's, a token's were given. Raises `DecimalsUnknown`."""
        coin = network_by_id(asset.partition("/")[0]).coin
        if asset in self.decimals:
            return self.decimals[asset]
        if asset == coin.id:
            return coin.decimals
        raise DecimalsUnknown(asset[:160])

    def _signed(self, intent: Intent) -> SignedIntent:
        signed = self.key.sign(intent)
        self.outbox.keep(intent.reference, signed)
        return signed

    def _seconds(self) -> int:
        return int(self.now().timestamp())

    def _number(self) -> int:
        return int(self.now().timestamp() * 1000) + secrets.randbelow(NUMBER_SPREAD)


def check_fee(order: PayoutOrder | NewStandingOrder, fee_units: int, lines_units: int) -> None:
    """Raises `FeeTooHigh`."""
    if order.fee_units is not None:
        return  # the merchant's own word
    most = lines_units // FEE_SHARE if order.fee_units_max is None else order.fee_units_max
    if fee_units > most:
        raise FeeTooHigh(f"{fee_units} units are asked for, {most} are allowed")


def _wanted(intent: Intent) -> tuple[object, ...]:
    """What a reference stands for."""
    if isinstance(intent, Payout):
        return intent.merchant, intent.asset, intent.lines
    if isinstance(intent, StandingOrder):
        return intent.merchant, intent.asset, intent.destination, intent.units, intent.every_seconds
    return (intent,)


def _with_number(payout: Payout, number: int) -> Payout:
    return Payout(**{name: getattr(payout, name) for name in payout.__struct_fields__} | {"number": number})
