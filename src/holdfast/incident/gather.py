"""Takes what is sealed as evidence, each source by itself: one that fails or hangs is named, and costs no other.

Nothing is believed here: what a zone says of itself is kept as what it said, under the name of who said it.
"""

from __future__ import annotations

import asyncio
import getpass
import hashlib
import platform
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import aiohttp
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.chains.zone_settings import NodeAccess
from holdfast.core.errors import HoldfastError, Unavailable
from holdfast.core.journal import CertificateTaken, Entry, Head, Ordered, PolicyTaken, read_entries
from holdfast.incident.affected import Affected, TransactionShown, balances, networks_of
from holdfast.incident.chain_reads import read_floats, read_node
from holdfast.incident.evidence import Manifest, NotTaken
from holdfast.incident.record import STOPPED, Incident, Seen
from holdfast.incident.settings import IncidentSettings
from holdfast.incident.store import Piece, Store, Taking
from holdfast.incident.tower import TowerLine
from holdfast.policy.audit import EvidenceFalse, judge
from holdfast.policy.record import Record
from holdfast.runtime.secret_files import read_secret

SOURCE_SECONDS_MAX = 20
"""A source that takes longer is written down as not taken."""
HTTP_SECONDS_MAX = 5
HTTP_BYTES_MAX = 32_000_000
AFFECTED = "affected.json"
PACKAGES = ("holdfast", "aiohttp", "coincurve", "cryptography", "embit", "msgspec", "pycryptodome")
PLATFORM_PATHS = ("reconciliation", "attention")


class SourceSilent(Unavailable):
    """A source of evidence did not answer as it should. Seal once more when it does: `holdfast incident seal`."""

    code = "evidence-source-silent"


@dataclass(slots=True)
class Gatherer:
    """Everything that is taken for one seal."""

    settings: IncidentSettings
    incident: Incident
    key: Ed25519PrivateKey
    now_ms: Callable[[], int]
    pieces: list[Piece] = field(default_factory=list)
    missing: list[NotTaken] = field(default_factory=list)
    record: Record = field(default_factory=Record)

    async def gather(self) -> Taking:
        """All of it."""
        tower = TowerLine(self.settings.tower_host, self.settings.tower_port)
        try:
            await asyncio.gather(
                self._take("watchtower: status", self._status(tower)),
                self._take("watchtower: journal", self._journal(tower)),
                *(self._take(f"{zone}: readiness", self._ready(zone, url)) for zone, url in self._zones()),
                *(self._take(f"platform: {name}", self._platform(name)) for name in self._platform_paths()),
            )
        finally:
            await tower.close()
        await self._chains()
        for place, path in enumerate(self.settings.log_files, 1):
            name = "".join(one if one.isalnum() or one in "._-" else "-" for one in path.name)
            how = f"the newest {self.settings.log_bytes_max} bytes of the file"
            piece = Piece(f"logs/{place:02d}-{name}", f"log file {path}", how, path, self.settings.log_bytes_max)
            self.pieces.append(piece)
        return Taking(sorted(self.pieces, key=lambda one: one.path), self.missing, versions(), taker())

    async def _take(self, source: str, taking: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SOURCE_SECONDS_MAX):
                await taking
        except (HoldfastError, OSError, TimeoutError) as error:
            self._lost(source, str(error) or f"no answer within {SOURCE_SECONDS_MAX} s")

    def _lost(self, source: str, why: str) -> None:
        self.missing.append(NotTaken(source, why[:500], self.now_ms()))

    def _add(self, path: str, source: str, how: str, content: bytes) -> None:
        self.pieces.append(Piece(path, source, how, content))

    async def _status(self, tower: TowerLine) -> None:
        status = await tower.status()
        said = msgspec.json.format(msgspec.json.encode(status))
        self._add("watchtower/status.json", "the watchtower", "its answer to a request for its status", said)

    async def _journal(self, tower: TowerLine) -> None:
        stored = await tower.journal(0, self.key)
        said = msgspec.json.encode({"entries": stored})
        self._add(
            "watchtower/journal.json", "the watchtower", "all entries of the signer's journal that it holds", said
        )
        entries = read_entries(Head(), stored)
        for entry in entries:
            self._document(entry)
        try:
            await asyncio.to_thread(judge, self.record, entries, self.settings.root_fingerprint, strange_outputs)
        except (EvidenceFalse, HoldfastError) as error:
            self._lost("balances by the journal, from where it is false", str(error))

    def _document(self, entry: Entry) -> None:
        """Policies, certificates and orders as files of their own: people read them."""
        body, how = entry.body, f"entry {entry.seq} of the journal"
        if isinstance(body, PolicyTaken):
            self._add(f"policies/{entry.seq}-{_short(body.document)}.toml", "officers", how, body.document.encode())
        elif isinstance(body, CertificateTaken):
            name = f"certificates/{entry.seq}-{_short(body.document)}.json"
            self._add(name, "officers", how, msgspec.json.encode(body))
        elif isinstance(body, Ordered):
            self._add(f"orders/{entry.seq}.json", "officers", how, msgspec.json.encode(body.order))

    async def _ready(self, zone: str, url: str) -> None:
        said = await http_get(url, {}, any_status=True)
        self._add(f"zones/{zone}.json", zone, "its answer to a question whether it is ready", said)

    async def _platform(self, name: str) -> None:
        assert self.settings.platform_key_file is not None  # noqa: S101  asked for where it is set only
        headers = {"Authorization": f"Bearer {read_secret(self.settings.platform_key_file)}"}
        said = await http_get(f"{str(self.settings.platform_url).rstrip('/')}/v1/{name}", headers)
        self._add(f"platform/{name}.json", "the platform", f"GET /v1/{name}", said)

    def _zones(self) -> Sequence[tuple[str, str]]:
        return [(name, url) for name, url in self.settings.zones.items() if name.replace("-", "").isalnum()]

    def _platform_paths(self) -> Sequence[str]:
        is_set = self.settings.platform_url is not None and self.settings.platform_key_file is not None
        return PLATFORM_PATHS if is_set else ()

    async def _chains(self) -> None:
        """Transactions from every node by itself, and what lies at the floats."""
        scopes = {one.scope for one in self.incident.of(Seen) if one.kind == STOPPED} | self.incident.alarmed
        names = networks_of(scopes, self.incident.transactions, list(self.settings.networks))
        shown: list[TransactionShown] = []
        lying: dict[tuple[str, str], int] = {}
        nodes = [(name, n, node) for name in names for n, node in enumerate(self.settings.networks[name].nodes, 1)]
        await asyncio.gather(
            *(self._take(f"{name} node {n}", self._node(name, n, node, shown)) for name, n, node in nodes),
            *(self._take(f"{name}: what lies at the float", self._floats(name, lying)) for name in names),
        )
        facts = (self.incident.id, self.now_ms(), tuple(shown), balances(self.record, names, lying))
        text = msgspec.json.format(msgspec.json.encode(Affected(*facts)))
        self._add(AFFECTED, "the incident process", "its own reading of journal and nodes", text)

    async def _node(self, network: str, number: int, node: NodeAccess, shown: list[TransactionShown]) -> None:
        evidence = await read_node(network, node, self.incident.transactions, self.record)
        shown += [msgspec.structs.replace(one, node=f"{network} node {number}") for one in evidence.shown]
        folder = f"chains/{network.replace(':', '-')}/node-{number}"
        for name, text in evidence.texts.items():
            self._add(f"{folder}/{name}", f"{network} node {number}", "asked by JSON-RPC", text)
        for what, why in evidence.missing.items():
            self._lost(f"{network} node {number}: {what}", why)

    async def _floats(self, network: str, lying: dict[tuple[str, str], int]) -> None:
        lying |= await read_floats(network, self.settings.networks[network], self.record)


async def seal(settings: IncidentSettings, store: Store, incident_id: str) -> tuple[Incident, Manifest]:
    """Take everything and seal it. Raises `IncidentStoreFailed` and what `Store.read` raises."""
    incident = await asyncio.to_thread(store.read, incident_id)
    taking = await Gatherer(settings, incident, store.key, store.now_ms).gather()
    return await asyncio.to_thread(store.seal, incident_id, taking)


async def http_get(url: str, headers: dict[str, str], *, any_status: bool = False) -> bytes:
    """A body. Raises `SourceSilent`; `any_status`: also where the answer is an error."""
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=HTTP_SECONDS_MAX), trust_env=False) as session,
            session.get(url, headers=headers, allow_redirects=False) as response,
        ):
            body = await response.content.read(HTTP_BYTES_MAX)
            if not any_status and response.status != 200:
                raise SourceSilent(f"HTTP {response.status}")
            return body
    except TimeoutError:
        raise SourceSilent(f"no answer within {HTTP_SECONDS_MAX} s") from None
    except aiohttp.ClientError as error:
        raise SourceSilent(type(error).__name__) from None


def versions() -> dict[str, str]:
    """What this evidence was taken with."""
    found = {name: version(name) for name in PACKAGES}
    return {**found, "python": platform.python_version(), "system": platform.platform()}


def taker() -> str:
    """Which process takes evidence, as which account of which host."""
    try:
        account = getpass.getuser()
    except (OSError, KeyError):
        account = "an account without a name"
    return f"holdfast incident as {account} on {socket.gethostname()}"


def _short(document: str) -> str:
    return hashlib.sha256(document.encode()).hexdigest()[:12]
