"""What the SDK asks and how it reads the answers, without sending anything: one logic for both clients.

An exchange is a generator: it yields requests, is sent answers, and returns the checked result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

import msgspec

from holdfast.client.failures import PlatformAnswerMalformed, PlatformRefused
from holdfast.client.messages import (
    Balances,
    Deposit,
    DepositAddress,
    Event,
    Invoice,
    JsonObject,
    Networks,
    Page,
    Price,
    Problem,
    Quote,
    SignedCertificate,
    WebhookEndpoint,
)
from holdfast.client.pinned import Pinned
from holdfast.core.certificates import Certificate

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, to be sent any number of times: a POST carries its idempotency key."""

    method: str
    path: str
    query: Mapping[str, str] | None = None
    body: bytes | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer."""

    status: int
    body: bytes


Exchange = Generator[Request, Answer, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewInvoice:
    """An invoice to be made."""

    amount: str
    """Decimal text, as in `12.50`."""
    currency: str
    """ISO 4217 code, or the CAIP-19 id of an asset."""
    asset: str | None = None
    """CAIP-19 id of the asset to pay with, when the payer has picked it already: the invoice comes with its address."""
    assets: tuple[str, ...] = ()
    """What the payer may pick; empty: everything that the platform lists."""
    reference: str | None = None
    """The shop's own name for it, unique among its invoices."""
    description: str | None = None
    metadata: JsonObject | None = None
    redirect_url: str | None = None
    expires_in_seconds: int | None = None

    def body(self) -> JsonObject:
        """As the API takes it."""
        body: JsonObject = {"price": msgspec.to_builtins(Price(self.amount, self.currency))}
        given = {
            "asset": self.asset,
            "assets": list(self.assets) or None,
            "reference": self.reference,
            "description": self.description,
            "metadata": self.metadata,
            "redirect_url": self.redirect_url,
            "expires_in_seconds": self.expires_in_seconds,
        }
        return body | {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Exchanges:
    """Every exchange of the API, its addresses checked against what is pinned."""

    pinned: Pinned
    now: Callable[[], datetime]

    def certificate(self) -> Exchange[Certificate]:
        """Fetch the certificate and take it. Raises what `Pinned.take` raises."""
        signed = read((yield Request("GET", "/v1/certificate")), SignedCertificate)
        self.pinned.take(signed, self.now())
        certificate = self.pinned.certificate
        assert certificate is not None  # noqa: S101  `take` has just set it, or raised
        return certificate

    def certificate_now(self) -> Exchange[Certificate]:
        """The certificate that was taken, or a fresh one. Raises what `Pinned.take` raises."""
        yield from self._certified()
        certificate = self.pinned.certificate
        assert certificate is not None  # noqa: S101  `_certified` has just seen to it, or raised
        return certificate

    def create_invoice(self, new: NewInvoice, key: str) -> Exchange[Invoice]:
        """Make an invoice."""
        yield from self._certified()
        return self.pinned.invoice(read((yield post("/v1/invoices", new.body(), key)), Invoice))

    def invoice(self, invoice_id: str) -> Exchange[Invoice]:
        """Read one invoice."""
        yield from self._certified()
        return self.pinned.invoice(read((yield Request("GET", f"/v1/invoices/{invoice_id}")), Invoice))

    def invoices(self, query: Mapping[str, str]) -> Exchange[Page[Invoice]]:
        """Read a page of invoices."""
        yield from self._certified()
        page = read((yield Request("GET", "/v1/invoices", query)), Page[Invoice])
        return Page([self.pinned.invoice(invoice) for invoice in page.items], page.next)

    def quote(self, invoice_id: str, asset: str, key: str) -> Exchange[Quote]:
        """The payer has picked an asset: its amount and address."""
        yield from self._certified()
        answer = yield post(f"/v1/invoices/{invoice_id}/quotes", {"asset": asset}, key)
        return self.pinned.quote(read(answer, Quote))

    def address(self, network: str, customer: str | None, key: str) -> Exchange[DepositAddress]:
        """A standing deposit address, the same one for the same customer."""
        yield from self._certified()
        wanted: JsonObject = {"network": network}
        if customer is not None:
            wanted["customer"] = customer
        return self.pinned.address(read((yield post("/v1/addresses", wanted, key)), DepositAddress))

    def verify_address(self, network: str, index: int, address: str) -> Exchange[None]:
        """Check an address that came another way, from a page or a mail. Raises `AddressNotOurs`."""
        yield from self._certified()
        self.pinned.check(network, index, address)

    def networks(self) -> Exchange[Networks]:
        """Read what may be paid with."""
        return read((yield Request("GET", "/v1/networks")), Networks)

    def deposits(self, query: Mapping[str, str]) -> Exchange[Page[Deposit]]:
        """Read a page of deposits."""
        return read((yield Request("GET", "/v1/deposits", query)), Page[Deposit])

    def balances(self) -> Exchange[Balances]:
        """Read what there is of each asset."""
        return read((yield Request("GET", "/v1/balances")), Balances)

    def events(self, query: Mapping[str, str]) -> Exchange[Page[Event]]:
        """Read events, oldest first."""
        return read((yield Request("GET", "/v1/events", query)), Page[Event])

    def create_endpoint(self, url: str, options: JsonObject, key: str) -> Exchange[WebhookEndpoint]:
        """Register a webhook endpoint."""
        return read((yield post("/v1/webhook-endpoints", {"url": url, **options}, key)), WebhookEndpoint)

    def _certified(self) -> Exchange[None]:
        if self.pinned.needs_certificate(self.now()):
            yield from self.certificate()


def post(path: str, body: JsonObject, key: str) -> Request:
    """A POST with its idempotency key."""
    return Request("POST", path, None, msgspec.json.encode(body), key)


def read(answer: Answer, kind: type[T]) -> T:
    """The typed content of an answer. Raises `PlatformRefused`, `PlatformAnswerMalformed`."""
    try:
        if answer.status < 400:
            return msgspec.json.decode(answer.body, type=kind)
        problem = msgspec.json.decode(answer.body, type=Problem)
    except msgspec.DecodeError as error:
        raise PlatformAnswerMalformed(f"HTTP {answer.status}: {str(error)[:160]}") from None
    raise refusal(answer.status, problem)


def refusal(status: int, problem: Problem) -> PlatformRefused:
    """A problem document as the error that it is."""
    said = " ".join(text for text in (problem.title, problem.detail, problem.remedy) if text)
    return PlatformRefused(status, problem.code, said[:500], may_retry=problem.retry)
