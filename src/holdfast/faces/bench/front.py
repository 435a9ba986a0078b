"""A real Holdfast for a benchmark: embedded PostgreSQL, the API as its own process, one certified merchant.

The officers are made up here and sign by themselves: no node runs and no money moves.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from secrets import token_bytes

import httpx
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from embit.bip32 import HDKey

from holdfast.core.certificates import signing_input
from holdfast.core.errors import Unavailable
from holdfast.core.quorum import Officer, Quorum, Signature
from holdfast.faces.cli.config_text import config_text
from holdfast.payments import api_keys
from holdfast.payments.api_keys import MERCHANT_SCOPES
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.database import connected, migrate
from holdfast.runtime.embedded_database import EmbeddedDatabase, embedded
from holdfast.runtime.settings import NodeSettings

NETWORK = "litecoin-regtest"
ASSET = "bip122:530827f38f93b43ed12af0b3ad25a288/slip44:1"
START_TRIES_MAX = 300
START_TRY_SECONDS = 0.1


class ServerSilent(Unavailable):
    """The server under measurement did not start. Read what it wrote to standard error."""

    code = "bench-server-silent"


@dataclass(frozen=True, slots=True)
class Front:
    """Where the running server is, and the merchant's key."""

    database: EmbeddedDatabase
    port: int
    key: str
    merchant_id: str


@asynccontextmanager
async def front(directory: Path, workers: int = 1) -> AsyncIterator[Front]:
    """The whole thing, running."""
    officers = [Ed25519PrivateKey.generate() for _ in range(3)]
    quorum = Quorum(tuple(Officer(f"officer {at}", _public(one)) for at, one in enumerate(officers)), 2)
    async with embedded(directory / "data" / "database") as database:
        await migrate(database.owner_url)
        async with connected(database.url) as conn:
            _, operator = await api_keys.bootstrap_operator(conn, SYSTEM_CLOCK.now())
        port = free_port()
        config = _configure(directory, port, quorum, workers)
        async with running([sys.executable, "-m", "holdfast.faces.api.main", "--config", str(config)], port):
            merchant_id, key = await _enrol(port, operator, officers)
            yield Front(database, port, key, merchant_id)


@asynccontextmanager
async def running(argv: list[str], port: int) -> AsyncIterator[None]:
    """A server process, from when it answers `/health` until it is told to stop. Raises `ServerSilent`."""
    process = await asyncio.create_subprocess_exec(*argv)
    try:
        async with httpx.AsyncClient() as client:
            for _ in range(START_TRIES_MAX):
                if await _answers(client, port):
                    break
                if process.returncode is not None:
                    raise ServerSilent(f"it ended with status {process.returncode}")
                await asyncio.sleep(START_TRY_SECONDS)
            else:
                raise ServerSilent(f"nothing on port {port}")
        yield
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answers(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://127.0.0.1:{port}/health")).is_success
    except httpx.TransportError:
        return False


def _configure(directory: Path, port: int, quorum: Quorum, workers: int) -> Path:
    (directory / "quorum.json").write_bytes(quorum.document())
    (directory / "secrets").mkdir(mode=0o700)
    key_file = directory / "secrets" / "webhook.key"
    key_file.touch(mode=0o600)
    key_file.write_text(token_bytes(32).hex())
    api: dict[str, object] = {
        "port": port,
        "public_url": f"http://127.0.0.1:{port}",
        "workers": workers,
        "requests_per_minute": 0,
    }
    network = {"nodes": [NodeSettings(url="http://127.0.0.1:1/")], "descriptor": fresh_descriptor()}
    sections: dict[str, dict[str, object]] = {
        "api": api,
        "rates": {"sources": [], "fixed": {"rLTC/EUR": "85.00"}},
        "logs": {"level": "warning"},
    }
    path = directory / "holdfast.toml"
    path.write_text(config_text({}, sections, {NETWORK: network}), encoding="utf-8")
    return path


async def _enrol(port: int, operator: str, officers: list[Ed25519PrivateKey]) -> tuple[str, str]:
    """A certified merchant's id and API key, made through the API as an operator would."""
    headers = {"Authorization": f"Bearer {operator}"}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers) as client:
        keys = {"key": token_bytes(32).hex(), "recovery_key": token_bytes(32).hex()}
        merchant = await _post(client, "/v1/merchants", {"name": "Bench", **keys})
        document = msgspec.convert(merchant["request"], bytes, strict=False)
        signed = [Signature(_public(one), one.sign(signing_input(document)).hex()) for one in officers[:2]]
        handed_in = {"document": document, "signatures": signed}
        path = f"/v1/merchants/{merchant['id']}/certificate"
        (await client.put(path, content=msgspec.json.encode(handed_in), headers=_JSON)).raise_for_status()
        client.headers["Holdfast-Merchant"] = str(merchant["id"])
        expires_at = SYSTEM_CLOCK.now() + timedelta(days=1)
        asked = {"name": "bench", "scopes": sorted(MERCHANT_SCOPES), "expires_at": expires_at}
        made = await _post(client, "/v1/api-keys", asked)
    return str(merchant["id"]), str(made["secret"])


_JSON = {"Content-Type": "application/json"}


async def _post(client: httpx.AsyncClient, path: str, body: object) -> dict[str, object]:
    headers = {**_JSON, "Idempotency-Key": token_bytes(8).hex()}
    answer = await client.post(path, content=msgspec.json.encode(body), headers=headers)
    answer.raise_for_status()
    found: dict[str, object] = answer.json()
    return found


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


def fresh_descriptor() -> str:
    """A fresh 2-of-3 vault's descriptor, its keys thrown away."""
    keys = []
    for _ in range(3):
        root = HDKey.from_seed(token_bytes(32))
        public = root.derive("m/48h/1h/0h/2h").to_public().to_base58()
        keys.append(f"[{root.my_fingerprint.hex()}/48h/1h/0h/2h]{public}/0/*")
    return f"wsh(sortedmulti(2,{','.join(keys)}))"
