"""Poloniex, 10 November 2023: the float's keys are used outside of the signer, everything at once. See docs/drills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.core.evm_float import COIN, pay_call
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "poloniex-2023"
TITLE = "the float's keys are stolen and used outside of the signer, everything at once"
OWNS = (TrustZone.SIGNER,)
BOUND = Bound.SIGNER_OWNED
FROZEN = True


async def play(world: World, attacker: Attacker) -> None:
    """Everything that these keys can move; then see who stopped what, and that the vault refills nothing."""
    from holdfast.drill import officers
    from holdfast.drill.measure import SYMBOLS
    from holdfast.vault.looking import SettlementBlocked

    (contract,) = world.purses.floats["ETH"]
    held = {one: await world.outside.balance(one, [contract]) for one in ("ETH", "USDT")}
    sent = await attacker.run(drain, thief=world.thief, contract=contract, token=world.facts.plan.token, held=held)
    world.note(f"transactions signed outside of the signer: {len(sent)}")

    async def are_frozen() -> bool:
        scopes = world.frozen()
        return "*" in scopes or {one.partition("/")[0] for one in world.facts.assets.values()} <= scopes

    await world.until(are_frozen, "payouts are frozen on both networks", seconds=20)
    ordered = await world.order(world.shop, "rLTC", "0.3")

    async def is_stolen() -> bool:
        return all([await world.outside.balance(symbol, [world.thief[symbol]]) for symbol in SYMBOLS])

    await world.until(is_stolen, "the theft of every asset is real", seconds=20)
    machine = officers.CheckingMachine(world.places, world.outside)
    entries = await officers.evidence(world)
    for symbol, asset in world.facts.assets.items():
        try:
            draft, check = await machine.settle(asset, entries)
        except SettlementBlocked as blocked:
            world.note(f"the officers' checking machine: {blocked.detail[:100]}")
            continue
        await officers.sign_and_send(world, draft, check)  # what honest officers would do then
        world.require(False, f"no settlement of {symbol} refills what was stolen")  # noqa: FBT003  it was not so
    payout = await world.shop.payouts.get(ordered.id)
    world.require(payout.state in ("reserved", "awaiting_approval"), "payouts wait")


async def drain(hand: Hand) -> object:
    """All coins of the Litecoin float, all coin and tokens of the float's contract, and all gas: in one breath."""
    from holdfast.drill.raw_spends import EVM_GAS_NAME, EVM_NAME, stolen

    purse, thief = stolen(hand), hand.facts["thief"]
    contract, held = hand.text("contract"), hand.facts["held"]
    calls = [(contract, pay_call(COIN, [(thief["ETH"], held["ETH"])]), 0, EVM_NAME),
             (contract, pay_call(hand.text("token"), [(thief["USDT"], held["USDT"])]), 0, EVM_NAME),
             (thief["ETH"], b"", -1, EVM_GAS_NAME)]  # fmt: skip
    sent = [await purse.litecoin([(thief["rLTC"], -1)])]
    sent += [await purse.evm(to, data, value, name=name) for to, data, value, name in calls]
    return [one for one in sent if one]
