"""Signer, platform and one merchant are owned; the officers settle twice. See docs/drills."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core import journal as j
from holdfast.core.evm_float import COIN, pay_call, to_vault_call
from holdfast.core.evm_transactions import Fees, Signature, Transaction, assemble, digest, sender, unsigned
from holdfast.core.intents import SignedIntent
from holdfast.core.journal import Body, Head, StoredEntry
from holdfast.drill import forging
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.measure import SYMBOLS
from holdfast.drill.places import TrustZone
from holdfast.runtime.secret_files import read_secret

if TYPE_CHECKING:
    from holdfast.core.evm_transactions import Signed
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.officers import CheckingMachine
    from holdfast.drill.raw_spends import Purse
    from holdfast.drill.world import World

NAME = "collusive-settlement"
TITLE = "signer, platform and one merchant are owned; two settlements cost the other merchants nothing"
OWNS = (TrustZone.SIGNER, TrustZone.PLATFORM, TrustZone.MERCHANT)
BOUND = Bound.SIGNER_OWNED

HIDDEN = {"rLTC": 30 * 10**8, "ETH": 5 * 10**18, "USDT": 1_500 * 10**6}
"""Paid to the honest merchant, and never journaled: what forged claims could be paid from."""
SMALL, HUGE = 2 * 10**18, 500 * 10**18
"""Of his own, and beyond anything that he has; in wei."""
STOLEN = 4 * 10**18


async def play(world: World, attacker: Attacker) -> None:
    """An honest round; then every lie that a signer can write into its journal, each shown to the officers."""
    from holdfast.drill import officers
    from holdfast.drill.scenarios.poloniex_2023 import drain
    from holdfast.faces.cli.serve import ZoneName

    owed = await _owed(world)
    machine = officers.CheckingMachine(world.places, world.outside)
    entries = await officers.evidence(world)
    for symbol in ("rLTC", "ETH"):
        draft, check = await machine.settle(world.facts.assets[symbol], entries)
        await officers.sign_and_send(world, draft, check)
        spent = sum(_paid(draft).values())
        world.flows.settled[symbol] = min(owed[symbol], spent)
        world.flows.from_vault[symbol] = _fee(draft)
    world.event("officers", "the first settlement is signed: what the vault owed the float")
    await attacker.run(silence)
    await _deposit_unseen(world)
    told = await _told(world, attacker)
    lies = await attacker.run(forge, **told)
    world.note("; ".join(f"{name}: {code}" for name, code in (await _shown(world, machine, lies)).items()))
    (contract,) = world.purses.floats["ETH"]
    held = {one: await world.outside.balance(one, [contract]) for one in ("ETH", "USDT")}
    await attacker.run(drain, thief=world.thief, contract=contract, token=world.facts.plan.token, held=held)
    await world.kill(ZoneName.SIGNER)  # it stood still, and would not end in order
    world.up(ZoneName.SIGNER)
    await world.settle()


async def _shown(world: World, machine: CheckingMachine, lies: dict[str, Any]) -> dict[str, str]:
    """What the checking machine says to each; what it lets pass is signed and sent, as officers then do."""
    from holdfast.core.errors import HoldfastError
    from holdfast.drill import officers

    refused: dict[str, str] = {}
    for name, more in lies["lies"].items():
        forged = [StoredEntry(document, hash_) for document, hash_ in (*lies["base"], *more)]
        try:
            draft, check = await machine.settle(world.facts.assets["ETH"], forged)
        except HoldfastError as error:
            refused[name] = error.code
            world.event("officers", f"{name}: {error.code}")
            continue
        await officers.sign_and_send(world, draft, check)
        world.require(False, f"the checking machine sees through: {name}")  # noqa: FBT003  it did not
    return refused


async def _owed(world: World) -> dict[str, int]:
    """What merchants have signed for and was paid, fees included, by the drill's own count."""
    owed = dict.fromkeys(SYMBOLS, 0)
    by_asset = {asset: symbol for symbol, asset in world.facts.assets.items()}
    for asset, units, fee in await world.rows(
        "SELECT asset, lines_units, fee_units FROM payments.payouts WHERE state = 'confirmed'"
    ):
        owed[by_asset[asset]] += int(units) + int(fee)
    return owed


def _paid(draft: Any) -> dict[str, int]:
    """To whom a draft pays what, beside the vault itself."""
    if hasattr(draft, "payment"):
        return {draft.payment.to: draft.payment.units}
    return {output.address: output.units for output in draft.spend.outputs if output.place is None}


def _fee(draft: Any) -> int:
    return 0 if hasattr(draft, "payment") else int(draft.spend.fee_units)


async def _deposit_unseen(world: World) -> None:
    """Payers pay the honest merchant while no signer writes it down; on EVM it is flushed, as anybody may."""
    from holdfast.chains.evm_contracts import plan_vault
    from holdfast.chains.evm_house import flush
    from holdfast.drill.officers import CARRIER_KEY

    for symbol, units in HIDDEN.items():
        await world.pay(symbol, world.facts.deposits[symbol]["shop"], units)
    await world.settle(2)
    index = (await world.shop.deposit_address(world.facts.assets["ETH"].partition("/")[0])).index
    factory = plan_vault(world.facts.plan.owners, world.facts.plan.threshold).factory
    await flush(world.outside.evm.rpc_url, factory, [index], [COIN, world.facts.plan.token], CARRIER_KEY)
    await world.settle(2)


async def _told(world: World, attacker: Attacker) -> dict[str, Any]:
    merchant = world.facts.merchants["mallory"].merchant
    asked = {"merchant": merchant, "asset": world.facts.assets["ETH"], "thief": world.thief["ETH"],
             "passphrase": read_secret(world.places.officers / "passphrase")}  # fmt: skip
    signed = await attacker.run(sign, zone=TrustZone.MERCHANT, **asked)
    (contract,) = world.purses.floats["ETH"]
    return {**asked, "signed": signed, "contract": contract}


async def silence(hand: Hand) -> object:
    """The real signer stands still from now on: what he shows the officers is his own journal."""
    stopped = 0
    for process in Path("/proc").glob("[0-9]*"):  # noqa: ASYNC240  nothing else runs here
        with suppress(OSError):
            words = (process / "cmdline").read_bytes()
            if b"holdfast.signer.main" in words and process.stat().st_uid == os.getuid():
                os.kill(int(process.name), signal.SIGSTOP)
                stopped += 1
    return stopped


async def sign(hand: Hand) -> object:
    """The colluding merchant's genuine signatures: of what he has, of it again, and of far more."""
    from holdfast.client.keys import MerchantKey

    key, made = MerchantKey.open(hand.home / "merchant.keystore", hand.text("passphrase")), {}
    for number, (name, units) in enumerate((("small", SMALL), ("huge", HUGE))):
        to = {hand.text("thief"): units}
        payout = forging.payout_of(hand.text("merchant"), hand.text("asset"), to, number=10**13 + number)
        one = key.sign(payout)
        made[name] = (one.id, one.document, one.signature)
    return made


async def forge(hand: Hand) -> object:
    """The genuine journal, and after it each lie by itself, hash by hash as the signer would have written it."""
    from holdfast.drill.raw_spends import stolen

    base, liar = _journal(hand), Liar(hand, stolen(hand))
    head = Head(len(base), base[-1].hash)
    lies = {name: _chained(head, bodies) for name, bodies in liar.lies().items()}
    return {"base": [(one.document, one.hash) for one in base], "lies": lies}


class Liar:
    """What he writes."""

    def __init__(self, hand: Hand, purse: Purse) -> None:
        """With the float's own keys."""
        self.hand, self.purse, self.at = hand, purse, _now()
        self.asset, self.contract = hand.text("asset"), hand.text("contract")
        self.network = self.asset.partition("/")[0]
        self.seq = len(_journal(hand))
        mined = [one.body for one in j.read_entries(Head(), _journal(hand)) if isinstance(one.body, j.Mined)]
        self.real = next(one for one in reversed(mined) if one.transaction.startswith("0x"))
        self.nonce = max((one.nonce for one in _reserved(hand) if one.nonce is not None), default=-1) + 1

    def lies(self) -> dict[str, list[Body]]:
        """By name: what is appended to the genuine journal."""
        thief = self.hand.text("thief")
        small, huge = self._accepted("small"), self._accepted("huge")
        pays = pay_call(COIN, [(thief, SMALL)])
        returns = to_vault_call(COIN, STOLEN)
        steals = pay_call(COIN, [(thief, STOLEN)])
        deposit = j.Deposit(self.network, "0x" + "ab" * 32 + ":0", 10**6, self.hand.text("merchant"), self.asset,
                            HUGE * 2, 0, self.real.height, "0x" + "cd" * 32)  # fmt: skip
        return {
            "a deposit that never was": [deposit, huge, *self._done(pays, "payout", HUGE, (huge.payout,), 2)],
            "more than he has": [huge, *self._done(pays, "payout", HUGE, (huge.payout,), 1)],
            "another's signature": [self._stolen_name(), small],
            "paid, but no such transaction": [small, *self._done(pays, "payout", SMALL, (small.payout,), 1)],
            "paid, by somebody else's transaction": [
                small,
                *self._done(pays, "payout", SMALL, (small.payout,), 1, real=True),
            ],
            "paid twice": [small, *self._done(pays, "payout", SMALL, (small.payout,), 1), small],
            "swept to the vault, by somebody else's transaction": self._done(
                returns, "cap-sweep", STOLEN, (), 0, real=True
            ),
            "swept to the vault, in truth to the thief": self._done(steals, "cap-sweep", STOLEN, (), 0, real=True),
            "a payout of another asset": [
                small,
                *self._done(pay_call(thief, [(thief, SMALL)]), "payout", SMALL, (small.payout,), 1, real=True),
            ],
        }

    def _accepted(self, name: str) -> j.Accepted:
        payout, document, signature = self.hand.facts["signed"][name]
        return j.Accepted(payout, SignedIntent(document, signature), (), None, 0, self.at, 10**6)

    def _stolen_name(self) -> j.Accepted:
        payout, document, signature = self.hand.facts["signed"]["small"]
        other = document.replace(self.hand.text("merchant"), "mer_0000000000000000000000000a")
        return j.Accepted(payout, SignedIntent(other, signature), (), None, 0, self.at, 10**6)

    def _done(  # noqa: PLR0913  an entry's facts
        self, data: bytes, purpose: str, units: int, payouts: tuple[str, ...], before: int, *, real: bool = False
    ) -> list[Body]:
        """Reserved, signed with the float's key, and mined, as the journal has it of an honest one."""
        call = Transaction(31_337, self.nonce, Fees(10**10, 10**9), 900_000, self.contract, 0, data)
        signed = self._signed(call)
        named = self.real.transaction if real else signed.hash
        seq = self.seq + before + 1
        fee = 900_000 * 10**10
        reserved = j.Reserved(
            self.network, self.asset, purpose, self.contract, payouts, unsigned(call).hex(), (), self.nonce, units,
            None, 0, fee, fee, None, 10**6,
        )  # fmt: skip
        mined = j.Mined(seq, named, self.real.height, "0x" + "00" * 32, False, 10**14, ())  # noqa: FBT003  a field of the record
        return [reserved, j.Signed(seq, named, signed.raw.hex()), mined]

    def _signed(self, call: Transaction) -> Signed:
        from coincurve import PublicKey

        from holdfast.core.evm_transactions import address_of

        compact = self.purse.keys.sign(self.network, digest(call))
        owner = address_of(PublicKey(self.purse.keys.public_key(self.network)))
        r, s = int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:], "big")
        return assemble(
            call, next(one for one in (Signature(r, s, 0), Signature(r, s, 1)) if sender(call, one) == owner)
        )


def _chained(head: Head, bodies: Sequence[Body]) -> list[tuple[str, str]]:
    made = []
    for body in bodies:
        entry = j.make_entry(head, body, _now() * 1_000)
        head = j.head_of(entry)
        made.append((entry.stored.document, entry.stored.hash))
    return made


def _journal(hand: Hand) -> list[StoredEntry]:
    """The signer's own journal, out of a copy of its files."""
    with tempfile.TemporaryDirectory() as place:
        for path in hand.home.glob("journal.sqlite*"):
            shutil.copy(path, place)
        database = sqlite3.connect(Path(place) / "journal.sqlite")
        rows = database.execute("SELECT document, hash FROM entries ORDER BY seq").fetchall()
        database.close()
    return [StoredEntry(*row) for row in rows]


def _reserved(hand: Hand) -> list[j.Reserved]:
    bodies = [one.body for one in j.read_entries(Head(), _journal(hand))]
    contract = hand.text("contract")
    return [one for one in bodies if isinstance(one, j.Reserved) and one.account == contract]


def _now() -> int:
    import time

    return int(time.time())  # noqa: TID251  the attacker's own machine
