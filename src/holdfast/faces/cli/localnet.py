"""`holdfast localnet`: chains of one's own to try things out on, with blocks on a rhythm."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.terminal import JsonOption, emit, say

if TYPE_CHECKING:
    from holdfast.chains.localnet import AnvilNode, RegtestNode
    from holdfast.faces.cli.local_setup import Localnet

DirOption = Annotated[
    Path, typer.Option("--dir", "-d", metavar="DIR", help="The set-up that `holdfast init --local` made.")
]


def localnet(
    *,
    directory: DirOption = Path(),
    block_seconds: Annotated[float, typer.Option(min=0.1, help="Time between two blocks on each chain.")] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Run real nodes of one's own (litecoind in regtest, anvil) for a set-up made by `init --local`, until Ctrl-C.

    The first time, vault, float and a test token are put onto the EVM chain, and some money into both floats.

    Example: `holdfast localnet --dir shop`
    """
    from holdfast.faces.cli.local_setup import read_localnet

    plan = read_localnet(directory)
    asyncio.run(_run(directory, plan, block_seconds, as_json=as_json))


async def _run(directory: Path, plan: Localnet, block_seconds: float, *, as_json: bool) -> None:
    from holdfast.chains.localnet import anvil, litecoin_regtest
    from holdfast.faces.cli.local_setup import LOCALNET_DIR

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    data = (directory / LOCALNET_DIR).absolute()
    say("localnet: starting litecoind (regtest) and anvil")
    async with (
        litecoin_regtest(data / "litecoin", plan.litecoin_port) as litecoin,
        anvil(data / "anvil", plan.anvil_port) as evm,
    ):
        await prepare(litecoin, evm, plan)
        facts = {
            "litecoin-regtest": {"url": litecoin.rpc_url, "cookie_file": str(litecoin.cookie_file)},
            "anvil": {"url": evm.rpc_url, "token": plan.token},
            "block_seconds": block_seconds,
        }
        emit(facts, as_json=as_json, text=_text(litecoin, evm, plan, block_seconds))
        await _mine_until(stop, litecoin, evm, block_seconds)
        say("localnet: stopping")
    say("localnet: stopped; the chains are kept")


async def prepare(litecoin: RegtestNode, evm: AnvilNode, plan: Localnet) -> None:
    """Put vault, float and test token where the plan says, and the company's money into the float, unless it was done.

    A company would fund its float from its own wallet; here the chain's rich accounts are that.
    """
    from holdfast.chains.evm_contracts import float_of, plan_vault
    from holdfast.chains.evm_deploy import deploy, deploy_float, deploy_local_contract, token_arguments
    from holdfast.faces.cli.local_setup import ANVIL_KEY, FLOAT_WHOLE, GAS_WHOLE, TOKEN_DECIMALS, TOKEN_SYMBOL

    vault = plan_vault(plan.owners, plan.threshold)
    done = await deploy(evm.rpc_url, vault, ANVIL_KEY)
    await deploy_local_contract(evm.rpc_url, "PlainToken", token_arguments(TOKEN_SYMBOL, TOKEN_DECIMALS), ANVIL_KEY)
    made = await deploy_float(evm.rpc_url, plan.float_owner, vault.vault, ANVIL_KEY)
    say(f"localnet: contracts deployed: {', '.join((*done.made, *made.made))}" if made.made else "localnet: as before")
    if not made.made:
        return
    contract = float_of(plan.float_owner, vault.vault)
    for account in (plan.float_owner, plan.gas_account):
        await evm.send(account, GAS_WHOLE * 10**18)
    await evm.send(contract, FLOAT_WHOLE["ETH"] * 10**18)
    mint = f"0x40c10f19{contract[2:].lower():0>64}{FLOAT_WHOLE[TOKEN_SYMBOL] * 10**TOKEN_DECIMALS:064x}"
    await evm.transact({"to": plan.token, "data": mint})
    await litecoin.mine(FLOAT_WHOLE["rLTC"] // 40)  # each matures an earlier reward of 50
    await litecoin.send_many({plan.litecoin_float: FLOAT_WHOLE["rLTC"] * 10**8})
    await asyncio.gather(litecoin.mine(), evm.mine())


async def _mine_until(stop: asyncio.Event, litecoin: RegtestNode, evm: AnvilNode, block_seconds: float) -> None:
    """A block on each chain every so often."""
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), block_seconds)
        except TimeoutError:
            await asyncio.gather(litecoin.mine(), evm.mine())


def _text(litecoin: RegtestNode, evm: AnvilNode, plan: Localnet, block_seconds: float) -> str:
    return "\n".join(
        (
            f"litecoin-regtest  {litecoin.rpc_url}  cookie {litecoin.cookie_file}",
            f"anvil             {evm.rpc_url}  test token {plan.token}",
            f"a block every {block_seconds:g} s; Ctrl-C stops both and keeps the chains",
        )
    )
