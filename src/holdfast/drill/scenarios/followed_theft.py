"""The float is stolen on both families and laundered: followed, written up and made ready to share. See docs/drills."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from coincurve import PrivateKey, PublicKey

from holdfast.chains.bitcoin_scripts import address_of, script_of
from holdfast.core.bitcoin import Input, Output, Transaction, assemble, der, digests, key_script
from holdfast.core.evm_transactions import address_of as evm_address
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.drill.bounds import Bound
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.drill.attacker import Attacker
    from holdfast.drill.chain import Outside
    from holdfast.drill.world import World

NAME = "followed-theft"
TITLE = "the float is stolen on both families and laundered: followed, written up, ready to share"
OWNS = (TrustZone.SIGNER,)
BOUND = Bound.SIGNER_OWNED
FROZEN = True
QUICK = True

_NETWORK = known_network("litecoin-regtest")
assert isinstance(_NETWORK, BitcoinNetwork)  # noqa: S101  by the table's own row
LITECOIN: BitcoinNetwork = _NETWORK
EXCHANGE = "Kolibri"
PEELS = 4
PEELED_UNITS = 2 * 10**8
FEE_UNITS = 50_000
GAS_WEI = 10**16
"""Left behind at every hop for gas; the rest of it is dust to the trace."""
REPORT = f"{NAME}.report"
FILES = ("report.pdf", "report.zip", "indicators.stix.json")


@dataclass(slots=True)
class Truth:
    """Where the thief really put it: units by address, and what came to the exchange."""

    lies: dict[str, dict[str, int]] = field(default_factory=dict)
    """By symbol."""
    exchange: str = ""
    """Its own wallet: the one address that a public list names."""
    deposited: str = ""
    """The deposit address that it gave the thief."""


async def play(world: World, attacker: Attacker) -> None:
    """Steal, launder, and then do what the victim does within the hour; each figure is compared with the truth."""
    from holdfast.drill.scenarios.poloniex_2023 import drain

    (contract,) = world.purses.floats["ETH"]
    held = {one: await world.outside.balance(one, [contract]) for one in ("ETH", "USDT")}
    loot = {"rLTC": _purse(0)[1], "ETH": await world.address("ETH"),
            "USDT": await world.address("USDT")}  # fmt: skip
    sent = await attacker.run(drain, thief=loot, contract=contract, token=world.facts.plan.token, held=held)

    async def is_frozen() -> bool:
        scopes = world.frozen()
        return "*" in scopes or {one.partition("/")[0] for one in world.facts.assets.values()} <= scopes

    await world.until(is_frozen, "payouts are frozen on both networks", seconds=20)

    async def is_stolen() -> bool:
        return all([await world.outside.balance(symbol, [address]) for symbol, address in loot.items()])

    await world.until(is_stolen, "the theft of every asset is real", seconds=20)
    truth = await launder(world.outside, loot)
    await world.settle(2)
    said = await written_up(world, sent, truth)
    compare(world, said, truth, {"rLTC": -1, "ETH": held["ETH"], "USDT": held["USDT"]})


async def launder(outside: Outside, loot: dict[str, str]) -> Truth:
    """A peel chain on Litecoin; on Ethereum a split, a merge, and a deposit that an exchange sweeps; tokens rest."""
    truth = Truth(exchange=(await outside.evm.accounts())[7])
    truth.lies["rLTC"] = await _peeled(outside, loot["rLTC"])
    one, two, merged, truth.deposited = [_account(number) for number in range(4)]
    whole = await outside.balance("ETH", [loot["ETH"]])
    await _moved(outside, loot["ETH"], one, whole // 3)
    await _moved(outside, loot["ETH"], two, whole // 2)
    await _moved(outside, one, merged, whole // 3 - GAS_WEI)
    await _moved(outside, two, merged, whole // 2 - GAS_WEI)
    paid = whole // 3 + whole // 2 - 3 * GAS_WEI
    await _moved(outside, merged, truth.deposited, paid)
    await _moved(outside, truth.deposited, truth.exchange, paid - GAS_WEI)
    truth.lies["ETH"] = {"exchange": paid}
    truth.lies["USDT"] = {loot["USDT"]: await outside.balance("USDT", [loot["USDT"]])}
    return truth


async def _peeled(outside: Outside, first: str) -> dict[str, int]:
    """At each hop a little goes aside, and the rest goes on to an address that was never used."""
    lies, here = {}, first
    for hop in range(PEELS):
        coins = await outside.coins([here])
        aside, on = _purse(100 + hop)[1], _purse(hop + 1)[1]
        rest = sum(units for _, units in coins) - PEELED_UNITS - FEE_UNITS
        await outside.litecoin.send_raw(_signed(hop, coins, {aside: PEELED_UNITS, on: rest}))
        await outside.mine()
        lies[aside], here = PEELED_UNITS, on
    lies[here] = sum(units for _, units in await outside.coins([here]))
    return lies


def _purse(number: int) -> tuple[bytes, str]:
    """A key of the thief's own, outside of every wallet, and its address."""
    secret = sha256(f"{NAME} {number}".encode()).digest()
    return secret, address_of(LITECOIN, key_script(PublicKey.from_secret(secret).format(), is_segwit=True))


def _signed(number: int, coins: Sequence[tuple[str, int]], paid: Mapping[str, int]) -> str:
    """A transaction of all these coins of one of his keys."""
    secret = _purse(number)[0]
    point = PublicKey.from_secret(secret).format()
    outputs = tuple(Output(script_of(LITECOIN, address), units) for address, units in paid.items())
    made = Transaction(tuple(Input(outpoint) for outpoint, _ in coins), outputs)
    told = digests(made, key_script(point, is_segwit=True), [units for _, units in coins])
    signatures = [der(PrivateKey(secret).sign_recoverable(each, hasher=None)[:64]) for each in told]
    return assemble(made, point, signatures, is_segwit=True).raw.hex()


def _account(number: int) -> str:
    """An account of the thief's; anvil signs for any."""
    return evm_address(PublicKey.from_secret(_purse(200 + number)[0]))


async def _moved(outside: Outside, source: str, target: str, units: int) -> None:
    await outside.evm.impersonate(source)
    await outside.evm.send(target, units, sender=source)
    await outside.mine()


async def written_up(world: World, sent: list[str], truth: Truth) -> dict[str, Any]:
    """With the operator's own commands: evidence, trace, report, and what is shared; the trace's JSON."""
    home = world.places.of(TrustZone.INCIDENT)
    config, labels = home / "incident.toml", home / "labels.csv"
    network = next(one.partition("/")[0] for one in world.facts.assets.values() if one.startswith("eip155:"))
    labels.write_text(f"network,address,name,kind,confidence\n{network},{truth.exchange},{EXCHANGE},exchange,90\n")

    async def is_told() -> bool:
        shown = json.dumps(await command("incident", "show", "--config", str(config)))
        return all(one in shown for one in sent)

    await world.until(is_told, "the incident names every transaction of the theft", seconds=20)
    await command("incident", "seal", "--config", str(config))
    said = await command("incident", "trace", "--config", str(config), "--vouched-labels", str(labels))
    case = home.parent / REPORT / "case"
    shutil.copytree(said["case"], case)
    statement = case.parent / "us.json"
    statement.write_text(json.dumps({"reporter": {"organisation": "The operator of a drill"}}))
    await command("report", "make", str(case), "--statement", str(statement))
    checked = await command("report", "verify", str(case / "report.zip"))
    world.require(checked["faults"] == [], "a second program derives every figure of the report")
    world.note(f"derived anew by the second program: {sum(checked['compared'].values())} figures, files and steps")
    keep(world, case)
    return dict(said)


def keep(world: World, case: Path) -> None:
    """The report stays beside the drill's own results, for people to open."""
    place = world.places.root.parent / REPORT
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name in FILES:
        found = case / name if (case / name).exists() else case / "report" / name
        world.require(found.is_file(), f"there is a {name}")
        if found.is_file():
            shutil.copy2(found, place / name)
    world.note(f"report, bundle and indicators: {place}")


def compare(world: World, said: dict[str, Any], truth: Truth, stolen: dict[str, int]) -> None:
    """What the trace says against what the thief did, by first in, first out."""
    symbols = {asset: symbol for symbol, asset in world.facts.assets.items()}
    found: dict[str, dict[str, int]] = {symbol: {} for symbol in symbols.values()}
    for end in said["trace"]["ends"]:
        symbol = symbols.get(end["asset"], "")
        if symbol and end["kind"] in ("unspent", "service"):
            found[symbol][end["address"].lower() if symbol != "rLTC" else end["address"]] = end["lies"]["fifo"]
    for symbol, units in truth.lies.items():
        if symbol == "ETH":
            at = found[symbol].get(truth.exchange.lower(), 0) + found[symbol].get(truth.deposited.lower(), 0)
            world.require(0 <= units["exchange"] - at <= GAS_WEI, "what came to the exchange is found, but for gas")
            continue
        plain = {address.lower() if symbol != "rLTC" else address: value for address, value in units.items()}
        world.require(plain.items() <= found[symbol].items(), f"every {symbol} is where the thief put it, to the unit")
    for total in said["stolen"]:
        symbol = symbols.get(total["asset"], "")
        if stolen.get(symbol, -1) >= 0:
            world.require(total["stolen"] >= stolen[symbol], f"all that the float held of {symbol} counts as stolen")
    steps = len(said["trace"]["steps"])
    world.note(f"traced: {steps} steps, {len(said['trace']['chains'])} peel chain, exchange named: {EXCHANGE}")


async def command(*words: str) -> Any:
    """One of our own commands; what it printed as JSON. Raises `AttackBroken` where it fails."""
    from holdfast.drill.attacker import AttackBroken

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "holdfast", *words, "--json", stdout=PIPE, stderr=PIPE
    )
    out, told = await process.communicate()
    if process.returncode != 0:
        raise AttackBroken(f"holdfast {' '.join(words[:2])}: {told.decode(errors='replace')[-800:]}")
    return json.loads(out)
