"""Bybit, 21 February 2025: the officers are shown one settlement and handed another. See docs/drills."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from holdfast.core.evm import keccak256
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from embit.script import Script

    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World
    from holdfast.vault.drafts import AnyDraft
    from holdfast.vault.settling import Bench

NAME = "bybit-2025"
TITLE = "the platform shows officers one settlement and hands over another"
OWNS = (TrustZone.PLATFORM,)
BOUND = Bound.NOTHING

ASSETS = ("rLTC", "ETH")


async def play(world: World, attacker: Attacker) -> None:
    """An honest draft; what the platform makes of it; two officers who follow their machines and nothing else."""
    from holdfast.drill import officers

    entries = await officers.evidence(world)
    for symbol in ASSETS:
        asset, machine = world.facts.assets[symbol], officers.CheckingMachine(world.places, world.outside)
        async with machine.bench(asset, entries) as (bench, listed):
            from holdfast.vault import drafts, settling

            honest = await settling.plan(bench, listed, None, officers.FEE_PER_KVB)
            check = await settling.check_settlement(bench, listed, honest)
            handed = base64.b64encode(drafts.write(honest)).decode()
            swapped = await attacker.run(swap, draft=handed, thief=world.thief[symbol])
            said = []
            for name, text in swapped.items():
                wrong = await _officers_say(world, (bench, listed), base64.b64decode(text), check)
                said.append(f"{name}: {wrong or 'SIGNED'}")
                world.require(wrong, f"{symbol}: {name} is refused")
        world.note(f"{symbol}: {'; '.join(said)}")
        await officers.sign_and_send(world, honest, check)
        officers.settled(world, symbol, honest)
    await world.settle()


async def _officers_say(world: World, at: tuple[Bench, Any], data: bytes, seen: Any) -> str:
    """Another officer checks what he was handed; the first signs it with the check of what he was shown. Why not."""
    from holdfast.core.errors import HoldfastError
    from holdfast.drill import officers
    from holdfast.vault import drafts, settling

    bench, listed = at
    before = dict(bench.memory.open)
    try:
        draft: AnyDraft = drafts.read(data, bench.vault)
    except HoldfastError as error:
        return error.code
    try:
        drafts.sign(draft, officers.secret_of(world.places, 1), seen)
    except HoldfastError as error:
        first = error.code
    else:
        await officers.sign_and_send(world, draft, seen)
        return ""
    try:
        check = await settling.check_settlement(bench, listed, draft)
    except HoldfastError as error:
        return f"{first}, {error.code}"
    finally:
        bench.memory.open = before
    await officers.sign_and_send(world, draft, check)
    return ""


async def swap(hand: Hand) -> object:
    """Everything that can be handed over instead of this draft, by name, in Base64."""
    data = base64.b64decode(hand.text("draft"))
    made = _of_safe(json.loads(data), hand.text("thief")) if data[:1] == b"{" else _of_psbt(data, hand.text("thief"))
    return {name: base64.b64encode(each).decode() for name, each in made.items()}


def _of_safe(document: dict[str, Any], thief: str) -> dict[str, bytes]:
    """Fields of the Safe's transaction, each turned to the worst: the delegate call of Bybit's first of all."""
    true, word = document["transaction"], thief[2:].lower().rjust(64, "0")
    call = {name: keccak256(name.encode())[:4].hex() for name in
            ("changeMasterCopy(address)", "addOwnerWithThreshold(address,uint256)", "approve(address,uint256)",
             "enableModule(address)", "transfer(address,uint256)")}  # fmt: skip
    lies: dict[str, dict[str, object]] = {
        "delegate call": {
            "operation": 1, "to": thief, "data": f"0x{call['transfer(address,uint256)']}{word}{'00' * 32}",
        },
        "new implementation": {
            "to": true["safe"], "value": "0", "data": f"0x{call['changeMasterCopy(address)']}{word}",
        },
        "new owner": {
            "to": true["safe"], "value": "0",
            "data": f"0x{call['addOwnerWithThreshold(address,uint256)']}{word}{1:064x}",
        },
        "new module": {"to": true["safe"], "value": "0", "data": f"0x{call['enableModule(address)']}{word}"},
        "allowance": {"value": "0", "data": f"0x{call['approve(address,uint256)']}{word}{'ff' * 32}"},
        "another destination": {"to": thief},
        "refund of gas": {"gasPrice": "1000000000000000", "baseGas": "30000", "refundReceiver": thief},
        "another sum": {"value": str(int(true["value"]) * 20 + 10**18)},
        "a later nonce": {"nonce": true["nonce"] + 1},
        "another chain": {"chainId": 1},
    }  # fmt: skip
    return {name: _text(document | {"transaction": true | change}) for name, change in lies.items()}


def _of_psbt(data: bytes, thief: str) -> dict[str, bytes]:
    """The PSBT with other outputs, made by a program that knows nothing of Holdfast's own rules."""
    from embit.script import Script

    from holdfast.chains.bitcoin_scripts import script_of
    from holdfast.core.networks import BitcoinNetwork, known_network

    network = known_network("litecoin-regtest")
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own row
    his = Script(script_of(network, thief))

    names = ("another destination", "the change to him", "a part of the change to him", "everything in fees",
             "another sum")  # fmt: skip
    made = {name: _changed(data, his, name) for name in names}
    return made | {f"{name}, dressed as change": _changed(data, his, name, is_dressed=True) for name in names[:3]}


def _changed(data: bytes, his: Script, name: str, *, is_dressed: bool = False) -> bytes:
    """One of the lies about outputs. `is_dressed`: his carries the derivation of change."""
    from embit.psbt import PSBT, OutputScope
    from embit.transaction import TransactionOutput

    psbt = PSBT.parse(data)
    pay, change = psbt.tx.vout
    half = change.value // 2
    if name == "another destination":
        outputs = [TransactionOutput(pay.value, his), change]
    elif name == "the change to him":
        outputs = [pay, TransactionOutput(change.value, his)]
    elif name == "a part of the change to him":
        outputs = [pay, TransactionOutput(change.value - half, change.script_pubkey), TransactionOutput(half, his)]
    elif name == "everything in fees":
        outputs = [pay]
    else:
        outputs = [
            TransactionOutput(pay.value + half, pay.script_pubkey),
            TransactionOutput(change.value - half, change.script_pubkey),
        ]
    scopes = [psbt.outputs[at] if at < len(psbt.outputs) else OutputScope() for at in range(len(outputs))]
    for scope, output in zip(scopes, outputs, strict=True):
        scope.value, scope.script_pubkey = output.value, output.script_pubkey
        scope.bip32_derivations = {} if output.script_pubkey == his else scope.bip32_derivations
        if output.script_pubkey == his and is_dressed:
            # With the officers' own derivation left in, so that a device takes it for change.
            scope.bip32_derivations = dict(psbt.outputs[1].bip32_derivations)
    psbt.outputs = scopes
    return bytes(psbt.serialize())


def _text(document: object) -> bytes:
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
