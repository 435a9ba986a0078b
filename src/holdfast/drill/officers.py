"""Honest officers in a drill: what people with quorum keys do, each at his own machine and with his own node.

They sign orders and policies, freeze, and look at settlements on their checking machine. What an officer who is the
attacker does is a scenario's own code.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.chains.zone_settings import NodeAccess
from holdfast.core.certificates import CERTIFICATE_TAG
from holdfast.core.journal import StoredEntry
from holdfast.core.money import Asset
from holdfast.core.networks import known_network
from holdfast.core.orders import Order, SignedOrder
from holdfast.core.quorum import Signature, tagged
from holdfast.drill.chain import Outside
from holdfast.drill.places import Places, TrustZone
from holdfast.drill.template import TOWER
from holdfast.drill.waiting import until
from holdfast.drill.world import World, now_ms
from holdfast.runtime.secret_files import read_secret
from holdfast.vault import documents, drafts, keystore, orders, safe, settling
from holdfast.vault.checking import CheckingNetwork, CheckingSettings, load, open_bench
from holdfast.vault.checks import Check
from holdfast.vault.evidence import read_export
from holdfast.vault.freezes import OFFICER, sign_freeze
from holdfast.vault.officers import OfficerSecret
from holdfast.vault.settling import Bench, Memory

CARRIER_KEY = bytes.fromhex("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")
"""Of anvil's third account, public knowledge: it carries what officers have signed, and pays nobody."""
FEE_PER_KVB = 1_000
QUORUM = (1, 2)


@cache
def secret_of(places: Places, number: int) -> OfficerSecret:
    """An officer's keys, opened. `number`: from 1."""
    sealed = keystore.read(places.officers / f"officer-{number}.keystore", OFFICER)
    return OfficerSecret.unpack(keystore.unseal(sealed, read_secret(places.officers / "passphrase")))


def alone(places: Places, number: int) -> None:
    """From now on the officers' directory holds this one officer's keystore alone: it is the machine of whom the
    attacker is, or has. The others keep their keys elsewhere."""
    for path in sorted(places.officers.glob("officer-*.keystore")):
        other = int(path.stem.rpartition("-")[2])
        secret_of(places, other)
        if other != number:
            path.unlink()


def signed(places: Places, document: str, by: Sequence[int] = QUORUM) -> SignedOrder:
    """An order or a policy with the signatures of these officers."""
    paper = SignedOrder(document, ())
    for number in by:
        paper = documents.sign(paper, secret_of(places, number).signing)
    return paper


def certified(places: Places, document: str, by: Sequence[int] = QUORUM) -> SignedOrder:
    """A merchant's certificate with the signatures of these officers."""
    message = tagged(CERTIFICATE_TAG, document.encode())
    keys = [Ed25519PrivateKey.from_private_bytes(secret_of(places, number).signing) for number in by]
    made = [Signature(one.public_key().public_bytes_raw().hex(), one.sign(message).hex()) for one in keys]
    return SignedOrder(document, tuple(made))


async def order(world: World, wanted: Order, by: Sequence[int] = QUORUM) -> None:
    """The officers sign an order and hand it in; it is taken once the signer has it."""
    await hand_in(world, "orders", signed(world.places, orders.unsigned(wanted).document, by))


async def tighten(world: World, values: dict[tuple[str, str], str]) -> None:
    """A new policy with other values, by asset's symbol and name; returns once it is in force.

    Raises `DrillStuck` where the signer does not take it.
    """
    text = (world.places.officers / "policy.toml").read_text(encoding="utf-8")
    text = re.sub(r"^version = (\d+)", lambda found: f"version = {int(found[1]) + 1}", text, flags=re.MULTILINE)
    for (symbol, name), value in values.items():
        head, mark, rest = text.partition(f'symbol = "{symbol}"')
        text = head + mark + re.sub(rf"^{name} = [^#\n]*", f"{name} = {value} ", rest, count=1, flags=re.MULTILINE)
    before = world.told.policy if world.told is not None else ""
    await hand_in(world, "policies", signed(world.places, text))

    async def is_taken() -> bool:
        return world.told is not None and world.told.policy not in ("", before)

    await until(is_taken, "the signer did not take the officers' policy")


async def hand_in(world: World, kind: str, paper: SignedOrder) -> None:
    """To the platform, as an operator does. `kind`: `policies` or `orders`. Raises what httpx raises."""
    key = read_secret(world.places.of(TrustZone.PLATFORM) / "secrets" / "operator.key")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.facts.port}", trust_env=False, timeout=20) as http:
        body = {"document": paper.document, "signatures": [{"officer": one.officer, "signature": one.signature}
                                                             for one in paper.signatures]}  # fmt: skip
        keys = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"drill-{time.monotonic_ns()}"}
        (await http.post(f"/v1/{kind}", json=body, headers=keys)).raise_for_status()


def freeze(world: World, scope: str, why: str, number: int = 1) -> None:
    """One officer freezes, straight at the watchtower. Raises `OSError`."""
    word = sign_freeze(scope, why, now_ms() // 1_000, secret_of(world.places, number).signing)
    with socket.create_connection(("127.0.0.1", world.facts.port + TOWER), timeout=5) as connection:
        connection.sendall(msgspec.json.encode({"freeze": word}) + b"\n")
        connection.makefile("rb").readline()
    world.event(f"officer-{number}", f"freezes {scope}: {why}")


async def evidence(world: World) -> list[StoredEntry]:
    """The journal as the platform exports it: whatever it says. Raises what httpx raises."""
    key = read_secret(world.places.of(TrustZone.PLATFORM) / "secrets" / "operator.key")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{world.facts.port}", trust_env=False, timeout=20) as http:
        answer = await http.get("/v1/evidence", headers={"Authorization": f"Bearer {key}"})
        return read_export(answer.raise_for_status().content)


@dataclass(slots=True)
class CheckingMachine:
    """One officer's: the quorum's documents, a node of his own, and what it remembers."""

    places: Places
    outside: Outside
    memory: Memory = field(default_factory=Memory)

    @asynccontextmanager
    async def bench(self, asset: str, entries: Sequence[StoredEntry]) -> AsyncIterator[tuple[Bench, Asset]]:
        """Everything that a check needs. Raises as `open_bench`."""
        async with open_bench(self._settings(), asset, entries, self.memory, now_ms() // 1_000) as opened:
            yield opened

    async def settle(
        self, asset: str, entries: Sequence[StoredEntry], units: int | None = None
    ) -> tuple[drafts.AnyDraft, Check]:
        """A settlement, planned and checked here. Raises as `settling.plan` and `settling.check_settlement`."""
        async with self.bench(asset, entries) as (bench, listed):
            draft = await settling.plan(bench, listed, units, FEE_PER_KVB)
            return draft, await settling.check_settlement(bench, listed, draft)

    def _settings(self) -> CheckingSettings:
        settings = load(self.places.officers / "checking.toml")
        people = tuple(self.places.officers / path.name for path in settings.officers)
        litecoin = NodeAccess(url=self.outside.litecoin.rpc_url, cookie_file=self.outside.litecoin.cookie_file)
        evm = NodeAccess(url=self.outside.evm.rpc_url)
        networks = {
            known_network(name).id: CheckingNetwork(nodes=(node,))
            for name, node in (("litecoin-regtest", litecoin), ("anvil", evm))
        }
        return msgspec.structs.replace(settings, officers=people, networks=networks)


async def sign_and_send(
    world: World, draft: drafts.AnyDraft, check: Check, by: Sequence[int] = QUORUM
) -> None:  # fmt: skip
    """The officers sign on their devices what was checked, and somebody sends it. Raises `NotChecked`."""
    from holdfast.chains.evm_house import GasAccount
    from holdfast.chains.local_process import LocalRpc
    from holdfast.chains.rpc import Credentials, RpcClient

    for number in by:
        draft = drafts.sign(draft, secret_of(world.places, number), check)
    done = drafts.finalise(draft)
    if done.to:
        rpc = RpcClient(world.outside.evm.rpc_url)
        try:
            await GasAccount(rpc, CARRIER_KEY).send(done.to, done.data)
        finally:
            await rpc.close()
        return
    node = world.outside.litecoin
    await LocalRpc(node.rpc_url, "drill", Credentials(cookie_file=node.cookie_file)).call(
        str, "sendrawtransaction", done.data.hex()
    )


def settled(world: World, symbol: str, draft: drafts.AnyDraft) -> None:
    """Count a settlement that the officers have rightly signed: it is no loss. Only for what nobody has changed."""
    if isinstance(draft, safe.SafeDraft):
        world.flows.settled[symbol] += draft.payment.units
        return
    world.flows.settled[symbol] += sum(one.units for one in draft.spend.outputs if one.place is None)
    world.flows.from_vault[symbol] += draft.spend.fee_units
