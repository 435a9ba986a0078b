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
    from holdfast.faces.cli.local_setup import Localnet


class UriUnpayable(BadInput):
    """This URI cannot be paid on the local network. Copy one of an invoice for `litecoin-regtest` or `anvil`."""

    code = "uri-unpayable"


def pay(
    uri: Annotated[str, typer.Argument(help="A BIP 21 or EIP-681 payment URI, as the checkout shows it.")],
    *,
    directory: DirOption = Path(),
    amount: Annotated[
        str | None, typer.Option(help="Pay this instead of what the URI asks, in whole coins or tokens.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Pay a payment URI from the local network's wallets (`holdfast localnet` must be running).

    Example: `holdfast pay 'litecoin:rltc1q…?amount=0.5' --dir shop`
    """
    from holdfast.faces.cli.local_setup import read_localnet

    plan = read_localnet(directory)
    transaction = asyncio.run(_pay(directory, plan, uri, amount))
    emit({"transaction": transaction}, transaction, as_json=as_json)


async def _pay(directory: Path, plan: Localnet, uri: str, amount: str | None) -> str:
    scheme = uri.partition(":")[0].lower()
    if scheme == "litecoin":
        return await _pay_litecoin(directory, plan, uri, amount)
    if scheme == "ethereum":
        return await _pay_evm(plan, uri, amount)
    raise UriUnpayable(f"the scheme is {scheme[:20]!r}")


async def _pay_litecoin(directory: Path, plan: Localnet, uri: str, amount: str | None) -> str:
    from urllib.parse import parse_qs, urlsplit

    from holdfast.chains.rpc import Credentials, RpcClient
    from holdfast.core.money import format_units, parse_units
    from holdfast.faces.cli.local_setup import LOCALNET_DIR

    parts = urlsplit(uri)
    wanted = amount or next(iter(parse_qs(parts.query).get("amount", [])), None)
    if wanted is None:
        raise UriUnpayable("it names no amount; add --amount")
    cookie = directory / LOCALNET_DIR / "litecoin" / "regtest" / ".cookie"
    url = f"http://127.0.0.1:{plan.litecoin_port}/wallet/holdfast"
    rpc = RpcClient(url, name="litecoin-regtest", credentials=Credentials(cookie_file=cookie))
    try:
        units = format_units(parse_units(wanted, 8), 8)
        return await rpc.call(str, "sendtoaddress", parts.path, units)
    finally:
        await rpc.close()


async def _pay_evm(plan: Localnet, uri: str, amount: str | None) -> str:
    from holdfast.chains.rpc import RpcClient
    from holdfast.core.evm import parse_address

    target, query = _evm_parts(uri)
    rpc = RpcClient(f"http://127.0.0.1:{plan.anvil_port}/", name="anvil")
    try:
        payer = (await rpc.call(list[str], "eth_accounts"))[0]
        if target.endswith("/transfer"):
            token, to = parse_address(target.removesuffix("/transfer")), parse_address(query.get("address", ""))
            units = _units(query.get("uint256"), amount, 6)
            await rpc.call(str, "eth_sendTransaction", {"from": payer, "to": token, "data": _call(MINT, payer, units)})
            call = {"from": payer, "to": token, "data": _call(TRANSFER, to, units)}
        else:
            units = _units(query.get("value"), amount, 18)
            call = {"from": payer, "to": parse_address(target), "value": hex(units)}
        return await rpc.call(str, "eth_sendTransaction", call)
    finally:
        await rpc.close()


MINT, TRANSFER = "40c10f19", "a9059cbb"
"""Selectors of `mint(address,uint256)`, which the test token lets anybody call, and ERC-20's `transfer`."""


def _evm_parts(uri: str) -> tuple[str, dict[str, str]]:
    """The target (`address` or `token/transfer`) and the parameters of an EIP-681 URI for anvil's chain id."""
    from urllib.parse import parse_qsl

    rest, _, query = uri.partition(":")[2].removeprefix("pay-").partition("?")
    address, at, chain = rest.partition("@")
    chain_id, _, function = chain.partition("/")
    if at and chain_id != "31337":
        raise UriUnpayable(f"it is for chain {chain_id[:20]!r}, and the local one is 31337")
    if function not in {"", "transfer"}:
        raise UriUnpayable(f"it calls {function[:20]!r}")
    return f"{address}/{function}" if function else address, dict(parse_qsl(query))


def _units(asked: str | None, amount: str | None, decimals: int) -> int:
    from holdfast.core.money import parse_units

    if amount is not None:
        return parse_units(amount, decimals)
    if asked is None or not asked.isdecimal():
        raise UriUnpayable("it names no whole number of units; add --amount")
    return int(asked)


def _call(selector: str, address: str, units: int) -> str:
    return f"0x{selector}{address[2:].lower():0>64}{units:064x}"
