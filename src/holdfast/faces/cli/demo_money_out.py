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
