"""What a payout on an EVM network costs in gas: many lines by one call of the float, beside one transaction for each.

On a real anvil; gas is what the chain charged. `new` destinations never had anything, `later` ones were paid before.
Below 100 percent the float is cheaper. A call of 500 lines is longer than `most_lines` allows where destinations may do
their worst; it is here to show that nothing is gained by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from holdfast.chains.evm_contracts import COIN, float_of, selector, transfer_call, word
from holdfast.chains.evm_deploy import deploy_float, deploy_local_contract
from holdfast.chains.evm_house import GasAccount
from holdfast.chains.localnet import anvil
from holdfast.chains.rpc import RpcClient
from holdfast.core.evm import address_bytes, checksum, keccak256
from holdfast.core.evm_float import UNPAID_TOPIC, lines_max, pay_call

SIZES = (1, 10, 100, 500)
UNITS = 123_456_789

# The first of anvil's ten accounts: its key is printed at every start and is worth nothing anywhere else.
_ANVIL_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
_VAULT = checksum(b"\xaa" * 20)


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """Gas for each payout, and how much that is of a transaction for each; it takes as long as it takes."""
    async with anvil(directory / "anvil") as local:
        rpc = RpcClient(local.rpc_url)
        try:
            account = GasAccount(rpc, _ANVIL_KEY)
            made = await deploy_float(local.rpc_url, account.address, _VAULT, _ANVIL_KEY)
            token = await deploy_local_contract(local.rpc_url, "NoReturnToken", b"", _ANVIL_KEY)
            float_ = float_of(account.address, _VAULT)
            await account.send(float_, value=10**18)
            for holder in (float_, account.address):
                payload = address_bytes(holder).rjust(32, b"\0") + word(10**18)
                await account.send(token, selector("mint(address,uint256)") + payload)
            return {
                "deployment_gas": made.gas_used,
                "most_lines_coin": lines_max(is_coin=True),
                "most_lines_erc20": lines_max(is_coin=False),
                "coin": await _figures(account, float_, COIN),
                "erc20": await _figures(account, float_, token),
            }
        finally:
            await rpc.close()


async def _figures(account: GasAccount, float_: str, asset: str) -> dict[str, int]:
    figures: dict[str, int] = {}
    alone = {when: await _alone(account, asset) for when in ("new", "later")}
    for size in SIZES:
        lines = [(_somebody(f"{asset} {size} {number}"), UNITS) for number in range(size)]
        for when in ("new", "later"):
            each = await _together(account, float_, asset, lines)
            figures[f"{size}_{when}_gas_per_payout"] = each
            figures[f"{size}_{when}_percent_of_a_transaction_each"] = each * 100 // alone[when]
    return figures | {f"transaction_{when}_gas": gas for when, gas in alone.items()}


async def _alone(account: GasAccount, asset: str) -> int:
    """Gas of a plain transfer from an account to the same somebody, whom the first one makes."""
    somebody = _somebody(f"{asset} alone")
    if asset == COIN:
        return (await account.send(somebody, value=UNITS)).gas_used
    return (await account.send(asset, transfer_call(somebody, UNITS))).gas_used


async def _together(account: GasAccount, float_: str, asset: str, lines: Sequence[tuple[str, int]]) -> int:
    receipt = await account.send(float_, pay_call(asset, lines))
    if any(log.topics[0] == UNPAID_TOPIC for log in receipt.logs):
        raise RuntimeError("a line was not paid, so its gas is not what a payout costs")
    return receipt.gas_used // len(lines)


def _somebody(name: str) -> str:
    return checksum(keccak256(name.encode())[12:])
