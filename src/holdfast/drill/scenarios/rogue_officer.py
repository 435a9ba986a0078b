"""One officer, alone, tries everything that officers can do; the platform helps him. See docs/drills."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import evm_float
from holdfast.core.evm_transactions import address_of
from holdfast.drill import forging, papers
from holdfast.drill.bounds import Bound
from holdfast.drill.hands import Hand
from holdfast.drill.measure import SYMBOLS
from holdfast.drill.places import TrustZone

if TYPE_CHECKING:
    from holdfast.drill.attacker import Attacker
    from holdfast.drill.world import World

NAME = "rogue-officer"
TITLE = "one officer alone tries everything: policy, orders, restore, certificates, settlement"
OWNS = (TrustZone.OFFICERS, TrustZone.PLATFORM)
BOUND = Bound.NOTHING

ROGUE = 3


async def play(world: World, attacker: Attacker) -> None:
    """An honest freeze stands; he wants it ended, the limits gone, the float and the vault his."""
    from holdfast.drill import officers

    officers.alone(world.places, ROGUE)
    told = await facts(world)
    before = world.told.policy if world.told is not None else ""
    written = await attacker.run(write, **told)
    officers.freeze(world, "*", "an officer behaves strangely")

    async def is_frozen() -> bool:
        return "*" in world.frozen()

    await world.until(is_frozen, "another officer freezes everything", seconds=5)
    handed = await attacker.run(hand_in, zone=TrustZone.PLATFORM, written=written, own_officer=told["own_secret"])
    world.note(f"handed to the signer with one officer's signature: {handed['papers']} papers, "
               f"{handed['certificates']} certificates")  # fmt: skip
    spent = await attacker.run(spend, **told)
    world.note(f"spends of the vault with one officer's signatures: {', '.join(spent)}")
    await world.settle()
    taken = await world.rows(
        "SELECT kind, document FROM payments.signer_documents WHERE journal_seq IS NOT NULL AND stored_by = 'key_0'"
    )
    world.require(not taken, "the signer took none of his papers")
    ((certificates,),) = await world.rows(
        "SELECT max(version) FROM payments.certificates WHERE journal_seq IS NOT NULL"
    )
    world.require(certificates == 1, "the signer took none of his certificates")
    world.require(world.told is not None and world.told.policy == before, "the policy is the officers'")
    world.require("*" in world.frozen(), "what another officer froze stays frozen")
    for symbol in SYMBOLS:
        world.require(await world.outside.balance(symbol, [world.thief[symbol]]) == 0, f"he has no {symbol}")


async def facts(world: World) -> dict[str, Any]:
    """What he knows: everything that officers know, and what the platform has."""
    merchant = world.facts.merchants["mallory"].merchant
    ((intent, signature),) = await world.rows(
        "SELECT document, signature FROM payments.payouts WHERE state = 'confirmed' ORDER BY id LIMIT 1"
    )
    secret = world.draw.randbytes(32)
    public = Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw().hex()
    networks = {asset.partition("/")[0]: world.thief[symbol] for symbol, asset in world.facts.assets.items()}
    coins = {one: await world.outside.coins([one]) for one in world.facts.deposits["rLTC"].values()}
    vault = world.purses.vault["ETH"] - set(world.facts.deposits["ETH"].values())
    return {
        "thief": world.thief, "thief_by_network": networks, "own_key": secret.hex(), "own_secret": secret.hex(),
        "own_officer": public, "own_lease_key": public, "merchant": merchant, "intent": intent,
        "intent_signature": signature, "rogue": ROGUE, "coins": coins, "safe": next(iter(vault)),
        "litecoin": f"http://127.0.0.1:{world.proxies[TrustZone.PLATFORM, 'litecoin'].port}",
        "anvil": world.outside.evm.rpc_url, "indexes": 400,
    }  # fmt: skip


async def write(hand: Hand) -> object:
    """Every paper, with every set of signatures that one officer can make up."""
    secret, people = _mine(hand), _people(hand)
    facts = {**hand.facts, "policy": (hand.home / "policy.toml").read_text(encoding="utf-8")}
    others = [one["key"] for one in people if one["name"] != f"officer-{hand.facts['rogue']}"]
    signing = Ed25519PrivateKey.from_private_bytes(secret.signing)
    return {"papers": papers.all_papers(facts, [signing], others), "signing": secret.signing.hex(), "others": others}


async def hand_in(hand: Hand) -> object:
    """The platform passes everything on."""
    written, database = hand.facts["written"], await hand.database()
    for kind, document, signatures in written["papers"]:
        await forging.put_document(database, kind, document, signatures)
    signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(written["signing"]))
    own = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(hand.text("own_officer")))
    made = await papers.put_certificates(database, [signing], written["others"], own)
    await database.close()
    return {"papers": len(written["papers"]), "certificates": made}


async def spend(hand: Hand) -> object:
    """Both vaults to himself, with his own signature as often as the script asks for one; what each node said."""
    secret = _mine(hand)
    return [await _spend_litecoin(hand, secret), *await _spend_safe(hand, secret)]


async def _spend_litecoin(hand: Hand, secret: Any) -> str:
    from holdfast.core.descriptors import Branch, Place, VaultDescriptor
    from holdfast.core.networks import BitcoinNetwork, known_network
    from holdfast.drill.raw_spends import call
    from holdfast.vault import psbt
    from holdfast.vault.checks import Check, CheckKind
    from holdfast.vault.officers import OfficerPublic, descriptor_of
    from holdfast.vault.spends import VaultInput, VaultOutput, VaultSpend

    network = known_network("litecoin-regtest")
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  by the table's own row
    people = [OfficerPublic(**one) for one in _people(hand)]
    descriptor = descriptor_of(network, people, 2)
    vault = VaultDescriptor.parse(descriptor)
    places = {vault.address(one, network, Branch.DEPOSIT): one for one in range(int(hand.facts["indexes"]))}
    for address, coins in hand.facts["coins"].items():
        if address in places and coins:
            (outpoint, units), index = coins[0], places[address]
            txid, _, vout = outpoint.partition(":")
            paid = VaultOutput(hand.facts["thief"]["rLTC"], units - 20_000)
            spend = VaultSpend(
                network, descriptor, (VaultInput(txid, int(vout), Place(Branch.DEPOSIT, index), units),), (paid,)
            )
            draft = psbt.draft_of(spend)
            # He writes himself the checking machine's word.
            check = Check(CheckKind.SETTLEMENT, network.id, network.coin.id, draft.digest, ("as always",))
            ((point, signature),) = psbt.sign(draft, secret, check).signatures[0]
            other = next(
                key.point(Place(Branch.DEPOSIT, index))
                for key in vault.keys
                if key.point(Place(Branch.DEPOSIT, index)) != point
            )
            twice = psbt.Draft(spend, (((point, signature), (other, signature)),))
            raw = psbt.finalise(twice).raw.hex()
            return f"litecoin {await call(hand.text('litecoin'), 'sendrawtransaction', raw) or 'refused'}"
    return "litecoin: no coin found"


async def _spend_safe(hand: Hand, secret: Any) -> list[str]:
    from holdfast.drill.raw_spends import call
    from holdfast.faces.cli.local_setup import ANVIL_KEY
    from holdfast.vault import safe
    from holdfast.vault.officers import public_part

    owners = tuple(sorted((one["evm_address"] for one in _people(hand)), key=str.lower))
    vault = safe.SafeVault(31_337, hand.text("safe"), owners, 2)
    mine = public_part("me", secret).evm_address
    said = []
    for nonce in range(3):
        draft = safe.draft_of(vault, safe.SafePayment(evm_float.COIN, hand.facts["thief"]["ETH"], 10**18), nonce)
        signed = safe.sign(draft, secret, _word(draft))
        (own,) = [one for owner, one in signed.signatures if owner == mine]
        for second in (
            own,
            own[:-1] + bytes([own[-1] ^ 7]),
            bytes(12) + bytes.fromhex(owners[0][2:]) + bytes(32) + b"\1",
        ):
            data = safe.finalise(
                safe.SafeDraft(vault, draft.transaction, tuple(zip(owners[:2], (own, second), strict=True)))
            )
            sender = address_of(PublicKey.from_secret(ANVIL_KEY))
            tried = {"from": sender, "to": vault.address, "data": "0x" + data.hex()}
            said.append(
                "safe " + ("TAKEN" if await call(hand.text("anvil"), "eth_call", tried, "latest") else "refused")
            )
    return said


def _word(draft: Any) -> Any:
    from holdfast.vault.checks import Check, CheckKind

    return Check(CheckKind.SETTLEMENT, draft.network, f"{draft.network}/slip44:1", draft.digest, ("as always",))


def _mine(hand: Hand) -> Any:
    from holdfast.runtime.secret_files import read_secret
    from holdfast.vault import keystore
    from holdfast.vault.officers import OfficerSecret

    sealed = keystore.read(hand.home / f"officer-{hand.facts['rogue']}.keystore", "officer")
    return OfficerSecret.unpack(keystore.unseal(sealed, read_secret(hand.home / "passphrase")))


def _people(hand: Hand) -> list[dict[str, Any]]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(hand.home.glob("officer-*.json"))]
