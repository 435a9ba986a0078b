"""One round: an invoice, its addresses derived again, the page read as a payer reads it, a payment, its credit."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote as quoted

import httpx
import msgspec

from holdfast.chains.evm_outflow import EvmOutflow
from holdfast.chains.evm_transactions import address_of_key, sign
from holdfast.chains.rpc import RpcClient
from holdfast.client.clients import AsyncHoldfast
from holdfast.client.exchanges import NewInvoice
from holdfast.client.failures import AddressNotOurs
from holdfast.client.messages import Invoice, Quote
from holdfast.core.errors import HoldfastError
from holdfast.core.evm import address_bytes
from holdfast.core.evm_transactions import Fees, Transaction
from holdfast.core.networks import EvmNetwork, network_by_id
from holdfast.core.states import InvoiceState
from holdfast.faces.canary.settings import CanarySettings, PayerSettings
from holdfast.runtime.secret_files import read_secret

_TRANSFER = bytes.fromhex("a9059cbb")
_GAS = 200_000
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}(?![0-9a-fA-F])|\b(?:bc|tb|bcrt|ltc|tltc|rltc)1[02-9ac-hj-np-z]{11,87}\b")
_POLL_SECONDS = 0.5


class Finding(msgspec.Struct, frozen=True):
    """What was not as it must be."""

    kind: str
    """`address`: payers are shown an address that is not the vault's. `credit`: a payment was not credited in time.
    `unreachable`: the platform did not answer."""
    detail: str
    invoice: str = ""
    transaction: str = ""


@dataclass(frozen=True, slots=True)
class Round:
    """What was done, and what was found."""

    invoice: str
    compared: tuple[str, ...]
    """Assets whose address was derived again, from the API and from the page."""
    paid: tuple[str, ...]
    """Transactions that were credited."""
    findings: tuple[Finding, ...]


async def play(client: AsyncHoldfast, settings: CanarySettings) -> Round:
    """One round. Raises nothing that the platform can cause."""
    try:
        invoice = await client.create_invoice(NewInvoice(amount=settings.amount, currency=settings.currency))
        return await _all_assets(client, settings, invoice)
    except AddressNotOurs as error:
        return Round("", (), (), (Finding("address", error.detail),))
    except (HoldfastError, httpx.HTTPError) as error:
        return Round("", (), (), (Finding("unreachable", f"{type(error).__name__}: {error}"[:300]),))


async def _all_assets(client: AsyncHoldfast, settings: CanarySettings, invoice: Invoice) -> Round:
    compared, findings = [], []
    payable: tuple[Quote, PayerSettings] | None = None
    for asset in invoice.assets:
        try:
            quote = await client.quote(invoice.id, asset)
            findings += [Finding("address", each, invoice.id) for each in await _on_page(settings, invoice, quote)]
        except AddressNotOurs as error:
            findings.append(Finding("address", error.detail, invoice.id))
            continue
        compared.append(asset)
        payer = settings.payers.get(quote.network)
        if payable is None and payer is not None and int(quote.left_units) <= payer.units_max:
            payable = quote, payer
    if payable is None or findings:
        return Round(invoice.id, tuple(compared), (), tuple(findings))
    transaction = await _pay(*payable)
    if await _is_credited(client, invoice.id, settings.credited_seconds):
        return Round(invoice.id, tuple(compared), (transaction,), ())
    late = Finding("credit", f"not settled {settings.credited_seconds} s after payment", invoice.id, transaction)
    return Round(invoice.id, tuple(compared), (), (late,))


async def _on_page(settings: CanarySettings, invoice: Invoice, quote: Quote) -> Iterator[str]:
    """Why the page that a payer sees is not about this address."""
    async with httpx.AsyncClient(timeout=10, trust_env=False) as http:  # a stranger: no key, no cookie
        url = f"{settings.platform_url.rstrip('/')}/i/{invoice.id}?asset={quoted(quote.asset, safe='')}"
        page = (await http.get(url)).raise_for_status().text
    return foreign_addresses(page, quote)


def foreign_addresses(page: str, quote: Quote) -> Iterator[str]:
    """What a page shows that is neither the address of this quote nor the token's own contract."""
    token = quote.asset.partition("/erc20:")[2]
    shown = dict.fromkeys(_ADDRESS.findall(page))
    if quote.address not in shown and quote.address not in page:
        yield f"the page for {quote.asset} does not show {quote.address}"
    for address in shown:
        if address.lower() not in {quote.address.lower(), token.lower()}:
            yield f"the page for {quote.asset} shows {address}, the vault's is {quote.address}"


async def _pay(quote: Quote, payer: PayerSettings) -> str:
    """Pay what is left of it, from the canary's own key. Raises what nodes raise."""
    network = network_by_id(quote.network)
    if not isinstance(network, EvmNetwork):
        raise TypeError(f"{network.name} is no EVM network")  # settings name a payer for EVM networks alone
    key, units = bytes.fromhex(read_secret(payer.key_file)), int(quote.left_units)
    token = quote.asset.partition("/erc20:")[2]
    data = _TRANSFER + address_bytes(quote.address).rjust(32, b"\0") + units.to_bytes(32, "big") if token else b""
    node, rpc = EvmOutflow(payer.url, network), RpcClient(payer.url)
    try:
        rate = await node.fees()
        count = await rpc.call(str, "eth_getTransactionCount", address_of_key(key), "pending")
        fees = Fees(2 * rate.base_fee_wei + rate.priority_fee_wei, rate.priority_fee_wei)
        to, value = (token, 0) if token else (quote.address, units)
        signed = sign(Transaction(network.chain_id, int(count, 16), fees, _GAS, to, value, data), key)
        await node.send(signed.raw)
    finally:
        await node.close()
        await rpc.close()
    return signed.hash


async def _is_credited(client: AsyncHoldfast, invoice_id: str, seconds: int) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (await client.invoice(invoice_id)).state is InvoiceState.SETTLED:
            return True
        await asyncio.sleep(_POLL_SECONDS)
    return False
