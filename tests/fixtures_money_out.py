"""Every zone of a local set-up as a process of its own that a test can kill at named moments, and a shop that orders.

Zones are started again at once, without the supervisor's patience: what is tested is what a zone does when it comes
back, not how long it is kept waiting.
"""

import asyncio
import os
import re
import secrets
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from random import Random

import httpx
import pytest
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_gates import PLATFORM_MARKS, SHOP_MARKS, TOWER_MARKS, Gate, Mark, closed, node_marks
from holdfast.chains.bitcoin_scripts import address_of as script_address
from holdfast.chains.localnet import AnvilNode, RegtestNode, anvil, free_ports, litecoin_regtest
from holdfast.core import intents
from holdfast.core.evm_transactions import address_of
from holdfast.core.intents import SignedIntent
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.faces.cli import set_up
from holdfast.faces.cli.local_setup import LOCALNET_DIR, Localnet, read_localnet
from holdfast.faces.cli.localnet import prepare
from holdfast.faces.cli.serve import ZoneName, argv_of
from holdfast.runtime.supervise import die_with_parent
from holdfast.vault import keystore

LTC, EVM = known_network("litecoin-regtest"), known_network("anvil")
assert isinstance(LTC, BitcoinNetwork)
PORTS = 8
READY_SECONDS = 120


class Zone:
    """One zone's process, started again whenever it ends, until it is told to stay away."""

    def __init__(self, name: ZoneName, config: Path, log: Path) -> None:
        self.name = name
        self.starts = 0
        self._command, self._log = argv_of(name, config), log
        self._process: subprocess.Popen[bytes] | None = None

    async def keep(self) -> None:
        """Run it until cancelled; whatever it left behind is killed before it starts again."""
        try:
            while True:
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(  # noqa: ASYNC220, S603  returns at once; our own command
                        self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                        preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGKILL),  # noqa: PLW1509  no thread holds a lock
                    )  # fmt: skip
                self.starts += 1
                while self._process.poll() is None:  # noqa: ASYNC110  a process that ends sets no event
                    await asyncio.sleep(0.01)
                self._clear(signal.SIGKILL)
                await asyncio.sleep(0.1)
        finally:
            await asyncio.to_thread(self._end)

    def members(self) -> list[int]:
        """Ids of all processes of this zone's session, its own first."""
        if self._process is None:
            return []
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with suppress(OSError, IndexError):
                    after_name = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(after_name[3]) == self._process.pid and after_name[0] != "Z":
                        found.append(int(entry.name))
        return sorted(found)

    def kill(self, draw: Random) -> bool:
        """SIGKILL to its process, or to one of its children; whether there was one."""
        members = self.members()
        if not members:
            return False
        with suppress(ProcessLookupError):
            os.kill(members[0] if draw.random() < 0.7 else draw.choice(members), signal.SIGKILL)
        return True

    def _clear(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(15)
            except subprocess.TimeoutExpired:
                self._clear(signal.SIGKILL)
                self._process.wait(15)
        self._clear(signal.SIGKILL)


@dataclass
class Aim:
    """The next kill: who dies when a message crosses which door."""

    point: str
    victims: tuple[ZoneName, ...]
    done: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class Town:
    """All zones and both chains of one set-up."""

    directory: Path
    litecoin: RegtestNode
    evm: AnvilNode
    plan: Localnet
    port: int
    draw: Random
    shop_port: int = 0
    """Where a shop finds the API: a door as well."""
    zones: dict[ZoneName, Zone] = field(default_factory=dict)
    aim: Aim | None = None
    killed: Counter[str] = field(default_factory=Counter)
    """By crash point and zone."""

    async def spot(self, point: str) -> None:
        """A message is at a door: shoot if this is what was aimed at."""
        aim = self.aim
        if aim is not None and aim.point == point:
            self.aim = None
            for victim in aim.victims:
                self.shoot(victim, point)
            aim.done.set()

    def shoot(self, victim: ZoneName, point: str) -> None:
        if self.zones[victim].kill(self.draw):
            self.killed[f"{point} {victim}"] += 1


def tight(text: str, buckets: dict[str, tuple[str, str]]) -> str:
    """The policy with these limits (burst and per day, by symbol), and room for fees."""
    parts = re.split(r"(?=^\[)", text, flags=re.MULTILINE)
    for place, part in enumerate(parts):
        symbol = re.search(r'^symbol = "(.+)"$', part, flags=re.MULTILINE)
        if symbol is not None and symbol[1] in buckets:
            limit = '{{ burst = "{}", per_day = "{}" }}'.format(*buckets[symbol[1]])
            wanted = r"^(total|merchant|new|aged|listed) = .*$"
            parts[place] = re.sub(wanted, rf"\1 = {limit}", part, flags=re.MULTILINE)
        elif part.startswith("[networks"):
            fees = 'fees = { burst = "100", per_day = "10000" }'
            parts[place] = re.sub(r"^fees = .*$", fees, part, flags=re.MULTILINE)
    return "".join(parts)


def make_set_up(directory: Path, port: int, buckets: dict[str, tuple[str, str]]) -> None:
    """As `holdfast init --local`, with limits that a test can reach."""
    plan = set_up.Plan(
        directory=directory, networks=("litecoin-regtest", "anvil"), is_local=True, officers=3, threshold=2,
        officer_files=(), passphrase=secrets.token_urlsafe(24), database_url=None, port=port,
    )  # fmt: skip
    written = set_up.policy_text
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_up, "policy_text", lambda *facts: tight(written(*facts), buckets))
        set_up.make(plan, lambda *_: None)


@asynccontextmanager
async def town(directory: Path, draw: Random, buckets: dict[str, tuple[str, str]]) -> AsyncIterator[Town]:
    """A set-up with every zone running behind its doors, both floats funded."""
    port = free_ports(PORTS)
    await asyncio.to_thread(make_set_up, directory, port, buckets)
    plan, data = read_localnet(directory), directory / LOCALNET_DIR
    async with AsyncExitStack() as stack:
        litecoin = await stack.enter_async_context(litecoin_regtest(data / "litecoin", plan.litecoin_port))
        evm = await stack.enter_async_context(anvil(data / "anvil", plan.anvil_port))
        await prepare(litecoin, evm, plan)
        made = Town(directory, litecoin, evm, plan, port, draw)
        gates = await put_gates(made)
        stack.push_async_callback(closed, gates)
        for name in ZoneName:
            made.zones[name] = Zone(name, directory / "holdfast.toml", directory / f"{name}.log")
        # The database last to go: the others end in order while it is there.
        keepers = {name: asyncio.create_task(zone.keep()) for name, zone in made.zones.items()}
        try:
            yield made
        finally:
            made.aim = None
            for name in sorted(keepers, key=lambda one: one is ZoneName.DATABASE):
                keepers[name].cancel()
                with suppress(asyncio.CancelledError):
                    await keepers[name]


async def put_gates(made: Town) -> list[Gate]:
    """Put a door before everything that a zone dials, and write the doors' ports into the settings."""
    nodes = {made.plan.litecoin_port: "litecoin", made.plan.anvil_port: "anvil"}
    platform, signer = made.directory / "holdfast.toml", made.directory / "signer" / "signer.toml"
    gates: list[Gate] = []

    async def gate(port: int, marks: tuple[Mark, ...]) -> int:
        gates.append(Gate(port, marks, made.spot))
        await gates[-1].start()
        return gates[-1].own_port

    for file, who in ((platform, "platform"), (signer, "signer")):
        text = file.read_text()
        for port in nodes:
            text = text.replace(f":{port}", f":{await gate(port, node_marks(who))}")
        if who == "signer":
            text = text.replace(
                f"tower_port = {made.port + 6}", f"tower_port = {await gate(made.port + 6, TOWER_MARKS)}"
            )
            text = text.replace(f":{made.port}", f":{await gate(made.port, PLATFORM_MARKS)}")
        file.write_text(text)
    made.shop_port = await gate(made.port, SHOP_MARKS)
    return gates


@dataclass
class Shop:
    """An enrolled merchant with its own key, which orders payouts and insists until it is answered."""

    merchant: str
    key: Ed25519PrivateKey
    api_key: str
    url: str
    draw: Random
    ordered: dict[str, intents.Payout] = field(default_factory=dict)
    """By intent's id: all that was acknowledged."""
    number: int = 0

    def __post_init__(self) -> None:
        self.http = httpx.AsyncClient(
            base_url=self.url, headers={"Authorization": f"Bearer {self.api_key}"}, timeout=10, trust_env=False
        )

    async def order(self, asset: str, units: list[int]) -> str:
        """Order a payout to fresh addresses, whatever dies meanwhile; the intent's id."""
        self.number += 1
        now = int(datetime.now(UTC).timestamp())
        network = LTC if asset.startswith(LTC.id) else EVM
        payout = intents.Payout(
            merchant=self.merchant, network=network.id, asset=asset,
            lines=tuple(intents.Line(fresh_address(network.id, self.draw), one) for one in units),
            fee_units=0, number=self.number, not_before=now - 60, expires_at=now + 5 * 86_400,
            reference=f"order {self.number}",
        )  # fmt: skip
        document = intents.document_of(payout)
        signature = self.key.sign(intents.signing_input(document)).hex()
        signed = SignedIntent(document.decode(), signature)
        body = {"document": signed.document, "signature": signed.signature}
        while not await self._take(body):  # noqa: ASYNC110  the other side is a process
            await asyncio.sleep(0.2)
        self.ordered[signed.id] = payout
        return signed.id

    async def _take(self, body: dict[str, str]) -> bool:
        try:
            answer = await self.http.post("/v1/payouts", json=body)
        except httpx.TransportError:
            return False
        if answer.is_success:
            return True
        assert answer.json()["retry"], answer.text
        return False

    async def get(self, path: str) -> dict[str, object] | None:
        """An answer, or None while there is none."""
        try:
            answer = await self.http.get(path)
        except httpx.TransportError:
            return None
        if not answer.is_success:
            assert answer.status_code >= 500, answer.text
            return None
        found: dict[str, object] = answer.json()
        return found


def merchant_key(directory: Path, name: str) -> Ed25519PrivateKey:
    """The merchant's own key, as `holdfast merchant enrol` left it."""
    passphrase = (directory / "officers" / "passphrase").read_text().strip()
    sealed = keystore.read(directory / "merchants" / name / "merchant.keystore")
    return Ed25519PrivateKey.from_private_bytes(keystore.unseal(sealed, passphrase))


def fresh_address(network: str, draw: Random) -> str:
    """Somebody's address that nobody ever used."""
    if network == EVM.id:
        return address_of(PublicKey.from_secret(draw.randbytes(32)))
    return script_address(LTC, b"\x00\x14" + draw.randbytes(20))


def last_words(directory: Path, lines: int = 12) -> Iterator[str]:
    """The end of each zone's log, for who reads a failure."""
    for log in sorted(directory.glob("*.log")):
        yield f"--- {log.name}"
        yield from log.read_text(errors="replace").splitlines()[-lines:]
