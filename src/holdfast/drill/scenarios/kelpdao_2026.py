"""KelpDAO, 18 April 2026: one of two nodes is replaced and lies, the honest one is silenced. See docs/drills."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING

from holdfast.drill.bounds import Bound
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.drill.attacker import Attacker
    from holdfast.drill.proxies import NodeProxy
    from holdfast.drill.world import World

NAME = "kelpdao-2026"
TITLE = "one of two nodes is replaced and lies, the honest one is silenced"
OWNS = (TrustZone.MERCHANT,)
BOUND = Bound.NOTHING

NODES = 2
"""Of each zone: with one alone, the liar, there is nobody to disagree."""
PHANTOM = {"ETH": 50 * 10**18, "USDT": 10_000 * 10**6}
"""What the liar lets arrive at the colluding merchant's address."""
LYING_SECONDS = 4
_TRANSFER = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
_FILES = {TrustZone.PLATFORM: "holdfast.toml", TrustZone.SIGNER: "signer.toml"}


async def play(world: World, attacker: Attacker) -> None:
    """Give both zones a second node; replace the first; silence the second; then let the second speak again."""
    honest = await _second_nodes(world)
    own = world.facts.deposits["USDT"]["mallory"]
    before = await _deposits(world)
    old = {await _block(world, height) for height in range(await world.outside.evm.height() + 1)}
    liar = Liar(world.facts.plan.token, own, old)
    for zone in _FILES:
        world.proxies[zone, "anvil"].lie = liar.answer
    for node in honest:
        node.is_dark = True
    world.event("attacker", "one node of each zone lies, the other one is under denial of service")
    await asyncio.sleep(LYING_SECONDS)
    world.require(liar.lies > 0 or NODES > 1, "the liar was asked")
    ordered = await _order(world)
    await asyncio.sleep(LYING_SECONDS)
    world.require(await _deposits(world) == before, "while one node is silent, nothing of the liar's is credited")
    for node in honest:
        node.is_dark = False
    await asyncio.sleep(LYING_SECONDS)
    world.require(await _deposits(world) == before, "where nodes disagree, nothing of the liar's is credited")
    said = await world.decisions(ordered)
    world.note(f"payouts of what the liar let arrive: {', '.join(said.values()) or 'not looked at'}")
    world.require("accepted" not in said.values(), "nothing of it is paid out")
    world.note(f"lies told: {liar.lies}; a lying node is a lying proxy before the one test network")
    for zone in _FILES:
        world.proxies[zone, "anvil"].lie = None

    async def is_credited() -> bool:
        ((found,),) = await world.rows(
            "SELECT count(*) FROM payments.deposits WHERE asset = %s AND state = 'confirmed' AND confirmed_at > "
            "now() - interval '5 seconds'", world.facts.assets["USDT"],
        )  # fmt: skip
        return int(found) > 0

    await world.until(is_credited, "once both nodes are honest, payments are credited again", seconds=25)


async def _order(world: World) -> list[str]:
    """What is really his goes first, as is his right; then what never came."""
    from holdfast.client import PayoutOrder, PayTo

    real = {one.symbol: int(one.available_units) for one in (await world.mallory.balances()).items}
    asset, intents = world.facts.assets["USDT"], []
    if real["USDT"] > 3_900 * 10**6:
        for _ in range(2):
            await world.order(world.mallory, "USDT", "1950")
    for _ in range(2):
        order = PayoutOrder(asset=asset, lines=[PayTo(world.thief["USDT"], "1500")])
        try:
            intents.append((await world.mallory.payouts.create(order)).intent)
        except Exception as error:  # noqa: BLE001  whatever the platform says: his balance there is no proof
            world.note(f"the platform about his order: {getattr(error, 'code', type(error).__name__)}")
    return intents


async def _deposits(world: World) -> int:
    """The colluding merchant's deposits, wherever they are believed: by the platform, and by the signer."""
    merchant = world.facts.merchants["mallory"].merchant
    ((platform, signer),) = await world.rows(
        "SELECT (SELECT count(*) FROM payments.deposits WHERE merchant_id = %s AND state = 'confirmed'), "
        "(SELECT count(*) FROM payments.journal WHERE kind = 'deposit' AND document LIKE %s)",
        merchant, f"%{merchant}%",
    )  # fmt: skip
    return int(platform) + int(signer)


async def _block(world: World, height: int) -> str:
    from holdfast.chains.local_process import LocalRpc
    from holdfast.drill.chain import BlockHash

    rpc = LocalRpc(world.outside.evm.rpc_url, "drill")
    return (await rpc.call(BlockHash, "eth_getBlockByNumber", hex(height), False)).hash  # noqa: FBT003  as the call has it


async def _second_nodes(world: World) -> list[NodeProxy]:
    """A further node of the EVM network for platform and signer, in their own settings; the zones start anew."""
    from holdfast.chains.rpc import Credentials
    from holdfast.drill.proxies import NodeProxy
    from holdfast.faces.cli.serve import ZoneName

    added = []
    names = (ZoneName.FOLLOWER, ZoneName.SIGNER)
    for name in names:
        await world.kill(name)
    for zone, file in _FILES.items():
        node = NodeProxy(world.outside.evm.rpc_url, Credentials())
        await node.start()
        added.append(node)
        if NODES > 1:
            _add(world.places.of(zone) / file, world.proxies[zone, "anvil"].port, node.port)
    for name in names:
        world.up(name)
    return added


def _add(path: Path, first: int, second: int) -> None:
    status, text = path.stat(), path.read_text(encoding="utf-8")
    known = rf'(\{{ url = "http://127\.0\.0\.1:{first}/?"[^}}]*\}})'
    path.write_text(re.sub(known, rf'\1, {{ url = "http://127.0.0.1:{second}" }}', text), encoding="utf-8")
    os.chown(path, status.st_uid, status.st_gid)


class Liar:
    """A node that lets money arrive at one address in every block that was not there when it began to lie."""

    def __init__(self, token: str, address: str, old: set[str]) -> None:
        """`old`: hashes of the blocks that it tells the truth about."""
        self.token, self.address, self.old, self.lies = token, address[2:].lower(), old, 0
        self.first = ""
        """The block in which it arrives."""

    def answer(self, method: str, params: object, result: object) -> object:
        """What it says instead."""
        match (method, params, result):
            case ("eth_call", [{"data": str(data), **call}, {"blockHash": str(block)}], str(told)) if (
                block not in self.old
            ):
                to = str(call.get("to", "")).lower()
                return self._balance(to, data.lower(), told)
            case ("eth_getLogs", [{"blockHash": str(block), "topics": [str(topic), *_]}], list(told)) if (
                block not in self.old and topic == _TRANSFER and self.first in ("", block)
            ):
                self.first, self.lies = block, self.lies + 1
                return [*told, self._log(block)]
            case ("eth_getTransactionReceipt", [str(name)], _) if name == self._name():
                return {"transactionHash": name, "blockHash": self.first, "status": "0x1", "logs": []}
            case _:
                return result

    def _balance(self, to: str, data: str, told: str) -> str:
        if to == self.token.lower() and self.address in data:
            self.lies += 1
            return f"0x{int(told, 16) + PHANTOM['USDT']:064x}"
        count = (len(told) - 2) // 32
        asked = [data[len(data) - 40 * (count - at) : len(data) - 40 * (count - at - 1)] for at in range(count)]
        if to or self.address not in asked:
            return told
        at = 2 + 32 * asked.index(self.address)
        self.lies += 1
        return f"{told[:at]}{int(told[at : at + 32], 16) + PHANTOM['ETH']:032x}{told[at + 32 :]}"

    def _log(self, block: str) -> dict[str, object]:
        return {
            "address": self.token, "topics": [_TRANSFER, "0x" + "00" * 12 + "11" * 20, f"0x{self.address:0>64}"],
            "data": f"0x{PHANTOM['USDT']:064x}", "transactionHash": self._name(), "logIndex": "0x63",
            "blockHash": block, "blockNumber": "0x1", "transactionIndex": "0x0", "removed": False,
        }  # fmt: skip

    def _name(self) -> str:
        return "0x" + "5b" * 32
