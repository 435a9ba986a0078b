"""`holdfast pay`: pays a payment URI from the local network's wallets, for people trying things out."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput
from holdfast.faces.cli.localnet import DirOption
from holdfast.faces.cli.terminal import JsonOption, emit

if TYPE_CHECKING:
    from holdfast.core.uris import PaymentRequest
    from holdfast.faces.cli.local_setup import Localnet

MINT, TRANSFER = "40c10f19", "a9059cbb"
"""Selectors of `mint(address,uint256)`, which the test token lets anybody call, and of ERC-20's `transfer`."""


class UriUnpayable(BadInput):
    """This URI cannot be paid on the local network. Copy one of an invoice for `litecoin-regtest` or `anvil`."""

    code = "uri-unpayable"


def pay(
    uri: Annotated[str, typer.Argument(help="A BIP 21 or EIP-681 payment URI, as the checkout shows it.")],
    *,
    directory: DirOption = Path(),
    percent: Annotated[int, typer.Option(min=1, max=1000, help="Pay this part of what the URI asks.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Pay a payment URI from the local network's wallets (`holdfast localnet` must be running).

    Example: `holdfast pay 'litecoin:rltc1q…?amount=0.5' --dir shop`
    """
    from holdfast.faces.cli.local_setup import read_localnet

    transaction = asyncio.run(_pay(directory, read_localnet(directory), uri, percent))
    emit({"transaction": transaction}, transaction, as_json=as_json)


async def _pay(directory: Path, plan: Localnet, uri: str, percent: int) -> str:
    from holdfast.core.networks import known_network
    from holdfast.core.uris import parse_payment_uri

    scheme = uri.partition(":")[0].lower()
    names = {"litecoin": "litecoin-regtest", "ethereum": "anvil"}
    if scheme not in names:
        raise UriUnpayable(f"its scheme is {scheme[:20]!r}")
    request = parse_payment_uri(known_network(names[scheme]), uri)
    units = max(1, request.units * percent // 100)
    if scheme == "litecoin":
        return await _pay_litecoin(directory, plan, request.address, units)
    return await _pay_evm(plan, request, units)


async def _pay_litecoin(directory: Path, plan: Localnet, address: str, units: int) -> str:
    from holdfast.chains.rpc import Credentials, RpcClient
    from holdfast.core.money import format_units
    from holdfast.faces.cli.local_setup import LOCALNET_DIR

    cookie = directory / LOCALNET_DIR / "litecoin" / "regtest" / ".cookie"
    url = f"http://127.0.0.1:{plan.litecoin_port}/wallet/holdfast"
    rpc = RpcClient(url, name="litecoin-regtest", credentials=Credentials(cookie_file=cookie))
    try:
        return await rpc.call(str, "sendtoaddress", address, format_units(units, 8))
    finally:
        await rpc.close()


async def _pay_evm(plan: Localnet, request: PaymentRequest, units: int) -> str:
    from holdfast.chains.rpc import RpcClient

    _, _, token = request.asset.partition("/erc20:")
    rpc = RpcClient(f"http://127.0.0.1:{plan.anvil_port}/", name="anvil")
    try:
        payer = (await rpc.call(list[str], "eth_accounts"))[0]
        call = {"from": payer, "to": request.address, "value": hex(units)}
        if token:
            await rpc.call(str, "eth_sendTransaction", {"from": payer, "to": token, "data": _data(MINT, payer, units)})
            call = {"from": payer, "to": token, "data": _data(TRANSFER, request.address, units)}
        return await rpc.call(str, "eth_sendTransaction", call)
    finally:
        await rpc.close()


def _data(selector: str, address: str, units: int) -> str:
    """ABI call data of a function that takes an address and a number."""
    return f"0x{selector}{address[2:].lower():0>64}{units:064x}"
