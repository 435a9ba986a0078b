"""Payment URIs, as wallets read them: BIP 21 for the Bitcoin family, EIP-681 for EVM. Built and read back exactly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from holdfast.core.addresses import parse_address
from holdfast.core.errors import BadInput
from holdfast.core.money import AssetId, format_units, parse_units
from holdfast.core.networks import BitcoinNetwork, EvmNetwork, Network

_EIP681 = re.compile(r"ethereum:(?:pay-)?(0x[0-9a-fA-F]{40})@([1-9][0-9]*)(/transfer)?\?(.+)", re.ASCII)
_UNITS = re.compile(r"0|[1-9][0-9]{0,77}", re.ASCII)


class PaymentUriMalformed(BadInput):
    """The text is not a payment URI of this network. Use one that a quote contains, unchanged."""

    code = "payment-uri-malformed"


@dataclass(frozen=True, slots=True)
class PaymentRequest:
    """What a payment URI asks for."""

    asset: AssetId
    address: str
    units: int


def payment_uri(network: Network, request: PaymentRequest) -> str:
    """The URI that asks a wallet for exactly this. Raises `PaymentUriMalformed` for an asset of another network."""
    if isinstance(network, BitcoinNetwork):
        if request.asset != network.coin.id:
            raise PaymentUriMalformed(f"{request.asset} is not the coin of {network.name}")
        amount = format_units(request.units, network.coin.decimals).rstrip("0").rstrip(".")
        return f"{network.uri_scheme}:{request.address}?amount={amount}"
    if request.asset.startswith(f"{network.id}/slip44:"):  # an EVM network has one coin, whatever number it is given
        return f"ethereum:{request.address}@{network.chain_id}?value={request.units}"
    prefix = f"{network.id}/erc20:"
    if not request.asset.startswith(prefix):
        raise PaymentUriMalformed(f"{request.asset} is not a token of {network.name}")
    contract = parse_address(network, request.asset.removeprefix(prefix))
    return f"ethereum:{contract}@{network.chain_id}/transfer?address={request.address}&uint256={request.units}"


def parse_payment_uri(network: Network, text: str) -> PaymentRequest:
    """What a URI of this network asks for. Raises `PaymentUriMalformed`, and as `parse_address`, `parse_units`."""
    if isinstance(network, EvmNetwork):
        return _parse_eip681(network, text)
    scheme, _, rest = text.partition(":")
    target, _, query = rest.partition("?")
    values = _values(query)
    if (
        scheme.lower() != network.uri_scheme
        or "amount" not in values
        or any(name.startswith("req-") for name in values)
    ):
        raise PaymentUriMalformed(f"{text[:160]!r}")
    units = parse_units(values["amount"], network.coin.decimals)
    return PaymentRequest(network.coin.id, parse_address(network, target), units)


def _parse_eip681(network: EvmNetwork, text: str) -> PaymentRequest:
    match = _EIP681.fullmatch(text)
    if match is None or int(match[2]) != network.chain_id:
        raise PaymentUriMalformed(f"{text[:160]!r}")
    values = _values(match[4])
    units = values.get("uint256" if match[3] else "value", "")
    if _UNITS.fullmatch(units) is None:
        raise PaymentUriMalformed(f"{text[:160]!r}")
    target = parse_address(network, match[1])
    if match[3]:
        asset = AssetId(f"{network.id}/erc20:{target.lower()}")
        return PaymentRequest(asset, parse_address(network, values.get("address", "")), int(units))
    return PaymentRequest(network.coin.id, target, int(units))


def _values(query: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    if len(dict(pairs)) != len(pairs):
        raise PaymentUriMalformed("a parameter stands twice")
    return dict(pairs)
