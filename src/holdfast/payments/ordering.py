"""Ordering payouts: a merchant's signed intent is checked, and its units are set aside, or nothing happened.

`draft` checks what can be told from the intent alone; `order` reserves and stores any number of drafts at once. The
platform can drop an intent or delay it; it cannot make one, and the signer checks all of this again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import DeadlockDetected

from holdfast import ledger
from holdfast.core import intents
from holdfast.core.certificates import read_certificate
from holdfast.core.errors import BadInput, Conflict, HoldfastError, NotPermitted
from holdfast.core.ids import new_id
from holdfast.core.intents import NUMBER_WINDOW, Intent, SignedIntent, read_intent, signing_input
from holdfast.core.money import AssetId
from holdfast.core.quorum import is_signed
from holdfast.ledger import LedgerRaced, Outcome, Rule
from holdfast.payments import merchants, paying, payouts
from holdfast.payments.catalogue import AssetNotListed, Catalogue, ListedNetwork
from holdfast.payments.indexes import MerchantNotCertified
from holdfast.payments.payouts import Payout, PayoutLine
from holdfast.runtime import logs
from holdfast.runtime.settings import FeePayer

CERTIFICATES_MAX = 16
"""Keys of so many certificates of a merchant are tried; which of them counts now, the signer knows."""
_FAR = datetime(9999, 12, 31, tzinfo=UTC)


class IntentOfAnotherKind(BadInput):
    """The intent is signed for something else than this route does. Send payouts and standing orders to their own."""

    code = "intent-of-another-kind"


class IntentOfAnother(BadInput):
    """The intent names another merchant than the API key does. Use the key of the merchant who signed it."""

    code = "intent-of-another"


class IntentUnsigned(BadInput):
    """No key that officers certified for the merchant signed this intent. Sign exactly these bytes with his own key."""

    code = "intent-unsigned"


class IntentExpired(BadInput):
    """The intent's time is over. Sign it anew, with the same number: then it cannot be paid twice."""

    code = "intent-expired"


class PayoutFeeTooLow(Conflict):
    """The intent's fee is below what a payout costs here. Read `GET /v1/payouts/fee` and sign with that fee."""

    code = "payout-fee-too-low"


class BalanceTooLow(Conflict):
    """The merchant's balance does not cover the payout and its fee. Order less, or wait for deposits to confirm."""

    code = "balance-too-low"


class PayoutReferenceTaken(Conflict):
    """The merchant has ordered something else with this reference. Read that one, or sign with another reference."""

    code = "payout-reference-taken"


class PayoutNumberTaken(Conflict):
    """The merchant has used this number, or one far above it, for another intent. Sign with the next number."""

    code = "payout-number-taken"


class AssetInDeficit(Conflict):
    """The vault holds less of this asset than it owes, so none is paid out. Wait until the operator has filled it."""

    code = "asset-in-deficit"


class DestinationRefused(NotPermitted):
    """Screening refuses a destination of the payout. Sign without it, or ask the operator."""

    code = "destination-refused"


Refuses = Callable[[str, Sequence[str]], str | None]
"""Why nothing may be paid to one of these destinations on a network (CAIP-2), or None."""


def refuses_nobody(_network: str, _destinations: Sequence[str]) -> str | None:
    """Without screening, every destination will do."""
    return None


@dataclass(frozen=True, slots=True)
class PayoutDesk:
    """What is needed to order payouts: one per process."""

    catalogue: Catalogue
    fee_payer: FeePayer
    refuses: Refuses = refuses_nobody

    def fee_units(self, asset: str, lines: int) -> int:
        """What a merchant pays for a payout with so many lines. Raises `AssetNotListed`."""
        listed = self.catalogue.listing(asset)
        if self.fee_payer is FeePayer.COMPANY:
            return 0
        return listed.payout_fee_units(AssetId(asset), lines)


@dataclass(frozen=True, slots=True)
class MerchantKeys:
    """Whose signature orders a merchant's payouts."""

    merchant_id: str
    keys: tuple[str, ...]
    """Ed25519 public keys that officers certified for him, newest first, hex."""
    certified_until: datetime | None


@dataclass(frozen=True, slots=True)
class Ordered:
    """A payout that is stored and reserved."""

    payout: Payout
    is_replay: bool
    """It was ordered before by the very same intent."""


OrderOutcome = Ordered | HoldfastError


async def merchant_keys(conn: AsyncConnection[Any], merchant_id: str) -> MerchantKeys:
    """The keys of a merchant's certificates. Raises `MerchantNotFound`."""
    merchant = await merchants.get(conn, merchant_id)
    cursor = await conn.execute(
        "SELECT document FROM payments.certificates WHERE merchant_id = %s ORDER BY version DESC LIMIT %s",
        (merchant_id, CERTIFICATES_MAX),
    )
    keys = [read_certificate(bytes(row[0])).key.hex() for row in await cursor.fetchall()]
    return MerchantKeys(merchant_id, tuple(dict.fromkeys(keys)), merchant.certified_until)


def read_signed(keys: MerchantKeys, signed: SignedIntent, now: datetime) -> Intent:
    """The intent, once it is this merchant's own word and its time is not over.

    Raises `IntentMalformed`, `IntentOfAnother`, `MerchantNotCertified`, `IntentUnsigned`, `IntentExpired`.
    """
    document = signed.document.encode()
    intent = read_intent(document)
    if intent.merchant != keys.merchant_id:
        raise IntentOfAnother(intent.merchant)
    if keys.certified_until is None or keys.certified_until <= now:
        raise MerchantNotCertified(keys.merchant_id)
    message = signing_input(document)
    if not any(is_signed(key, signed.signature, message) for key in keys.keys):
        raise IntentUnsigned(signed.id)
    if intent.expires_at <= now.timestamp():
        raise IntentExpired(f"at {intent.expires_at}")
    return intent


def check_asset(catalogue: Catalogue, network: str, asset: str) -> ListedNetwork:
    """The network of an intent's asset. Raises `AssetNotListed`."""
    listed = catalogue.listing(asset)
    if listed.id != network:
        raise AssetNotListed(f"{asset} is not of {network}")
    return listed


def draft(desk: PayoutDesk, keys: MerchantKeys, signed: SignedIntent, now: datetime) -> Payout:
    """A payout, checked and ready to be ordered.

    Raises what `read_signed` raises, `IntentOfAnotherKind`, `AssetNotListed`, `PayoutFeeTooLow`, `DestinationRefused`.
    """
    intent = read_signed(keys, signed, now)
    if not isinstance(intent, intents.Payout):
        raise IntentOfAnotherKind(type(intent).__name__)
    check_asset(desk.catalogue, intent.network, intent.asset)
    fee_units = desk.fee_units(intent.asset, len(intent.lines))
    if intent.fee_units < fee_units:
        raise PayoutFeeTooLow(f"{intent.fee_units} units are offered", fee_units=str(fee_units))
    why = desk.refuses(intent.network, [line.destination for line in intent.lines])
    if why is not None:
        raise DestinationRefused(why)
    return payout_of(intent, signed, now)


def payout_of(intent: intents.Payout, signed: SignedIntent, now: datetime) -> Payout:
    """The record of what an intent orders, with a fresh id."""
    return Payout(
        id=new_id("pay", int(now.timestamp() * 1000), secrets.token_bytes(10)),
        key=signed.id,
        intent_id=signed.id,
        merchant_id=intent.merchant,
        reference=intent.reference,
        number=intent.number,
        network=intent.network,
        asset=intent.asset,
        lines_units=intent.lines_units,
        fee_units=intent.fee_units,
        document=signed.document,
        signature=signed.signature,
        not_before=at(intent.not_before),
        expires_at=at(intent.expires_at),
        created_at=now,
        request_id=logs.request_id(),
        lines=tuple(PayoutLine(place, line.destination, line.units) for place, line in enumerate(intent.lines)),
    )


def at(seconds: int) -> datetime:
    """A time of an intent; what is beyond the calendar is its end."""
    return datetime.fromtimestamp(seconds, UTC) if seconds < _FAR.timestamp() else _FAR


async def order(conn: AsyncConnection[Any], drafts: Sequence[Payout], now: datetime) -> list[OrderOutcome]:
    """Reserve and store a batch in the caller's transaction; an outcome for each draft, in their order.

    The same intent again is the same payout. An error is `PayoutReferenceTaken`, `PayoutNumberTaken`, `AssetInDeficit`
    or `BalanceTooLow`, and that draft left nothing. Raises `LedgerRaced`: run the whole transaction again.
    """
    outcomes: dict[str, OrderOutcome] = {}
    fresh = await _new_ones(conn, drafts, outcomes)
    short = await _deficits(conn, {one.asset for one in fresh})
    for one in fresh:
        if one.asset in short:
            outcomes[one.key] = AssetInDeficit(one.asset)
    wanted = [one for one in fresh if one.key not in outcomes]
    posted = await ledger.post(conn, [paying.reservation(one.sum) for one in wanted])
    for one, outcome in zip(wanted, posted, strict=True):
        outcomes[one.key] = _reserved(one, outcome)
    stored = [one for one in wanted if isinstance(outcomes[one.key], Ordered)]
    try:
        await payouts.insert(conn, stored, now)
    except DeadlockDetected as error:
        raise LedgerRaced(type(error).__name__) from error
    mine = {one.id for one in stored}
    return [_outcome_of(one, outcomes[one.key], mine) for one in drafts]


def _outcome_of(one: Payout, outcome: OrderOutcome, mine: set[str]) -> OrderOutcome:
    """For the second of two equal drafts in a batch: what it asks for is done already."""
    if isinstance(outcome, Ordered) and outcome.payout.id in mine and outcome.payout.id != one.id:
        return replace(outcome, is_replay=True)
    return outcome


def _reserved(one: Payout, outcome: Outcome) -> OrderOutcome:
    if not isinstance(outcome, ledger.Refused):
        return Ordered(one, is_replay=False)
    if outcome.rule is Rule.BALANCE_TOO_LOW:
        return BalanceTooLow(needed_units=str(one.sum.units))
    raise payouts.PayoutNotPosted(f"{one.id}: {outcome.rule}")


async def _new_ones(
    conn: AsyncConnection[Any], drafts: Sequence[Payout], outcomes: dict[str, OrderOutcome]
) -> list[Payout]:
    """Drafts that nothing stands against; what does, or was ordered before, gets its outcome."""
    known, taken, highest = await _standing(conn, drafts)
    references: dict[tuple[str, str], str] = {}
    numbers: dict[tuple[str, int], str] = {}
    fresh: dict[str, Payout] = {}
    for one in drafts:
        reference, number = (one.merchant_id, one.reference), (one.merchant_id, one.number)
        if one.key in known:
            outcomes[one.key] = Ordered(known[one.key], is_replay=True)
        elif (one.key, "reference") in taken or references.setdefault(reference, one.key) != one.key:
            outcomes[one.key] = PayoutReferenceTaken(f"{one.reference!r}")
        elif (one.key, "number") in taken or numbers.setdefault(number, one.key) != one.key:
            outcomes[one.key] = PayoutNumberTaken(str(one.number))
        elif one.number <= highest.get(one.merchant_id, 0) - NUMBER_WINDOW:
            outcomes[one.key] = PayoutNumberTaken(f"{one.number}; {highest[one.merchant_id]} is far above it")
        else:
            fresh.setdefault(one.key, one)
    return list(fresh.values())


async def _standing(
    conn: AsyncConnection[Any], drafts: Sequence[Payout]
) -> tuple[dict[str, Payout], set[tuple[str, str]], dict[str, int]]:
    """What was ordered before: these very intents, by key; keys whose reference or number is taken; highest numbers."""
    columns = [
        [one.key for one in drafts],
        [one.merchant_id for one in drafts],
        [one.reference for one in drafts],
        [one.number for one in drafts],
    ]
    cursor = await conn.execute(_TAKEN, columns)
    rows = await cursor.fetchall()
    known = {one.key: one for one in await payouts.by_keys(conn, [key for key, what, _ in rows if what == "key"])}
    highest = {key: int(number) for key, what, number in rows if what == "highest"}
    return known, {(key, what) for key, what, _ in rows if what in ("reference", "number")}, highest


_TAKEN = """
    WITH new AS (
        SELECT *
        FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS n (key, merchant_id, reference, number)
    )
    SELECT key, 'key', 0::bigint FROM new JOIN payments.payouts USING (key)
    UNION ALL
    SELECT new.key, 'reference', 0 FROM new JOIN payments.payouts AS old USING (merchant_id, reference)
    WHERE old.slot IS NULL AND old.key <> new.key
    UNION ALL
    SELECT new.key, 'number', 0 FROM new JOIN payments.payouts AS old USING (merchant_id, number)
    WHERE old.slot IS NULL AND old.key <> new.key
    UNION ALL
    SELECT who.merchant_id, 'highest', newest.number FROM (SELECT DISTINCT merchant_id FROM new) AS who
    CROSS JOIN LATERAL (
        SELECT number FROM payments.payouts AS old WHERE old.merchant_id = who.merchant_id AND old.slot IS NULL
        ORDER BY number DESC LIMIT 1
    ) AS newest
"""


async def _deficits(conn: AsyncConnection[Any], assets: set[str]) -> set[str]:
    """Which of these assets the vault lacks some of."""
    return {asset for asset in sorted(assets) if (await ledger.balance(conn, paying.deficit(asset))).posted < 0}
