"""Payouts as a shop orders them: signed here with the merchant's key, then given to the platform to be carried on.

What is asked and believed is decided by `PayoutExchanges`, once for both clients. Every answer is held against what was
signed: a platform that shows another payout in its place is told from one that does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from holdfast.client.exchanges import Exchange, Exchanges, Request, read, refusal
from holdfast.client.failures import NotPinned, PlatformAnswerMalformed, PlatformRefused
from holdfast.client.messages import (
    Page,
    Payout,
    PayoutBatch,
    PayoutBatchItem,
    PayoutFee,
    StandingOrder,
)
from holdfast.client.payout_lists import read_payouts
from holdfast.client.signing import IntentSigner, NewStandingOrder, PayoutOrder
from holdfast.core.errors import BadInput
from holdfast.core.intents import SignedIntent

T = TypeVar("T")

BATCH_INTENTS_MAX = 200
BATCH_BYTES_MAX = 180_000
"""Of documents, as a batch has them: quoted, they stay below what the platform takes."""


class NoMerchantKey(BadInput):
    """Payouts are signed with the merchant's key, and this client was given none. Make it with `signer=`."""

    code = "no-merchant-key"


@dataclass(frozen=True, slots=True)
class PayoutExchanges:
    """Every exchange about payouts."""

    exchanges: Exchanges
    signer: IntentSigner | None

    def create(self, order: PayoutOrder) -> Exchange[Payout]:
        """Sign and hand in one payout. Raises what `IntentSigner.payout` raises."""
        merchant = yield from self._merchant()
        fee_units = yield from self._fee(order, len(order.lines))
        signed = self._signer().payout(merchant, order, fee_units)
        return (yield from self.submit(signed))

    def create_many(self, orders: Sequence[PayoutOrder]) -> Exchange[list[Payout | PlatformRefused]]:
        """Sign all of these, then hand them in, some hundreds at once; what became of each, in their order."""
        merchant = yield from self._merchant()
        fees: dict[tuple[str, int], int] = {}
        for order in orders:
            what = (order.asset, len(order.lines))
            if order.fee_units is None and what not in fees:
                fees[what] = yield from self._fee(order, len(order.lines))
        signer = self._signer()
        signed = [
            signer.payout(merchant, one, fees[one.asset, len(one.lines)] if one.fee_units is None else one.fee_units)
            for one in orders
        ]
        return (yield from self.submit_many(signed))

    def submit(self, signed: SignedIntent) -> Exchange[Payout]:
        """Hand in what was signed, here or on another machine; again does no harm."""
        answer = yield _post("/v1/payouts", signed)
        return _same(signed, read(answer, Payout))

    def submit_many(self, signed: Sequence[SignedIntent]) -> Exchange[list[Payout | PlatformRefused]]:
        """The same for many."""
        found: list[Payout | PlatformRefused] = []
        for batch in batches(signed):
            answer = yield _post("/v1/payouts/batch", {"payouts": batch})
            items = read(answer, PayoutBatch).items
            if len(items) != len(batch):
                raise PlatformAnswerMalformed(f"{len(items)} answers to {len(batch)} intents")
            found += [_item(one, item) for one, item in zip(batch, items, strict=True)]
        return found

    def create_standing_order(self, order: NewStandingOrder) -> Exchange[StandingOrder]:
        """Sign a standing order and hand it in."""
        merchant = yield from self._merchant()
        fee_units = yield from self._fee(order, 1)
        signed = self._signer().standing_order(merchant, order, fee_units)
        return (yield from self.submit_standing_order(signed))

    def submit_standing_order(self, signed: SignedIntent) -> Exchange[StandingOrder]:
        """Hand in a standing order that was signed here or on another machine; again does no harm."""
        kept = read((yield _post("/v1/standing-orders", signed)), StandingOrder)
        if kept.intent != signed.id or kept.document != signed.document:
            raise PlatformAnswerMalformed(f"asked for {signed.id}, shown {kept.intent[:64]}")
        return kept

    def stop_standing_order(self, order_id: str) -> Exchange[StandingOrder]:
        """Ask the platform to propose no more slots; the signature stays valid until it expires."""
        return read((yield Request("POST", f"/v1/standing-orders/{order_id}/stop")), StandingOrder)

    def standing_orders(self, query: Mapping[str, str]) -> Exchange[Page[StandingOrder]]:
        """Read a page of standing orders."""
        return read((yield Request("GET", "/v1/standing-orders", query)), Page[StandingOrder])

    def get(self, name: str) -> Exchange[Payout]:
        """Read one payout, by its id or its intent's."""
        return read((yield Request("GET", f"/v1/payouts/{name}")), Payout)

    def page(self, query: Mapping[str, str]) -> Exchange[Page[Payout]]:
        """Read a page of payouts."""
        return read((yield Request("GET", "/v1/payouts", query)), Page[Payout])

    def fee(self, asset: str, lines: int) -> Exchange[PayoutFee]:
        """What the platform asks for a payout with so many lines."""
        query = {"network": asset.partition("/")[0], "asset": asset, "lines": str(lines)}
        return read((yield Request("GET", "/v1/payouts/fee", query)), PayoutFee)

    def _fee(self, order: PayoutOrder | NewStandingOrder, lines: int) -> Exchange[int]:
        if order.fee_units is not None:
            return order.fee_units
        told = yield from self.fee(order.asset, lines)
        if not told.fee_units.isascii() or not told.fee_units.isdecimal() or len(told.fee_units) > 78:
            raise PlatformAnswerMalformed(f"a fee of {told.fee_units[:40]!r}")
        return int(told.fee_units)

    def _merchant(self) -> Exchange[str]:
        """The merchant's id, from the certificate that names his own key."""
        certificate = yield from self.exchanges.certificate_now()
        if certificate.key != self._signer().key.public:
            raise NotPinned("the signer's key is not the pinned one")
        return certificate.merchant

    def _signer(self) -> IntentSigner:
        if self.signer is None:
            raise NoMerchantKey
        return self.signer


def batches(signed: Sequence[SignedIntent]) -> list[list[SignedIntent]]:
    """What is handed in together."""
    made: list[list[SignedIntent]] = []
    size = 0
    for one in signed:
        length = len(msgspec.json.encode(one))
        if not made or len(made[-1]) >= BATCH_INTENTS_MAX or size + length > BATCH_BYTES_MAX:
            made.append([])
            size = 0
        made[-1].append(one)
        size += length
    return made


def _post(path: str, body: object) -> Request:
    """A POST that needs no idempotency key: what was signed is done once."""
    return Request("POST", path, None, msgspec.json.encode(body))


def _same(signed: SignedIntent, payout: Payout) -> Payout:
    if payout.intent != signed.id or payout.document != signed.document:
        raise PlatformAnswerMalformed(f"asked for {signed.id}, shown {payout.intent[:64]}")
    return payout


def _item(signed: SignedIntent, item: PayoutBatchItem) -> Payout | PlatformRefused:
    if item.payout is not None:
        return _same(signed, item.payout)
    if item.problem is None or item.intent != signed.id:
        raise PlatformAnswerMalformed(f"neither payout nor problem for {signed.id}")
    return refusal(409, item.problem)


class Runs(Protocol):
    """Carries an exchange out, at once."""

    def __call__(self, exchange: Exchange[T]) -> T:
        """The exchange's result."""


class RunsAsync(Protocol):
    """Carries an exchange out, awaited."""

    def __call__(self, exchange: Exchange[T]) -> Awaitable[T]:
        """The exchange's result."""


@dataclass(frozen=True, slots=True)
class Payouts:
    """`client.payouts`: order money out, and see what becomes of it."""

    _made: PayoutExchanges
    _run: Runs

    def create(self, order: PayoutOrder) -> Payout:
        """Sign a payout and hand it in. Give a `reference` (and the client an outbox) to order it once for ever.

        Raises what the client's calls raise, `NoMerchantKey`, `FeeTooHigh`, `ReferenceUsed`, `DecimalsUnknown`,
        `IntentMalformed` and the errors of amounts and addresses.
        """
        return self._run(self._made.create(order))

    def create_many(self, orders: Sequence[PayoutOrder]) -> list[Payout | PlatformRefused]:
        """Sign many and hand them in together; what became of each, in their order. Raises as `create`."""
        return self._run(self._made.create_many(orders))

    def create_from_csv(self, path: Path, asset: str) -> list[Payout | PlatformRefused]:
        """Pay a CSV list: destination, amount and maybe reference. Raises `PayoutListRefused`, and as `create`."""
        return self.create_many(read_payouts(path, asset, self._made._signer()))

    def submit(self, signed: Sequence[SignedIntent]) -> list[Payout | PlatformRefused]:
        """Hand in what was signed on another machine; again does no harm."""
        return self._run(self._made.submit_many(signed))

    def create_standing_order(self, order: NewStandingOrder) -> StandingOrder:
        """Sign a standing order and hand it in: afterwards no key needs to be online. Raises as `create`."""
        return self._run(self._made.create_standing_order(order))

    def submit_standing_order(self, signed: SignedIntent) -> StandingOrder:
        """Hand in a standing order that was signed on another machine; again does no harm."""
        return self._run(self._made.submit_standing_order(signed))

    def stop_standing_order(self, order_id: str) -> StandingOrder:
        """Ask the platform to propose no more slots; the signature stays valid until it expires."""
        return self._run(self._made.stop_standing_order(order_id))

    def standing_orders(self, *, after: str | None = None, limit: int = 50) -> Page[StandingOrder]:
        """Read standing orders, newest first."""
        return self._run(self._made.standing_orders(_query(after, limit)))

    def get(self, name: str) -> Payout:
        """Read one payout, by its id or its intent's."""
        return self._run(self._made.get(name))

    def page(self, *, after: str | None = None, limit: int = 50) -> Page[Payout]:
        """Read payouts, newest first; `after` is `next` of the page before."""
        return self._run(self._made.page(_query(after, limit)))

    def fee(self, asset: str, lines: int = 1) -> PayoutFee:
        """What the platform asks for a payout with so many lines."""
        return self._run(self._made.fee(asset, lines))


@dataclass(frozen=True, slots=True)
class AsyncPayouts:
    """As `Payouts`, awaited."""

    _made: PayoutExchanges
    _run: RunsAsync

    async def create(self, order: PayoutOrder) -> Payout:
        """As `Payouts.create`."""
        return await self._run(self._made.create(order))

    async def create_many(self, orders: Sequence[PayoutOrder]) -> list[Payout | PlatformRefused]:
        """As `Payouts.create_many`."""
        return await self._run(self._made.create_many(orders))

    async def submit(self, signed: Sequence[SignedIntent]) -> list[Payout | PlatformRefused]:
        """As `Payouts.submit`."""
        return await self._run(self._made.submit_many(signed))

    async def create_standing_order(self, order: NewStandingOrder) -> StandingOrder:
        """As `Payouts.create_standing_order`."""
        return await self._run(self._made.create_standing_order(order))

    async def submit_standing_order(self, signed: SignedIntent) -> StandingOrder:
        """As `Payouts.submit_standing_order`."""
        return await self._run(self._made.submit_standing_order(signed))

    async def stop_standing_order(self, order_id: str) -> StandingOrder:
        """As `Payouts.stop_standing_order`."""
        return await self._run(self._made.stop_standing_order(order_id))

    async def standing_orders(self, *, after: str | None = None, limit: int = 50) -> Page[StandingOrder]:
        """As `Payouts.standing_orders`."""
        return await self._run(self._made.standing_orders(_query(after, limit)))

    async def get(self, name: str) -> Payout:
        """As `Payouts.get`."""
        return await self._run(self._made.get(name))

    async def page(self, *, after: str | None = None, limit: int = 50) -> Page[Payout]:
        """As `Payouts.page`."""
        return await self._run(self._made.page(_query(after, limit)))

    async def fee(self, asset: str, lines: int = 1) -> PayoutFee:
        """As `Payouts.fee`."""
        return await self._run(self._made.fee(asset, lines))


def _query(after: str | None, limit: int) -> dict[str, str]:
    return {"limit": str(limit)} | ({"after": after} if after is not None else {})
