"""Puts a trace together: sources into a store, labels into a book, and following over both."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from holdfast.core.errors import BadInput, NotFound
from holdfast.faces.cli.terminal import Advance
from holdfast.faces.cli.trace_sources import Opening, now, opened
from holdfast.trace.case import Case, CaseDocument, Theft
from holdfast.trace.follow.engine import follow
from holdfast.trace.follow.options import Decision, Options, Overrule
from holdfast.trace.follow.thefts import Stolen, TheftNotStored, rows_of
from holdfast.trace.labels.deposits import NamesWithBehaviour
from holdfast.trace.labels.feeds import Reading, read_file
from holdfast.trace.labels.shelf import KeptBook, Shelf
from holdfast.trace.model import EndKind, Trace, Transfer
from holdfast.trace.sources.amounts import read_time
from holdfast.trace.sources.outward import pull_outward
from holdfast.trace.sources.places import address_on, network_named, network_of_form, transaction_on
from holdfast.trace.sources.pull import Progress, pull
from holdfast.trace.store import Store
from holdfast.trace.store_parts import AssetFact

VOUCHED = 90
"""How sure the labels are, at most, that somebody vouches for: nobody is never wrong."""
_HASH = 64


class NothingToFollow(BadInput):
    """It is not said what was stolen. Name a transaction or address with `--from`, or the thief's with `--thief`."""

    code = "nothing-to-follow"


class NoTransfers(BadInput):
    """There are no transfers to follow. Name a file, node or explorer with `--source`."""

    code = "no-transfers"


class LimitMalformed(BadInput):
    """A limit is not understood. Write it as ASSET=UNITS, with a CAIP-19 id and a whole number of smallest units."""

    code = "limit-malformed"


class TheftNameUnknown(NotFound):
    """Nothing that is stored has this name. Write the network before it, as in `ethereum:0x…`, and check the source."""

    code = "theft-name-unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    stolen_from: tuple[str, ...] = ()
    thieves: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    case: Path | None = None
    labels: tuple[Path, ...] = ()
    vouched: tuple[Path, ...] = ()
    mapping: Path | None = None
    network: str = ""
    asset: str = ""
    heights: str = ""
    cookie_file: Path | None = None
    key_file: Path | None = None
    until: str = ""
    least: tuple[str, ...] = ()
    least_ppm: int | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A trace, and what it was made from."""

    trace: Trace
    case: str
    """The folder; empty: nothing was kept."""
    transfers: int
    left_out: dict[str, int]
    refused_labels: dict[str, int]
    assets: dict[str, AssetFact] = field(default_factory=dict)


def run(asked: Asked, advance: Advance) -> Found:
    """Make a case, or go on with one; follow; keep what was found. Raises what every part raises."""
    with _case(asked) as case:
        labelled(case, asked.labels, asked.vouched, asked.network)
        stopped = _pulled(case, asked, advance)
        thefts = [_named(case, name, asked, is_thief=False) for name in asked.stolen_from]
        thefts += [_named(case, name, asked, is_thief=True) for name in asked.thieves]
        document = case.document
        kept = dict.fromkeys((*document.thefts, *thefts))
        document = msgspec.structs.replace(
            document, thefts=tuple(kept), options=_options(document.options, asked),
            sources=tuple(dict.fromkeys((*document.sources, *(_without_key(each) for each in asked.sources)))),
        )  # fmt: skip
        case.save(document)
        advance("following", 0, 0)
        found = followed(case, str(asked.case or ""))
        found.trace.stopped += stopped
        case.save_trace(found.trace)
        return found


def decide(directory: Path, step: str, *, is_follow: bool, by: str, why: str) -> Found:
    """Keep a person's decision and follow again. Raises `CaseMissing`, `TheftNameUnknown`."""
    case = Case(directory)
    network, _, transaction = step.partition("/")
    decision = Decision.FOLLOW if is_follow else Decision.LEAVE
    overrule = Overrule(decision, by, now(), why, step="" if transaction else step)
    if transaction:
        overrule = msgspec.structs.replace(overrule, network=network_named(network) or network, transaction=transaction)
    elif case.has_trace and all(each.id != step for each in case.trace().steps):
        raise TheftNameUnknown(step[:80])
    case.save(msgspec.structs.replace(case.document, overrules=(*case.document.overrules, overrule)))
    return followed(case, str(directory))


@contextmanager
def _case(asked: Asked) -> Iterator[Case]:
    if asked.case is not None:
        if Case.exists(asked.case):
            yield Case(asked.case)
        else:
            yield Case.create(asked.case, CaseDocument(asked.case.name, now()))
        return
    with tempfile.TemporaryDirectory(prefix="holdfast-trace-") as folder:
        yield Case.create(Path(folder) / "case", CaseDocument("trace", now()))


def _pulled(case: Case, asked: Asked, advance: Advance) -> list[str]:
    """Read all sources; where reading had to stop."""

    def tell(at: Progress) -> None:
        advance(f"{at.source}: {at.transfers} transfers", at.done, at.total)

    async def all_of_them() -> list[str]:
        stopped: list[str] = []
        with case.store() as store:
            named = _addresses(asked, case.document.thefts)
            opening = Opening(case, store, asked.mapping, asked.network, asked.heights, asked.cookie_file,
                              asked.key_file, frozenset(address for _, address in named))  # fmt: skip
            for name in asked.sources:
                source, wanted = opened(name, opening)
                try:
                    if wanted.addresses:
                        stopped += await pull_outward(source, wanted, store, lambda: _reached(case, store, named), tell)
                    else:
                        await pull(source, wanted, store, tell)
                finally:
                    await source.close()
        return stopped

    stopped = asyncio.run(all_of_them())
    with case.store() as store:
        if not len(store):
            raise NoTransfers(", ".join(_without_key(each) for each in asked.sources))
    return stopped


def _addresses(asked: Asked, thefts: Sequence[Theft]) -> dict[tuple[str, str], Stolen]:
    """Addresses that are named, before anything is stored; by network and address."""
    found = {(each.network, each.address): Stolen(each.network, address=each.address, is_thief=each.is_thief)
             for each in thefts if each.address and not each.transaction}  # fmt: skip
    for name, is_thief in (*((n, False) for n in asked.stolen_from), *((n, True) for n in asked.thieves)):
        prefix, _, plain = name.rpartition(":")
        network = network_named(prefix or asked.network)
        address = address_on(network, plain) if network else ""
        if address:
            found[network, address] = Stolen(network, address=address, is_thief=is_thief)
    return found


def _reached(case: Case, store: Store, named: dict[tuple[str, str], Stolen]) -> list[str]:
    """Where money lies that nobody has asked about: what an explorer is asked for next."""
    thefts: dict[Transfer, None] = {}
    for stolen in named.values():
        with suppress(TheftNotStored):  # nothing of this one yet
            thefts.update(dict.fromkeys(rows_of(store, stolen)))
    names = NamesWithBehaviour(KeptBook(case.labels), store)
    trace = follow(store, names, list(thefts), case.document.options)
    return sorted({end.address for end in trace.ends if end.kind is EndKind.UNSPENT})


def labelled(case: Case, labels: Sequence[Path], vouched: Sequence[Path], network: str = "") -> None:
    """Put these files' labels on the case's shelf; those that somebody vouches for count more. Raises what feeds raise.

    `network`: of addresses that do not say theirs.
    """
    shelf = Shelf(case.labels)
    for path, is_vouched in (*((each, False) for each in labels), *((each, True) for each in vouched)):
        how = Reading(family=path.stem, at=now(), network=network and network_named(network))
        shelf.keep(read_file(path, replace(how, ceiling=VOUCHED) if is_vouched else how))


def followed(case: Case, folder: str) -> Found:
    """Follow what the case names, with its labels, limits and decisions; keep the trace. Raises `NothingToFollow`."""
    document = case.document
    if not document.thefts:
        raise NothingToFollow
    with case.store() as store:
        thefts = _rows(store, document.thefts)
        book = KeptBook(case.labels)
        names = NamesWithBehaviour(book, store)
        trace = follow(store, names, thefts, document.options, document.overrules)
        for pulled in store.pulled.values():
            trace.stopped += [each for each in pulled.stopped if each not in trace.stopped]
        found = Found(trace, folder, len(store), dict(store.left_out), book.refused_by_reason(), dict(store.assets))
    case.save_trace(trace)
    return found


def _rows(store: Store, thefts: Sequence[Theft]) -> list[Transfer]:
    found: dict[Transfer, None] = {}
    for each in thefts:
        stolen = Stolen(each.network, each.transaction, each.address, each.asset, is_thief=each.is_thief)
        found.update(dict.fromkeys(rows_of(store, stolen)))
    return sorted(found, key=lambda row: (row.time, row.height, row.order))


def _named(case: Case, name: str, asked: Asked, *, is_thief: bool) -> Theft:
    """What a name on the command line means. Raises `TheftNameUnknown`."""
    prefix, _, plain = name.rpartition(":")
    given = network_named(prefix or asked.network)
    if (prefix or asked.network) and not given:
        raise TheftNameUnknown(name[:90])
    with case.store() as store:
        networks = [given] if given else list(store.networks)
        for network in networks:
            transaction = transaction_on(network, plain)
            if len(plain.removeprefix("0x")) == _HASH and store.of_transactions(network, [transaction]):
                return Theft(network, transaction=transaction, asset=asked.asset)
            address = address_on(network, plain)
            if address and (store.leaving(network, [address]) or store.arriving(network, [address])):
                return Theft(network, address=address, asset=asked.asset, is_thief=is_thief)
    raise TheftNameUnknown(f"{name[:90]}{'' if given else f', looks like {network_of_form(plain)}'}")


def _options(before: Options, asked: Asked) -> Options:
    least = dict(before.least)
    for limit in asked.least:
        asset, _, units = limit.rpartition("=")
        if not asset or not units.isascii() or not units.isdigit():
            raise LimitMalformed(limit[:90])
        least[asset] = int(units[:80])
    return msgspec.structs.replace(
        before, least=least, until=read_time(asked.until) if asked.until else before.until,
        least_parts_per_million=before.least_parts_per_million if asked.least_ppm is None else max(0, asked.least_ppm),
    )  # fmt: skip


def _without_key(source: str) -> str:
    """A source's name without what may be a key: what follows `?` and what stands before `@`."""
    plain = source.partition("?")[0]
    before, _, after = plain.rpartition("@")
    return f"{before.partition('//')[0]}//{after}" if before else plain
