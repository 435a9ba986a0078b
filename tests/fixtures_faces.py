"""The real application over a real database, called as over HTTP; and the same as a process of its own."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any

import httpx
import msgspec
import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_payments import TestClock, anvil_settings, bitcoin_settings
from holdfast.core.certificates import signing_input
from holdfast.core.quorum import Officer, Quorum, Signature
from holdfast.faces.api.application import application
from holdfast.faces.api.edge import Edge
from holdfast.faces.api.main import open_parts
from holdfast.faces.api.parts import AllParts
from holdfast.faces.api.rate_limits import RateLimit
from holdfast.faces.bench.front import free_port
from holdfast.faces.cli.config_text import config_text
from holdfast.payments import api_keys
from holdfast.payments.api_keys import MERCHANT_SCOPES, KeyRequest
from holdfast.runtime.database import OWNER, PLATFORM
from holdfast.runtime.embedded_database import DATABASE
from holdfast.runtime.settings import (
    ApiSettings,
    DatabaseSettings,
    NetworkSettings,
    RatesSettings,
    Settings,
    TokenSettings,
    WebhooksSettings,
)

LITECOIN = "bip122:530827f38f93b43ed12af0b3ad25a288"
RLTC = f"{LITECOIN}/slip44:1"
ANVIL = "eip155:31337"
TOKEN = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
USDT = f"{ANVIL}/erc20:{TOKEN.lower()}"
NOBODY = "mer_0000000000000000000000000z"


@dataclass
class Member:
    """A merchant, certified, with a key that may do everything of his."""

    id: str
    key: str
    """Of the API."""
    signing: Ed25519PrivateKey
    """Orders his payouts."""


@dataclass
class Front:
    """The application, running, and what a test asks of it."""

    app: Edge
    parts: AllParts
    clock: TestClock
    officers: list[Ed25519PrivateKey]
    client: httpx.AsyncClient
    operator: str = ""
    merchants: list[Member] = field(default_factory=list)

    @property
    def shop(self) -> Member:
        """The first merchant."""
        return self.merchants[0]

    async def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = "", **headers: str
    ) -> httpx.Response:
        """One request: by default with the shop's key, and a fresh idempotency key where one is needed."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            sent["Authorization"] = f"Bearer {key or self.shop.key}"
        if method == "POST":
            sent.setdefault("Idempotency-Key", token_hex(8))
        content = None
        if body is not None:
            content = body if isinstance(body, bytes) else msgspec.json.encode(body)
            sent.setdefault("Content-Type", "application/json")
        return await self.client.request(method, path, content=content, headers=sent)

    async def invoice(self, **changes: Any) -> dict[str, Any]:
        """A new invoice of the shop's."""
        made = await self.call("POST", "/v1/invoices", {"price": {"amount": "12.50", "currency": "EUR"}, **changes})
        assert made.status_code == 201, made.text
        return dict(made.json())

    async def enrol(self, name: str = "Corner Books") -> Member:
        """A merchant enrolled and certified through the API, as an operator would."""
        signing = Ed25519PrivateKey.generate()
        keys = {"key": _public(signing), "recovery_key": token_bytes(32).hex()}
        made = await self.call("POST", "/v1/merchants", {"name": name, **keys}, key=self.operator)
        assert made.status_code == 201, made.text
        merchant = made.json()
        handed_in = certificate_of(self.officers, msgspec.convert(merchant["request"], bytes, strict=False))
        done = await self.call("PUT", f"/v1/merchants/{merchant['id']}/certificate", handed_in, key=self.operator)
        assert done.status_code == 200, done.text
        member = Member(merchant["id"], await self.key_for(merchant["id"], MERCHANT_SCOPES), signing)
        self.merchants.append(member)
        return member

    async def key_for(self, merchant_id: str | None, scopes: Any) -> str:
        """An API key, made beside the API."""
        now = self.clock.now()
        async with self.parts.pool.connection() as conn:
            wanted = KeyRequest(merchant_id, "test", frozenset(scopes), now + timedelta(days=30))
            _, secret = await api_keys.create(conn, wanted, now)
        return secret


@asynccontextmanager
async def open_front(settings: Settings, officers: list[Ed25519PrivateKey]) -> AsyncIterator[Front]:
    """The application with its lifespan, called in this process."""
    clock = TestClock()
    held: list[AllParts] = []

    @asynccontextmanager
    async def parts_kept(limit: RateLimit) -> AsyncIterator[AllParts]:
        async with open_parts(settings, clock, limit) as parts:
            held.append(parts)
            yield parts

    app = application(settings, clock, parts_kept)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_lifespan(app))
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)  # type: ignore[arg-type]  # litestar's and the library's ASGI types differ
        client = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://front.test"))
        front = Front(app, held[0], clock, officers, client)
        async with front.parts.pool.connection() as conn:
            _, front.operator = await api_keys.bootstrap_operator(conn, clock.now())
        await front.enrol()
        yield front


def settings_for(directory: Path, url: str, **changes: Any) -> tuple[Settings, list[Ed25519PrivateKey]]:
    """Settings with a Litecoin and an anvil vault, a quorum file and a webhook key; no node is asked."""
    officers = [Ed25519PrivateKey.generate() for _ in range(3)]
    quorum = Quorum(tuple(Officer(f"officer {at}", _public(one)) for at, one in enumerate(officers)), 2)
    (directory / "quorum.json").write_bytes(quorum.document())
    key_file = directory / "webhook.key"
    key_file.touch(mode=0o600)
    key_file.write_text(token_hex(32))
    token = TokenSettings(contract=TOKEN, symbol="USDT", decimals=6)
    networks: dict[str, NetworkSettings] = {
        "litecoin-regtest": bitcoin_settings("litecoin-regtest"),
        "anvil": anvil_settings("http://127.0.0.1:1/", [token]),
    }
    fixed = {"rLTC/EUR": "85.00", "ETH/EUR": "2000.00", "USDT/EUR": "0.92"}
    plain: dict[str, Any] = {
        "path": directory / "holdfast.toml",
        "quorum_file": directory / "quorum.json",
        "database": DatabaseSettings(url=url),
        "api": ApiSettings(public_url="https://pay.example.org", requests_per_minute=0),
        "networks": networks,
        "rates": RatesSettings(sources=[], fixed=fixed),
        "webhooks": WebhooksSettings(key_file=key_file),
    }
    return Settings(**{**plain, **changes}), officers


@asynccontextmanager
async def _lifespan(app: Edge) -> AsyncIterator[None]:
    """What a server does at its start and its end (ASGI lifespan)."""
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[Any] = asyncio.Queue()
    scope: Any = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    running = asyncio.create_task(app(scope, to_app.get, from_app.put))  # type: ignore[arg-type]  # litestar's and the library's ASGI types differ
    await to_app.put({"type": "lifespan.startup"})
    started = await from_app.get()
    assert started["type"] == "lifespan.startup.complete", started
    yield
    await to_app.put({"type": "lifespan.shutdown"})
    ended = await from_app.get()
    assert ended["type"] == "lifespan.shutdown.complete", ended
    await running


def _public(key: Ed25519PrivateKey) -> str:
    return key.public_key().public_bytes_raw().hex()


@dataclass
class Served:
    """The application as a process of its own, and its operator's key."""

    url: str
    operator: str
    process: subprocess.Popen[bytes]
    officers: list[Ed25519PrivateKey]
    settings: Settings

    def call(
        self, method: str, path: str, body: Any = None, *, key: str | None = None, **headers: str
    ) -> httpx.Response:
        """One request over a real connection, by default with the operator's key."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Authorization": f"Bearer {key or self.operator}", "Idempotency-Key": token_hex(8)}
        content = None if body is None else msgspec.json.encode(body)
        if content is not None:
            sent["Content-Type"] = "application/json"
        return httpx.request(method, self.url + path, content=content, headers=sent, timeout=20)

    def enrol(self, name: str = "Corner Books") -> Member:
        """A merchant enrolled and certified, with a key that may do everything of his."""
        signing = Ed25519PrivateKey.generate()
        keys = {"key": _public(signing), "recovery_key": token_bytes(32).hex()}
        merchant = self.call("POST", "/v1/merchants", {"name": name, **keys}).raise_for_status().json()
        handed_in = certificate_of(self.officers, msgspec.convert(merchant["request"], bytes, strict=False))
        self.call("PUT", f"/v1/merchants/{merchant['id']}/certificate", handed_in).raise_for_status()
        expires = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        wanted = {"name": "test", "scopes": sorted(MERCHANT_SCOPES), "expires_at": expires}
        made = self.call("POST", "/v1/api-keys", wanted, Holdfast_Merchant=merchant["id"]).raise_for_status()
        return Member(merchant["id"], made.json()["secret"], signing)


def write_config(
    directory: Path, url: str, port: int, *, workers: int = 1, **changes: Any
) -> tuple[Settings, list[Ed25519PrivateKey], Path]:
    """A configuration file and all that it names."""
    settings, officers = settings_for(directory, url, **changes)
    networks = {name: _written(network) for name, network in settings.networks.items()}
    sections = {
        "database": {"url": url},
        "api": {"port": port, "public_url": f"http://127.0.0.1:{port}", "requests_per_minute": 0, "workers": workers},
        "rates": {"sources": [], "fixed": settings.rates.fixed},
        "webhooks": {"key_file": "webhook.key"},
        "logs": {"level": "warning"},
    }
    config = directory / "holdfast.toml"
    config.write_text(config_text({"quorum_file": "quorum.json"}, sections, networks))
    return settings, officers, config


@contextmanager
def serve(directory: Path, url: str, *, workers: int = 1, **changes: Any) -> Iterator[Served]:
    """Run `python -m holdfast.faces.api.main` on this database until the end of the block."""
    port = free_port()
    settings, officers, config = write_config(directory, url, port, workers=workers, **changes)
    with psycopg.connect(url) as conn:
        operator = f"hf_op{token_hex(4)}_{token_hex(16)}"
        conn.execute(
            """
            INSERT INTO payments.api_keys (id, name, secret_hash, scopes, expires_at)
            VALUES (%s, 'operator', %s, '{operator}', now() + interval '1 day')
            """,
            (f"key_{operator.split('_')[1]}", sha256(operator.split("_")[2].encode()).digest()),
        )
    argv = [sys.executable, "-m", "holdfast.faces.api.main", "--config", str(config)]
    with subprocess.Popen(argv) as process:  # noqa: S603  our own module
        served = Served(f"http://127.0.0.1:{port}", operator, process, officers, settings)
        try:
            _wait_until_it_answers(served)
            yield served
        finally:
            process.terminate()
            process.wait(timeout=20)


def _wait_until_it_answers(served: Served) -> None:
    for _ in range(200):
        assert served.process.poll() is None, f"the server ended with {served.process.returncode}"
        try:
            httpx.get(f"{served.url}/health").raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("the server does not answer")


def _written(network: NetworkSettings) -> dict[str, Any]:
    """A network's settings as the file has them."""
    names = ("nodes", "finality_depth", "confirmations", "descriptor", "factory", "implementation", "vault", "tokens")
    return {name: getattr(network, name) for name in names if getattr(network, name)}


def certificate_of(officers: list[Ed25519PrivateKey], document: bytes, signers: int = 2) -> dict[str, Any]:
    """A certificate with officers' signatures, as it is handed in."""
    signatures = [Signature(_public(one), one.sign(signing_input(document)).hex()) for one in officers]
    return {"document": document, "signatures": signatures[:signers]}


@contextmanager
def own_database(server: Any) -> Iterator[str]:
    """A fresh, migrated database; its URL as servers connect."""
    name = f"served_{token_hex(6)}"
    with psycopg.connect(server.url_of(OWNER, "postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE} STRATEGY file_copy".encode())
    yield str(server.url_of(PLATFORM, name))
    with psycopg.connect(server.url_of(OWNER, "postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())
