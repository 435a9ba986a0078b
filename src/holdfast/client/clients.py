"""The two clients, over httpx: they send, wait and try again; what they send and believe is decided in `exchanges`."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import httpx

from holdfast.client.exchanges import Answer, Exchange, Exchanges, NewInvoice, Request
from holdfast.client.failures import PlatformUnreachable
from holdfast.client.keys import MerchantKey
from holdfast.client.messages import (
    Balances,
    Deposit,
    DepositAddress,
    Event,
    Invoice,
    JsonObject,
    ListedNetwork,
    Page,
    Quote,
    WebhookEndpoint,
)
from holdfast.client.outbox import Outbox
from holdfast.client.payouts import AsyncPayouts, PayoutExchanges, Payouts
from holdfast.client.pinned import Pinned
from holdfast.client.signing import IntentSigner
from holdfast.core.certificates import Certificate
from holdfast.core.states import InvoiceState

T = TypeVar("T")

TRIES_MAX = 5
BACKOFF_SECONDS = 0.2
TRY_AGAIN = frozenset({425, 429, 500, 502, 503, 504})
ENDED = frozenset({InvoiceState.SETTLED, InvoiceState.EXPIRED, InvoiceState.INVALID})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What the merchant knows without the platform. Obtain both before the first payment, and not from the platform."""

    root_fingerprint: str
    """The officers' root fingerprint: SHA-256 of their quorum document, hex."""
    key: bytes
    """The merchant's own Ed25519 public key, 32 bytes."""
    version_file: Path | None = None
    """Where the newest certificate version ever seen is kept, so that a restart does not forget it."""


def merchant_signer(
    key: MerchantKey, *, outbox_file: Path | None = None, decimals: Mapping[str, int] | None = None
) -> IntentSigner:
    """What signs payouts for a client. `outbox_file`: where what was signed is kept, so that no restart signs it twice.

    `decimals`: of tokens that you pay in whole ones, by CAIP-19 id; from a source other than the platform.
    """
    return IntentSigner(key, _now, Outbox(outbox_file), decimals or {})


def _now() -> datetime:
    return datetime.now(UTC)  # noqa: TID251  the SDK runs in the merchant's program, which has no Clock of ours


def _new_key() -> str:
    return secrets.token_urlsafe(24)


def _query(**given: str | int | None) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value is not None}


def _sent(request: Request) -> dict[str, str]:
    headers = {"Content-Type": "application/json"} if request.body is not None else {}
    return headers | ({"Idempotency-Key": request.idempotency_key} if request.idempotency_key else {})


def _wait_seconds(tried: int, response: httpx.Response | None) -> float:
    """How long to wait before the next try: as told, else twice as long each time."""
    told = response.headers.get("Retry-After", "") if response is not None else ""
    return min(float(told), 30.0) if told.isdecimal() else BACKOFF_SECONDS * 2**tried


class Holdfast:
    """The merchant's client. Every address that it returns was derived again from his certificate.

    Use it as a context manager, or `close` it. All calls raise `PlatformUnreachable`, `PlatformRefused`,
    `PlatformAnswerMalformed`; those that return addresses also `AddressNotOurs` and what `Pinned.take` raises.
    """

    def __init__(
        self, url: str, api_key: str, pin: Pin, *, signer: IntentSigner | None = None, timeout_seconds: float = 10.0
    ) -> None:
        self._exchanges = Exchanges(Pinned(pin.root_fingerprint, pin.key, pin.version_file), _now)
        self.payouts = Payouts(PayoutExchanges(self._exchanges, signer), self._run)
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def certificate(self) -> Certificate:
        """Fetch and check the certificate now, rather than before the first address."""
        return self._run(self._exchanges.certificate())

    def create_invoice(self, new: NewInvoice, *, idempotency_key: str | None = None) -> Invoice:
        """Make an invoice. Give your own key (an order number) to make it once across restarts of your program."""
        return self._run(self._exchanges.create_invoice(new, idempotency_key or _new_key()))

    def invoice(self, invoice_id: str) -> Invoice:
        """Read one invoice."""
        return self._run(self._exchanges.invoice(invoice_id))

    def invoices(
        self, *, state: InvoiceState | None = None, after: str | int | None = None, limit: int = 50
    ) -> Page[Invoice]:
        """Read invoices, newest first; `after` is `next` of the page before."""
        return self._run(self._exchanges.invoices(_query(state=state, after=after, limit=limit)))

    def quote(self, invoice_id: str, asset: str, *, idempotency_key: str | None = None) -> Quote:
        """The payer has picked an asset: its exact amount, address and payment URI."""
        return self._run(self._exchanges.quote(invoice_id, asset, idempotency_key or _new_key()))

    def deposit_address(self, network: str, customer: str | None = None) -> DepositAddress:
        """A standing deposit address on a network; a customer always gets the same one."""
        return self._run(self._exchanges.address(network, customer, _new_key()))

    def verify_address(self, network: str, index: int, address: str) -> None:
        """Check an address that came another way, from a page or a mail. Raises `AddressNotOurs`."""
        self._run(self._exchanges.verify_address(network, index, address))

    def networks(self) -> list[ListedNetwork]:
        """What may be paid with here."""
        return self._run(self._exchanges.networks()).items

    def deposits(self, *, after: str | int | None = None, limit: int = 50) -> Page[Deposit]:
        """Read deposits, newest first."""
        return self._run(self._exchanges.deposits(_query(after=after, limit=limit)))

    def balances(self) -> Balances:
        """What there is of each asset."""
        return self._run(self._exchanges.balances())

    def events(self, *, after: str | int | None = None, limit: int = 50) -> Page[Event]:
        """Read events, oldest first. Keep the last id, and you miss nothing."""
        return self._run(self._exchanges.events(_query(after=after, limit=limit)))

    def create_webhook_endpoint(self, url: str, **options: object) -> WebhookEndpoint:
        """Register an endpoint; its secret is in the answer, once."""
        given: JsonObject = dict(options)
        return self._run(self._exchanges.create_endpoint(url, given, _new_key()))

    def watch(self, invoice_id: str, *, every_seconds: float = 1.0) -> Iterator[Invoice]:
        """The invoice each time that it has changed, until it is settled, expired or invalid."""
        last = None
        while last is None or last.state not in ENDED:
            invoice = self.invoice(invoice_id)
            if invoice != last:
                yield invoice
            last = invoice
            if last.state not in ENDED:
                time.sleep(every_seconds)

    def _run(self, exchange: Exchange[T]) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(self._answer(request))
        except StopIteration as done:
            result: T = done.value
            return result

    def _answer(self, request: Request) -> Answer:
        said = ""
        for tried in range(TRIES_MAX):
            response = None
            try:
                response = self._http.request(
                    request.method, request.path, params=request.query, content=request.body, headers=_sent(request)
                )
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            if response is not None and (response.status_code not in TRY_AGAIN or tried == TRIES_MAX - 1):
                return Answer(response.status_code, response.content)
            time.sleep(_wait_seconds(tried, response))
        raise PlatformUnreachable(said[:200])


class AsyncHoldfast:
    """The merchant's client for asyncio: as `Holdfast`, awaited."""

    def __init__(
        self, url: str, api_key: str, pin: Pin, *, signer: IntentSigner | None = None, timeout_seconds: float = 10.0
    ) -> None:
        self._exchanges = Exchanges(Pinned(pin.root_fingerprint, pin.key, pin.version_file), _now)
        self.payouts = AsyncPayouts(PayoutExchanges(self._exchanges, signer), self._run)
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout_seconds, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def certificate(self) -> Certificate:
        """As `Holdfast.certificate`."""
        return await self._run(self._exchanges.certificate())

    async def create_invoice(self, new: NewInvoice, *, idempotency_key: str | None = None) -> Invoice:
        """As `Holdfast.create_invoice`."""
        return await self._run(self._exchanges.create_invoice(new, idempotency_key or _new_key()))

    async def invoice(self, invoice_id: str) -> Invoice:
        """As `Holdfast.invoice`."""
        return await self._run(self._exchanges.invoice(invoice_id))

    async def invoices(
        self, *, state: InvoiceState | None = None, after: str | int | None = None, limit: int = 50
    ) -> Page[Invoice]:
        """As `Holdfast.invoices`."""
        return await self._run(self._exchanges.invoices(_query(state=state, after=after, limit=limit)))

    async def quote(self, invoice_id: str, asset: str, *, idempotency_key: str | None = None) -> Quote:
        """As `Holdfast.quote`."""
        return await self._run(self._exchanges.quote(invoice_id, asset, idempotency_key or _new_key()))

    async def deposit_address(self, network: str, customer: str | None = None) -> DepositAddress:
        """As `Holdfast.deposit_address`."""
        return await self._run(self._exchanges.address(network, customer, _new_key()))

    async def verify_address(self, network: str, index: int, address: str) -> None:
        """As `Holdfast.verify_address`."""
        await self._run(self._exchanges.verify_address(network, index, address))

    async def networks(self) -> list[ListedNetwork]:
        """As `Holdfast.networks`."""
        return (await self._run(self._exchanges.networks())).items

    async def deposits(self, *, after: str | int | None = None, limit: int = 50) -> Page[Deposit]:
        """As `Holdfast.deposits`."""
        return await self._run(self._exchanges.deposits(_query(after=after, limit=limit)))

    async def balances(self) -> Balances:
        """As `Holdfast.balances`."""
        return await self._run(self._exchanges.balances())

    async def events(self, *, after: str | int | None = None, limit: int = 50) -> Page[Event]:
        """As `Holdfast.events`."""
        return await self._run(self._exchanges.events(_query(after=after, limit=limit)))

    async def create_webhook_endpoint(self, url: str, **options: object) -> WebhookEndpoint:
        """As `Holdfast.create_webhook_endpoint`."""
        given: JsonObject = dict(options)
        return await self._run(self._exchanges.create_endpoint(url, given, _new_key()))

    async def watch(self, invoice_id: str, *, every_seconds: float = 1.0) -> AsyncIterator[Invoice]:
        """As `Holdfast.watch`."""
        last = None
        while last is None or last.state not in ENDED:
            invoice = await self.invoice(invoice_id)
            if invoice != last:
                yield invoice
            last = invoice
            if last.state not in ENDED:
                await asyncio.sleep(every_seconds)

    async def _run(self, exchange: Exchange[T]) -> T:
        try:
            request = next(exchange)
            while True:
                request = exchange.send(await self._answer(request))
        except StopIteration as done:
            result: T = done.value
            return result

    async def _answer(self, request: Request) -> Answer:
        said = ""
        for tried in range(TRIES_MAX):
            response = None
            try:
                response = await self._http.request(
                    request.method, request.path, params=request.query, content=request.body, headers=_sent(request)
                )
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            if response is not None and (response.status_code not in TRY_AGAIN or tried == TRIES_MAX - 1):
                return Answer(response.status_code, response.content)
            await asyncio.sleep(_wait_seconds(tried, response))
        raise PlatformUnreachable(said[:200])
