"""The second half of the demo: the shop orders money out with its own key, and the officers settle vault to float.

The shop signs through the SDK, as any shop does; what arrives is read from the chains, not from Holdfast.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.client import IntentSigner, MerchantKey, PayoutOrder, PayTo, merchant_signer
from holdfast.runtime.config import read_secret

if TYPE_CHECKING:
    from holdfast.client import Payout
    from holdfast.faces.cli.demo_story import Scene, Shop

PAID = {"rLTC": (("0.25", "0.1"),), "ETH": (("0.001", "0.0005"),), "USDT": (("3", "2.5"),)}
"""Payouts of each asset: the amounts of their lines."""


SETTLED = ("bip122:530827f38f93b43ed12af0b3ad25a288/slip44:1", "eip155:31337/slip44:1")
"""What the officers settle: both coins."""


def signer_of(scene: Scene) -> IntentSigner:
    """What signs for the shop."""
    return key_of(scene.directory, scene.merchant, {_token(scene): 6})


def key_of(directory: Path, merchant: Mapping[str, str], decimals: Mapping[str, int] | None = None) -> IntentSigner:
    """What signs for a merchant of a local set-up: its own key, which the platform never sees.

    `merchant`: what `holdfast merchant enrol` printed.
    """
    keystore = Path(merchant["api_key_file"]).with_name("merchant.keystore")
    passphrase = read_secret(directory / "officers" / "passphrase")
    return merchant_signer(MerchantKey.open(keystore, passphrase), decimals=decimals)


async def pay_out(scene: Scene, shop: Shop) -> int:
    """Order payouts on both networks and wait until each is final; how many were. Raises `DemoStuck`."""
    orders = [
        PayoutOrder(
            asset=shop.assets[symbol], lines=[PayTo(await _address(scene, symbol), amount) for amount in amounts]
        )
        for symbol, payouts in PAID.items()
        for amounts in payouts
    ]
    made = [await shop.client.payouts.create(order) for order in orders]
    mining = asyncio.create_task(_mine(scene))
    try:
        for payout in made:
            await _confirmed(shop, payout)
    finally:
        mining.cancel()
    return len(made)


async def settle(scene: Scene) -> int:
    """The officers settle what the vault owes the float, on both networks; how many settlements were mined.

    On Ethereum the deposits must have been flushed to the vault first: the signer's gas account does that by itself.
    """
    from holdfast.chains.evm_contracts import plan_vault
    from holdfast.faces.cli.demo import command
    from holdfast.faces.cli.demo_story import wait_until
    from holdfast.faces.cli.local_setup import ANVIL_KEY
    from holdfast.runtime.secret_files import write_secret

    safe = plan_vault(scene.plan.owners, scene.plan.threshold).vault
    mining = asyncio.create_task(_mine(scene))

    async def is_flushed() -> bool:
        return int(await scene.evm.call("eth_getBalance", safe, "latest"), 16) > 0

    try:
        await wait_until(is_flushed, "the deposits were not flushed to the vault")
    finally:
        mining.cancel()
    evidence = scene.directory / "evidence.json"
    evidence.write_bytes(await _evidence(scene))
    gas_key = scene.directory / "gas.key"
    write_secret(gas_key, ANVIL_KEY.hex())
    keystores = sorted((scene.directory / "officers").glob("*.keystore"))[: scene.plan.threshold]
    signing = [word for path in keystores for word in ("--keystore", str(path))]
    words = ["--passphrase-file", str(scene.directory / "officers" / "passphrase"), "--gas-key-file", str(gas_key)]
    words += ["--config", str(scene.directory / "checking.toml"), "--evidence", str(evidence), *signing]
    for asset in SETTLED:
        await command("vault", "settle", asset, *words)
    await asyncio.gather(scene.litecoin.mine(2), scene.evm.mine(2))
    return len(SETTLED)


async def _evidence(scene: Scene) -> bytes:
    """The signer's journal, exported by the platform; the officers' machine believes none of it."""
    import httpx

    key = read_secret(scene.directory / "secrets" / "operator.key")
    async with httpx.AsyncClient(base_url=scene.url, trust_env=False, timeout=30) as http:
        answer = await http.get("/v1/evidence", headers={"Authorization": f"Bearer {key}"})
        return answer.raise_for_status().content


async def _confirmed(shop: Shop, payout: Payout) -> None:
    from holdfast.faces.cli.demo_story import wait_until

    async def is_confirmed() -> bool:
        return (await shop.client.payouts.get(payout.id)).state == "confirmed"

    await wait_until(partial(is_confirmed), f"{payout.id} was not confirmed")


async def _mine(scene: Scene) -> None:
    while True:
        await asyncio.sleep(0.5)
        await asyncio.gather(scene.litecoin.mine(), scene.evm.mine())


async def _address(scene: Scene, symbol: str) -> str:
    from holdfast.core.evm import parse_address

    return await scene.litecoin.new_address() if symbol == "rLTC" else parse_address((await scene.evm.accounts())[7])


def _token(scene: Scene) -> str:
    return f"eip155:31337/erc20:{scene.plan.token.lower()}"
