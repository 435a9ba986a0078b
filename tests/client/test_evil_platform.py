"""The SDK against a platform in an attacker's hands: a real server, one thing wrong with it, one named refusal.

The honest answers are those of the real API's shapes; `tests/faces` shows that the API gives them.
"""

import asyncio
import base64
import copy
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from holdfast.client import (
    AddressNotOurs,
    AsyncHoldfast,
    CertificateNotOurs,
    CertificateRolledBack,
    Holdfast,
    NewInvoice,
    NotPinned,
    Pin,
    PlatformAnswerMalformed,
    PlatformRefused,
    PlatformUnreachable,
)
from holdfast.core.addresses import BitcoinVault, EvmVault, deposit_address
from holdfast.core.certificates import (
    Certificate,
    CertificateExpired,
    CertificateMalformed,
    CertificateUnsigned,
    Grant,
    Tariff,
)
from holdfast.core.errors import HoldfastError
from holdfast.core.money import AssetId
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.core.quorum import QuorumNotTrusted
from holdfast.core.uris import PaymentRequest, payment_uri
from holdfast.vault.officers import OfficerSecret, descriptor_of, public_part, quorum_of, sign_certificate

LITECOIN, ETHEREUM = known_network("litecoin"), known_network("ethereum")
SECRETS = [OfficerSecret(bytes([n]) * 32, bytes([n + 50]) * 32) for n in (1, 2, 3)]
PEOPLE = [public_part(name, secret) for name, secret in zip(("ada", "bo", "cy"), SECRETS, strict=True)]
THIEVES = [OfficerSecret(bytes([n]) * 32, bytes([n + 50]) * 32) for n in (101, 102)]
KEY = b"m" * 32
FACTORY = EvmVault("0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20)
COMMON = {"symbol": "X", "rate": None, "valid_until": "2030-01-01T00:00:00Z"}


def vault(secrets: list[OfficerSecret]) -> BitcoinVault:
    assert isinstance(LITECOIN, BitcoinNetwork)
    return BitcoinVault(descriptor_of(LITECOIN, [public_part("x", secret) for secret in secrets], 2))


VAULT = vault(SECRETS)
STOLEN = deposit_address(LITECOIN, vault([*THIEVES, SECRETS[0]]), 7)
CERTIFICATE = Certificate(
    "mer_1", KEY, b"r" * 32,
    (Grant(LITECOIN.id, VAULT, ((0, 1000),)), Grant(ETHEREUM.id, FACTORY, ((0, 1000),))),
    Tariff(0), 3, datetime.now(UTC) + timedelta(days=30),
)  # fmt: skip


def signed(certificate: Certificate, secrets: list[OfficerSecret] = SECRETS[:2]) -> dict[str, Any]:
    document = certificate.document()
    signatures = [sign_certificate(document, secret) for secret in secrets]
    return {
        "document": base64.b64encode(document).decode(),
        "signatures": [{"officer": one.officer, "signature": one.signature} for one in signatures],
        "quorum": base64.b64encode(quorum_of(PEOPLE, 2).document()).decode(),
    }


def quote(index: int = 7) -> dict[str, Any]:
    address, units = deposit_address(LITECOIN, VAULT, index), 12_345_678
    uri = payment_uri(LITECOIN, PaymentRequest(LITECOIN.coin.id, address, units))
    amounts = {"due_units": str(units), "due": "0.12345678", "left_units": str(units), "left": "0.12345678"}
    return {**COMMON, **amounts, "asset": LITECOIN.coin.id, "network": LITECOIN.id, "address": address, "index": index,
            "uri": uri}  # fmt: skip


def invoice(**changes: Any) -> dict[str, Any]:
    at = "2026-11-21T12:00:00Z"
    return {
        "id": "inv_1", "state": "new", "reason": None, "price": {"amount": "10.00", "currency": "EUR"}, "paid": "0.00",
        "confirmed": "0.00", "reference": None, "assets": [LITECOIN.coin.id], "quotes": [quote()],
        "checkout_url": "https://pay/i/inv_1", "created_at": at, "expires_at": at, "monitored_until": at, **changes,
    }  # fmt: skip


@dataclass
class Platform:
    """What the server answers, path by path; tests change it."""

    url: str = ""
    certificate: dict[str, Any] = field(default_factory=lambda: signed(CERTIFICATE))
    invoice: dict[str, Any] = field(default_factory=invoice)
    failures: list[int] = field(default_factory=list)
    """Statuses to answer with before answering well."""
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path, request.headers.get("Idempotency-Key")))
        if self.failures:
            problem = {"code": "rate-limited", "title": "Slow down.", "retry": True}
            return web.json_response(problem, status=self.failures.pop(0), headers={"Retry-After": "0"})
        bodies: dict[str, Any] = {
            "/v1/certificate": self.certificate,
            "/v1/invoices": self.invoice if request.method == "POST" else {"items": [self.invoice], "next": None},
            "/v1/invoices/inv_1": self.invoice,
            "/v1/invoices/inv_1/quotes": self.invoice["quotes"][0],
            "/v1/addresses": {**self.invoice["quotes"][0], "customer": None},
        }
        if request.path not in bodies:
            return web.json_response({"code": "route-unknown", "title": "No.", "remedy": "See /docs."}, status=404)
        return web.json_response(bodies[request.path])


@pytest_asyncio.fixture
async def platform() -> AsyncIterator[Platform]:
    said = Platform()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", said.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    said.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield said
    await runner.cleanup()


def pin(**changes: Any) -> Pin:
    return replace(Pin(root_fingerprint=quorum_of(PEOPLE, 2).fingerprint(), key=KEY), **changes)


NEW = NewInvoice(amount="10.00", currency="EUR", asset=LITECOIN.coin.id)


async def test_an_honest_platforms_invoice_comes_with_its_address_and_uri(platform: Platform) -> None:
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        made = await client.create_invoice(NEW)
    assert made.quotes[0].address == deposit_address(LITECOIN, VAULT, 7)
    assert made.quotes[0].uri == f"litecoin:{made.quotes[0].address}?amount=0.12345678"


def other(address: str = STOLEN) -> Callable[[dict[str, Any]], None]:
    return lambda said: said.update(address=address)


SWAPS: dict[str, Callable[[dict[str, Any]], None]] = {
    "the thief's address": other(),
    "the address of another index": other(deposit_address(LITECOIN, VAULT, 8)),
    "an index that is another merchant's": lambda said: said.update(quote(1000)),
    "another network than the address": lambda said: said.update(network=ETHEREUM.id),
    "an asset of another network": lambda said: said.update(asset=ETHEREUM.coin.id),
    "a network that is not in the certificate": lambda said: said.update(network="eip155:137"),
    "a network that nobody knows": lambda said: said.update(network="nonsense"),
    "no address at all": other(""),
    "the address in capitals": other(deposit_address(LITECOIN, VAULT, 7).upper()),
}


CALLS = ["create_invoice", "invoice", "invoices", "quote", "deposit_address", "watch"]
# A standing address has no asset that could be wrong.
PAIRS = [pair for pair in product(SWAPS, CALLS) if pair != ("an asset of another network", "deposit_address")]


@pytest.mark.parametrize(("swap", "call"), PAIRS)
async def test_an_address_that_is_not_the_merchants_is_never_returned(platform: Platform, swap: str, call: str) -> None:
    SWAPS[swap](platform.invoice["quotes"][0])
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        calls: dict[str, Callable[[], Any]] = {
            "create_invoice": lambda: client.create_invoice(NEW),
            "invoice": lambda: client.invoice("inv_1"),
            "invoices": client.invoices,
            "quote": lambda: client.quote("inv_1", LITECOIN.coin.id),
            "deposit_address": lambda: client.deposit_address(LITECOIN.id),
            "watch": lambda: anext(client.watch("inv_1")),
        }
        with pytest.raises(AddressNotOurs):
            await calls[call]()


async def test_the_sync_client_refuses_it_too(platform: Platform) -> None:
    platform.invoice["quotes"][0]["address"] = STOLEN

    def call() -> None:
        with Holdfast(platform.url, "hf_x", pin()) as client:
            client.create_invoice(NEW)

    with pytest.raises(AddressNotOurs):
        await asyncio.to_thread(call)


async def test_a_payment_uri_is_made_anew_and_the_platforms_is_thrown_away(platform: Platform) -> None:
    platform.invoice["quotes"][0]["uri"] = f"litecoin:{STOLEN}?amount=9"
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        made = await client.create_invoice(NEW)
    assert STOLEN not in str(made)


async def test_an_address_that_came_another_way_is_checked_on_demand(platform: Platform) -> None:
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        await client.verify_address(LITECOIN.id, 7, deposit_address(LITECOIN, VAULT, 7))
        with pytest.raises(AddressNotOurs):
            await client.verify_address(LITECOIN.id, 7, STOLEN)


async def test_evm_addresses_are_derived_again_too(platform: Platform) -> None:
    platform.invoice["quotes"][0].update(
        network=ETHEREUM.id, asset=ETHEREUM.coin.id, address=deposit_address(ETHEREUM, FACTORY, 7)
    )
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        assert (await client.create_invoice(NEW)).quotes[0].uri.startswith("ethereum:0x")
        platform.invoice["quotes"][0]["address"] = deposit_address(
            ETHEREUM, replace(FACTORY, factory="0x" + "44" * 20), 7
        )
        with pytest.raises(AddressNotOurs):
            await client.create_invoice(NEW)


FORGERIES: dict[str, tuple[Callable[[dict[str, Any]], Any], type[HoldfastError]]] = {
    "signed by thieves under their own quorum": (
        lambda said: said.update(
            signed(CERTIFICATE, THIEVES),
            quorum=base64.b64encode(
                quorum_of([public_part(n, s) for n, s in zip("xy", THIEVES, strict=True)], 2).document()
            ).decode(),
        ),
        QuorumNotTrusted,
    ),
    "signed by thieves under the officers' quorum": (
        lambda said: said.update(signed(CERTIFICATE, THIEVES)),
        CertificateUnsigned,
    ),
    "signed by one officer of two": (lambda said: said.update(signed(CERTIFICATE, SECRETS[:1])), CertificateUnsigned),
    "changed after it was signed": (
        lambda said: said.update(document=signed(replace(CERTIFICATE, networks=()))["document"]),
        CertificateUnsigned,
    ),
    "for another merchant's key": (
        lambda said: said.update(signed(replace(CERTIFICATE, key=b"o" * 32))),
        CertificateNotOurs,
    ),
    "expired": (
        lambda said: said.update(signed(replace(CERTIFICATE, expires_at=datetime.now(UTC) - timedelta(1)))),
        CertificateExpired,
    ),
    "no certificate": (lambda said: said.update(document=base64.b64encode(b"{}").decode()), CertificateMalformed),
}


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_without_a_valid_certificate_for_its_own_key_no_address_is_given_out(
    platform: Platform, forgery: str
) -> None:
    change, refusal = FORGERIES[forgery]
    change(platform.certificate)
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        with pytest.raises(refusal):
            await client.create_invoice(NEW)
    assert {path for _, path, _ in platform.asked} == {"/v1/certificate"}


@pytest.mark.parametrize("missing", [{"root_fingerprint": ""}, {"key": b""}])
async def test_a_client_that_pinned_nothing_gets_no_address(platform: Platform, missing: dict[str, Any]) -> None:
    async with AsyncHoldfast(platform.url, "hf_x", pin(**missing)) as client:
        with pytest.raises(NotPinned):
            await client.create_invoice(NEW)


async def test_an_old_certificate_is_refused_even_after_a_restart(platform: Platform, tmp_path: Path) -> None:
    remembering = pin(version_file=tmp_path / "version")
    async with AsyncHoldfast(platform.url, "hf_x", remembering) as client:
        await client.certificate()
    platform.certificate = signed(replace(CERTIFICATE, version=2))
    async with AsyncHoldfast(platform.url, "hf_x", remembering) as client:
        with pytest.raises(CertificateRolledBack):
            await client.certificate()
    platform.certificate = signed(replace(CERTIFICATE, version=4))
    async with AsyncHoldfast(platform.url, "hf_x", remembering) as client:
        assert (await client.certificate()).version == 4


async def test_a_post_is_tried_again_under_the_same_idempotency_key(platform: Platform) -> None:
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        await client.certificate()
        platform.failures = [503, 429, 500]
        await client.create_invoice(NEW, idempotency_key="order-1")
    assert [key for _, path, key in platform.asked if path == "/v1/invoices"] == ["order-1"] * 4


async def test_what_the_platform_refuses_is_told_with_its_own_code_and_remedy(platform: Platform) -> None:
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        with pytest.raises(PlatformRefused) as refused:
            await client.balances()
    assert (refused.value.status, refused.value.refusal) == (404, "route-unknown")
    assert "See /docs." in str(refused.value)


async def test_a_platform_that_is_not_there_or_talks_nonsense_is_named(platform: Platform) -> None:
    platform.invoice = {"id": 1}
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        with pytest.raises(PlatformAnswerMalformed):
            await client.create_invoice(NEW)
    async with AsyncHoldfast("http://127.0.0.1:1", "hf_x", pin()) as client:
        with pytest.raises(PlatformUnreachable):
            await client.networks()


async def test_fields_that_a_newer_platform_adds_do_not_hurt(platform: Platform) -> None:
    platform.invoice = {**copy.deepcopy(platform.invoice), "novelty": {"a": 1}}
    async with AsyncHoldfast(platform.url, "hf_x", pin()) as client:
        assert (await client.create_invoice(NEW)).id == "inv_1"
    assert json.dumps(platform.invoice)
    assert AssetId(LITECOIN.coin.id)
