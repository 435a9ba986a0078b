"""What a merchant signs to order money out: the first of the five stops at which a payout can be read.

An intent says everything that will happen, fees included, and is signed by the merchant's own Ed25519 key in software
that the platform does not serve. Nothing here signs; nothing here decides whether a payout is allowed.
"""

from __future__ import annotations

import hashlib
import re
from typing import assert_never

import msgspec

from holdfast.core import canonical
from holdfast.core.addresses import parse_address
from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.errors import BadInput, HoldfastError
from holdfast.core.money import UNITS_MAX
from holdfast.core.networks import network_by_id
from holdfast.core.quorum import HEX_KEY, tagged

INTENT_TAG = b"holdfast intent 1\0"
"""Parts these signatures from any other that a merchant's key ever makes."""
APPROVAL_TAG = b"holdfast approval 1\0"
"""What an officer signs over the very intent, where its amount needs approval."""
LINES_MAX = 500
NUMBER_WINDOW = 2**32
"""A number this far below the highest one used is refused: what was used above it is remembered."""
SECONDS_MAX = 31 * 86_400
"""Longest validity of a payout's intent; a standing order ends with its certificate."""
SLOT_SECONDS_MIN = 60
_REFERENCE = re.compile(r"[ -~]{1,120}")
_MERCHANT = re.compile(r"[a-z0-9_]{1,60}")


class IntentMalformed(BadInput):
    """The intent lacks something, or contradicts itself. Make it with the SDK or `holdfast merchant payout`."""

    code = "intent-malformed"


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One destination of a payout."""

    destination: str
    """An address in its canonical form."""
    units: int
    """What arrives there, in the asset's smallest units."""


class Payout(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="payout", tag_field="kind"):
    """Pay these lines, once, all or none."""

    merchant: str
    network: str
    asset: str
    lines: tuple[Line, ...]
    fee_units: int
    """The fixed fee that the merchant pays for it, in the same asset: whatever the network takes in the end."""
    number: int
    """Unique for the merchant within `NUMBER_WINDOW`."""
    not_before: int
    """Seconds since 1970."""
    expires_at: int
    reference: str
    """The merchant's own; unique for him."""

    @property
    def lines_units(self) -> int:
        """What its destinations get."""
        return sum(line.units for line in self.lines)


class StandingOrder(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="standing-order", tag_field="kind"):
    """Pay up to this much to this one destination, once a slot at most: signed once, no key online afterwards."""

    merchant: str
    network: str
    asset: str
    destination: str
    units: int
    """Most that one slot may pay."""
    fee_units: int
    every_seconds: int
    """Length of a slot; the first begins at `not_before`."""
    number: int
    not_before: int
    expires_at: int
    reference: str

    def slot_at(self, now: int) -> int:
        """The slot's number at this time; negative before the first."""
        return (now - self.not_before) // self.every_seconds


class Conversion(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="conversion", tag_field="kind"):
    """Exchange one asset of the balance for another, at a quote that a treasury key signed. Not executed yet."""

    merchant: str
    network: str
    asset: str
    units: int
    into_network: str
    into_asset: str
    into_units: int
    """Least that he takes."""
    quote: str
    """SHA-256 of the quote's bytes, hex."""
    number: int
    not_before: int
    expires_at: int
    reference: str


Intent = Payout | StandingOrder | Conversion


class SignedIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An intent as it travels: the exact bytes as text, and the merchant's signature."""

    document: str
    signature: str
    """64 bytes, hex."""

    @property
    def id(self) -> str:
        """How everybody names this intent."""
        return intent_id(self.document.encode())


def intent_id(document: bytes) -> str:
    """SHA-256 of the intent's bytes, hex: two intents with one id are one."""
    return hashlib.sha256(document).hexdigest()


def signing_input(document: bytes) -> bytes:
    """What the merchant's key signs."""
    return tagged(INTENT_TAG, document)


def document_of(intent: Intent) -> bytes:
    """Its canonical bytes (RFC 8785), once it is found to be whole. Raises `IntentMalformed`."""
    try:
        document = canonical.write(intent)
    except DocumentNotCanonical as error:
        raise IntentMalformed(error.detail) from None
    _check(intent)
    return document


def read_intent(document: bytes) -> Intent:
    """The intent in a document, whoever signed it. Raises `IntentMalformed`."""
    kinds: dict[bytes, type[Intent]] = {
        b'"kind":"payout"': Payout, b'"kind":"standing-order"': StandingOrder, b'"kind":"conversion"': Conversion,
    }  # fmt: skip
    # Inside a string the quotes would be escaped, so a mark is found where the kind stands and nowhere else.
    for mark, kind in kinds.items():
        if mark in document:
            try:
                intent = canonical.read(document, kind)
            except DocumentNotCanonical as error:
                raise IntentMalformed(error.detail) from None
            _check(intent)
            return intent
    raise IntentMalformed("it is no payout, standing order or conversion")


def standing_payout(order: StandingOrder, slot: int, units: int) -> Payout:
    """The payout of one slot of a standing order. Raises `IntentMalformed` for what the order does not say."""
    if slot < 0 or not 0 < units <= order.units:
        raise IntentMalformed(f"slot {slot}, {units} units: the order pays up to {order.units}")
    begins = order.not_before + slot * order.every_seconds
    return Payout(
        merchant=order.merchant,
        network=order.network,
        asset=order.asset,
        lines=(Line(order.destination, units),),
        fee_units=order.fee_units,
        number=order.number,
        not_before=begins,
        expires_at=min(order.expires_at, begins + order.every_seconds),
        reference=f"{order.reference} {slot}",
    )


def _check(intent: Intent) -> None:
    if not _MERCHANT.fullmatch(intent.merchant) or not _REFERENCE.fullmatch(intent.reference):
        raise IntentMalformed("merchant or reference is empty, too long or not printable ASCII")
    if not 0 < intent.number < 2**53 or not 0 <= intent.not_before < intent.expires_at < 2**40:
        raise IntentMalformed(f"number {intent.number}, from {intent.not_before} to {intent.expires_at}")
    _check_asset(intent.network, intent.asset)
    match intent:
        case Payout():
            _check_payout(intent)
        case StandingOrder():
            if intent.every_seconds < SLOT_SECONDS_MIN:
                raise IntentMalformed(f"a slot lasts at least {SLOT_SECONDS_MIN} seconds")
            _check_units(intent.fee_units, at_least=0)
            _check_line(intent.network, intent.destination, intent.units)
        case Conversion():
            _check_asset(intent.into_network, intent.into_asset)
            _check_units(intent.units, at_least=1)
            _check_units(intent.into_units, at_least=1)
            if not HEX_KEY.fullmatch(intent.quote):
                raise IntentMalformed("quote is no SHA-256")
        case _ as never:
            assert_never(never)


def _check_payout(intent: Payout) -> None:
    if intent.expires_at - intent.not_before > SECONDS_MAX:
        raise IntentMalformed(f"valid for more than {SECONDS_MAX} seconds")
    if not 0 < len(intent.lines) <= LINES_MAX:
        raise IntentMalformed(f"{len(intent.lines)} lines; 1 to {LINES_MAX} are possible")
    _check_units(intent.fee_units, at_least=0)
    for line in intent.lines:
        _check_line(intent.network, line.destination, line.units)
    _check_units(intent.lines_units + intent.fee_units, at_least=1)


def _check_asset(network: str, asset: str) -> None:
    if not asset.startswith(f"{network}/") or len(asset) > 200 or not asset.isascii():
        raise IntentMalformed(f"{asset[:80]} is no asset of {network[:80]}")


def _check_units(units: int, *, at_least: int) -> None:
    if not at_least <= units <= UNITS_MAX:
        raise IntentMalformed(f"{units} units")


def _check_line(network: str, destination: str, units: int) -> None:
    _check_units(units, at_least=1)
    try:
        is_canonical = parse_address(network_by_id(network), destination) == destination
    except HoldfastError as error:
        raise IntentMalformed(f"{error.code}: {error.detail}") from None
    if not is_canonical:
        raise IntentMalformed(f"{destination[:100]} is not written in its canonical form")
