"""Opens what `--source` names: a file, one node or two that are compared, an explorer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.chains.outflow_agreement import Access
from holdfast.chains.rpc import Credentials, RpcClient
from holdfast.core.errors import BadInput
from holdfast.core.networks import EvmNetwork, Network, NetworkId, network_by_id
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.trace.case import Case
from holdfast.trace.sources.beside import Beside
from holdfast.trace.sources.files import FileSource
from holdfast.trace.sources.mapping import FileMapping, read_mapping
from holdfast.trace.sources.places import network_named
from holdfast.trace.sources.port import Source, Wanted
from holdfast.trace.store import Store


class SourceUnknown(BadInput):
    """This is no source. Name a CSV or Parquet file, or `node:URL` or `explorer:URL` together with `--network`."""

    code = "source-unknown"


@dataclass(frozen=True, slots=True)
class Opening:
    """What every source may need."""

    case: Case
    store: Store
    mapping: Path | None
    network: str
    heights: str
    cookie_file: Path | None = None
    key_file: Path | None = None
    addresses: frozenset[str] = frozenset()
    """What an explorer is asked about first."""

    @property
    def beside(self) -> Beside:
        """The case's own parts."""
        return Beside(self.case.evidence(), self.store, now)


def now() -> int:
    """Seconds since 1970."""
    return int(SYSTEM_CLOCK.now().timestamp())


def opened(name: str, opening: Opening) -> tuple[Source, Wanted]:
    """A source, and what to pull from it. Raises `SourceUnknown`, `NetworkUnknown` and what sources raise."""
    kind, _, rest = name.partition(":")
    path = Path(name.removeprefix("file:"))
    if kind == "file" or path.is_file():
        how = read_mapping(opening.mapping) if opening.mapping is not None else FileMapping()
        return FileSource(path, how, evidence=opening.case.evidence(), at=now()), Wanted()
    network = network_named(opening.network)
    if kind not in {"node", "explorer"} or not network:
        raise SourceUnknown(name.partition("?")[0].rpartition("@")[2][:120])
    first, _, last = opening.heights.partition("-")
    if any(part and not part.isdecimal() for part in (first, last)):
        raise SourceUnknown(f"--heights {opening.heights[:40]}")
    wanted = Wanted(network, height_from=int(first or 0), height_to=int(last or 0))
    if kind == "explorer":
        return _explorer(rest, network, opening), replace(wanted, addresses=opening.addresses)
    cookie = Credentials(cookie_file=opening.cookie_file)
    accesses = [Access(url, cookie) for url in rest.split(",")]
    return of_nodes(network_by_id(NetworkId(network)), accesses, opening.beside), wanted


def _explorer(url: str, network: str, opening: Opening) -> Source:
    from holdfast.trace.sources.explorer import ExplorerAccess, ExplorerSource

    found = network_by_id(NetworkId(network))
    if not isinstance(found, EvmNetwork):
        raise SourceUnknown(f"explorers are read on EVM networks, not on {found.name}")
    return ExplorerSource(ExplorerAccess(url, opening.key_file), found, opening.beside)


def of_nodes(network: Network, accesses: Sequence[Access], beside: Beside) -> Source:
    """Nodes of one network as a source: the first is read, the others are compared with it."""
    if isinstance(network, EvmNetwork):
        from holdfast.trace.sources.evm_node import EvmNodeSource

        clients = [RpcClient(each.url, name=each.name, credentials=each.credentials) for each in accesses]
        return EvmNodeSource(clients, network, beside)
    from holdfast.trace.sources.bitcoin_node import BitcoinNodeSource

    return BitcoinNodeSource([each.bitcoin() for each in accesses], network, beside)
