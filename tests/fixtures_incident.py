"""An incident process' files beside a real watchtower, and receivers of alerts that really listen."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_watchtower import PASSPHRASE, Book, House, RunningTower, key_hex, tower_process, write_tower
from holdfast.core.leases import Frozen, SignedLease
from holdfast.incident.record import Incident, Seen, Touched
from holdfast.incident.settings import IncidentSettings, load
from holdfast.incident.store import Store
from holdfast.vault import keystore

SECONDS_MAX = 60


@dataclass
class Tick:
    """A clock that goes on by a millisecond whenever it is read."""

    ms: int = 1_795_000_000_000

    def __call__(self) -> int:
        self.ms += 1
        return self.ms


def seen(kind: str = "alarm", scope: str = "eip155:31337", ref: str = "alarm:1", *names: str) -> Seen:
    """Something that the watchtower showed."""
    touched = tuple(Touched(scope, one) for one in names)
    return Seen(
        zone="watchtower",
        kind=kind,
        scope=scope,
        text=f"{kind} of {scope}",
        transactions=touched,
        happened_ms=1,
        ref=ref,
    )


@dataclass
class Shop:
    """A running watchtower with the quorum and the journal that it watches, and an incident process' settings."""

    tower: RunningTower
    book: Book
    key: Ed25519PrivateKey
    config: Path
    clock: Tick = field(default_factory=Tick)

    @property
    def settings(self) -> IncidentSettings:
        return load(self.config)

    @property
    def store(self) -> Store:
        return Store(self.settings.directory, self.key, self.clock)

    def set(self, text: str) -> None:
        """Add lines to the settings."""
        self.config.write_text(self.config.read_text() + text)

    def freeze(self, scope: str = "*", at: int = 1) -> Frozen:
        word = self.tower.house.freeze(scope, at=at)
        return msgspec.json.decode(self.tower.say(msgspec.json.encode({"freeze": word})), type=Frozen)

    def newest(self) -> Incident | None:
        ids = self.store.ids()
        return self.store.read(ids[-1]) if ids else None


def write_incident(directory: Path, house: House, key: Ed25519PrivateKey, port: int) -> Path:
    """The files of an incident process; its settings' path."""
    directory.mkdir(parents=True)
    sealed = keystore.seal("incident", {"key": key_hex(key)}, key.private_bytes_raw(), PASSPHRASE, keystore.COST_MIN)
    keystore.write(directory / "incident.keystore", sealed)
    (directory / "passphrase").write_text(PASSPHRASE + "\n")
    (directory / "passphrase").chmod(0o600)
    settings = {
        "root_fingerprint": house.quorum.fingerprint(), "directory": "incidents", "key_file": "incident.keystore",
        "passphrase_file": "passphrase", "tower_port": port, "poll_milliseconds": 50,
    }  # fmt: skip
    config = directory / "incident.toml"
    config.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return config


@contextmanager
def incident_shop(directory: Path) -> Iterator[Shop]:
    house, key = House(), Ed25519PrivateKey.generate()
    config = write_tower(directory / "tower", house, reader_keys=[key_hex(key)])
    with tower_process(config, house) as tower:
        book = Book(house)
        book.begin()
        assert isinstance(tower.lease(book.ask(0)), SignedLease)
        yield Shop(tower, book, key, write_incident(directory / "incident", house, key, tower.port))


@contextmanager
def incident_process(config: Path) -> Iterator[subprocess.Popen[str]]:
    """The incident process, once it watches; killed at the end where it still runs."""
    command = [sys.executable, "-m", "holdfast.incident.main", "--config", str(config)]
    log = (config.parent / "log").open("w")
    process = subprocess.Popen(command, stderr=log, text=True)  # noqa: S603  our own command
    try:
        until(lambda: '"watching"' in (config.parent / "log").read_text())
        yield process
    finally:
        process.kill()
        process.wait()
        log.close()


def until(is_so: Callable[[], object]) -> None:
    """Wait until it is so; fail after a while."""
    deadline = time.monotonic() + SECONDS_MAX
    while not is_so():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


async def until_async(is_so: Callable[[], object]) -> None:
    """As `until`, while the loop goes on."""
    async with asyncio.timeout(SECONDS_MAX):
        while not is_so():  # noqa: ASYNC110  the other side is another process: nothing could set an event
            await asyncio.sleep(0.02)


@dataclass
class Receiver:
    """A webhook receiver: what came, and what it answers to the next ones."""

    url: str = ""
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@asynccontextmanager
async def webhook_receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()

    async def take(request: web.Request) -> web.Response:
        receiver.came.append((dict(request.headers), await request.read()))
        return web.Response(status=receiver.answers.pop(0) if receiver.answers else 204)

    app = web.Application()
    app.router.add_post("/alerts", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/alerts"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@dataclass
class PostOffice:
    """An SMTP server that takes everything."""

    port: int = 0
    letters: list[str] = field(default_factory=list)


@asynccontextmanager
async def smtp_receiver() -> AsyncIterator[PostOffice]:
    office = PostOffice()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 office\r\n")
        while line := (await reader.readline()).decode():
            word = line[:4].upper().strip()
            if word == "DATA":
                writer.write(b"354 go on\r\n")
                office.letters.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            writer.write(b"221 bye\r\n" if word == "QUIT" else b"250 ok\r\n")
            if word == "QUIT":
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    office.port = server.sockets[0].getsockname()[1]
    try:
        yield office
    finally:
        server.close()
