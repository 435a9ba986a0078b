"""A quorum, a signer's journal and a watchtower for it: real keys, real files, a real process."""

import json
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.core import canonical
from holdfast.core.journal import Body, Entry, Head, Ordered, head_of, make_entry
from holdfast.core.leases import Ask, LeaseRefused, LeaseRequest, SignedLease, accept, request_message
from holdfast.core.orders import FREEZE_TAG, ORDER_TAG, Freeze, Genesis, Order, SignedOrder, SignedWord
from holdfast.core.quorum import Officer, Quorum, Signature, tagged
from holdfast.vault import keystore
from holdfast.watchtower.answers import Answer, Tower
from holdfast.watchtower.store import Store

NOW_MS = 1_795_000_000_000
PASSPHRASE = "correct horse battery staple"


def key_hex(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


@dataclass
class House:
    """Three officers of whom two must sign, a signer's journal key, a watchtower's lease key."""

    officers: list[Ed25519PrivateKey] = field(default_factory=lambda: [Ed25519PrivateKey.generate() for _ in range(3)])
    journal_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)
    lease_key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def quorum(self) -> Quorum:
        people = zip(("ada", "bo", "cy"), self.officers, strict=True)
        return Quorum(tuple(Officer(name, key_hex(key)) for name, key in people), 2)

    def order(self, order: Order, by: int = 2) -> SignedOrder:
        document = canonical.write(order)
        signatures = [
            Signature(key_hex(key), key.sign(tagged(ORDER_TAG, document)).hex()) for key in self.officers[:by]
        ]
        return SignedOrder(document.decode(), tuple(signatures))

    def genesis(self, lease_key: str | None = None) -> Genesis:
        lease_key = lease_key or key_hex(self.lease_key)
        return Genesis(self.quorum.document().decode(), key_hex(self.journal_key), lease_key, (), 1_795_000_000)

    def freeze(self, scope: str = "*", key: Ed25519PrivateKey | None = None, at: int = 1) -> SignedWord:
        key = key or self.officers[0]
        document = canonical.write(Freeze(scope, "malware", key_hex(key), at))
        return SignedWord(document.decode(), key.sign(tagged(FREEZE_TAG, document)).hex())


@dataclass
class Book:
    """A signer's journal, and what its signer asks."""

    house: House
    entries: list[Entry] = field(default_factory=list)

    @property
    def head(self) -> Head:
        return head_of(self.entries[-1]) if self.entries else Head()

    def add(self, *bodies: Body) -> Head:
        for body in bodies:
            self.entries.append(make_entry(self.head, body, NOW_MS))
        return self.head

    def begin(self, genesis: Genesis | None = None) -> Head:
        return self.add(Ordered(self.house.order(genesis or self.house.genesis()), 1_795_000_000))

    def ask(self, after: int, key: Ed25519PrivateKey | None = None) -> LeaseRequest:
        """A request that brings all entries from `after` on."""
        return self.asking(Ask(secrets.token_hex(32), after, self.head.seq, self.head.hash), key)

    def asking(self, ask: Ask, key: Ed25519PrivateKey | None = None) -> LeaseRequest:
        signature = (key or self.house.journal_key).sign(request_message(ask)).hex()
        return LeaseRequest(ask, tuple(one.stored for one in self.entries[ask.after : ask.seq]), signature)

    def copy(self, seq: int) -> "Book":
        """The journal as it stood at this entry."""
        return Book(self.house, self.entries[:seq])


@dataclass
class Desk:
    """A tower, the house that it watches, and the clock."""

    house: House
    path: Path
    store: Store
    now_ms: int = NOW_MS

    @property
    def tower(self) -> Tower:
        return Tower(self.store, self.house.lease_key, self.house.quorum.fingerprint(), (), 5_000, lambda: self.now_ms)

    def ask(self, request: object) -> Answer:
        return self.tower.answer(msgspec.json.encode(request))

    def granted(self, request: object) -> SignedLease:
        answer = self.ask(request)
        assert isinstance(answer, SignedLease), answer
        return answer

    def refused(self, request: object) -> LeaseRefused:
        answer = self.ask(request)
        assert isinstance(answer, LeaseRefused), answer
        return answer

    def restart(self) -> None:
        self.store.close()
        self.store = Store(self.path, self.house.quorum.fingerprint())

    def lose_store(self) -> None:
        self.store.close()
        self.path = self.path.with_name("new.sqlite")
        self.store = Store(self.path, self.house.quorum.fingerprint())


@dataclass
class RunningTower:
    """A watchtower's process, and a connection to it."""

    process: subprocess.Popen[str]
    port: int
    config: Path
    house: House

    def say(self, line: bytes) -> bytes:
        """One line there, one back."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as connection:
            connection.sendall(line + b"\n")
            return connection.makefile("rb").readline()

    def lease(self, request: LeaseRequest) -> SignedLease | LeaseRefused:
        answer = self.say(msgspec.json.encode(request))
        if b'"refused"' in answer:
            return msgspec.json.decode(answer, type=LeaseRefused)
        signed = msgspec.json.decode(answer, type=SignedLease)
        accept(signed, request.ask, key_hex(self.house.lease_key))
        return signed


def write_tower(directory: Path, house: House, **more: object) -> Path:
    """The files of a watchtower; its settings' path."""
    directory.mkdir(parents=True, exist_ok=True)
    sealed = keystore.seal(
        "lease", {"key": key_hex(house.lease_key)}, house.lease_key.private_bytes_raw(), PASSPHRASE, keystore.COST_MIN
    )
    keystore.write(directory / "lease.keystore", sealed)
    (directory / "lease.passphrase").write_text(PASSPHRASE + "\n")
    (directory / "lease.passphrase").chmod(0o600)
    settings: dict[str, object] = {
        "root_fingerprint": house.quorum.fingerprint(), "data_file": "tower.sqlite", "port": 0,
        "lease_key_file": "lease.keystore", "passphrase_file": "lease.passphrase", **more,
    }  # fmt: skip
    config = directory / "tower.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return config


@contextmanager
def tower_process(config: Path, house: House) -> Iterator[RunningTower]:
    """A watchtower, running; killed at the end where it still does."""
    command = [sys.executable, "-m", "holdfast.watchtower.main", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)  # noqa: S603  our own command
    assert process.stderr is not None
    try:
        first = json.loads(process.stderr.readline())
        assert first["event"] == "watching", first
        yield RunningTower(process, first["port"], config, house)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
