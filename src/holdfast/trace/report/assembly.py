"""Reads a case's folder into what a report is made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import sha256
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import msgspec

from holdfast.trace.case import Case
from holdfast.trace.follow.options import Options
from holdfast.trace.labels.shelf import KeptBook
from holdfast.trace.labels.where import Holding
from holdfast.trace.link.told import for_report, read_links
from holdfast.trace.model import Label, LabelKind, Trace, Transfer
from holdfast.trace.reading import place
from holdfast.trace.report.material import AssetName, Balance, Evidence, Material, Overruling, Software
from holdfast.trace.report.prices import Prices
from holdfast.trace.report.statement import Statement
from holdfast.trace.store import Store

PICTURES = ("sankey", "graph")
BESIDE_MOST = 200_000
"""More transfers beside the steps than this are left out of the bundle: a busy address would bring everybody's."""


def material_of(
    case: Case,
    made_at: int,
    *,
    statement: Statement = Statement(),  # noqa: B008  a frozen value
    prices: Prices = Prices(),  # noqa: B008  a frozen value
    holdings: Iterable[Holding] = (),
) -> Material:
    """Everything of a case that its report needs. Raises `TraceMissing` and what the case's files raise."""
    trace, document = case.trace(), case.document
    book = KeptBook(case.labels)
    with case.store() as store:
        transfers = _transfers(store, trace)
        assets = {name: AssetName(name, fact.symbol, fact.decimals) for name, fact in store.assets.items()}
    linking = read_links(case.links)
    return Material(
        name=document.name, made_at=made_at, software=software(), trace=trace, transfers=transfers,
        labels=_labels(trace, transfers, book), evidence=_evidence(case), assets=assets, prices=prices,
        statement=statement, links=for_report(linking, document.name) if linking is not None else (),
        options=_in_words(document.options), rules=_plain(document.options),
        overruled=tuple(
            Overruling(one.step or f"{one.network} {one.transaction}", one.decision.value, one.by, one.at, one.why)
            for one in document.overrules
        ),
        sources=document.sources, refused=book.refused_by_reason(),
        balances={
            (one.network, one.address, one.asset): Balance(one.balance, one.height, one.source) for one in holdings
        },
        pictures={
            name: path.read_bytes() for name in PICTURES if (path := case.pictures / f"{name}.svg").is_file()
        },
        annexes={"links.json": case.links.read_bytes()} if linking is not None else {},
    )  # fmt: skip


def software() -> Software:
    """This program, to the byte."""
    whole, root = sha256(), files("holdfast")
    for path in sorted(Path(str(root)).rglob("*.py")):
        whole.update(path.relative_to(str(root)).as_posix().encode() + b"\0" + sha256(path.read_bytes()).digest())
    return Software("Holdfast", version("holdfast"), whole.hexdigest())


def _transfers(store: Store, trace: Trace) -> tuple[Transfer, ...]:
    """Of every transaction of the trace, and of every address that stolen money left: a second program follows them."""
    transactions: dict[str, set[str]] = defaultdict(set)
    for moved in (*trace.thefts, *(step.transfer for step in trace.steps)):
        transactions[moved.network].add(moved.transaction)
    found: dict[Transfer, None] = {}
    for network, names in transactions.items():
        found.update(dict.fromkeys(store.of_transactions(network, names)))
    for network, names in _addresses(trace).items():
        degrees = store.degrees(network, names)
        if sum(each.arriving + each.leaving for each in degrees.values()) <= BESIDE_MOST:
            found.update(dict.fromkeys((*store.arriving(network, names), *store.leaving(network, names))))
    return tuple(sorted(found, key=place))


def _addresses(trace: Trace) -> dict[str, set[str]]:
    """By network: whose transfers are all told."""
    found: dict[str, set[str]] = defaultdict(set)
    for step in trace.steps:
        if not step.transfer.outpoint:  # in the Bitcoin family the outputs of the transactions are all that counts
            found[step.transfer.network].add(step.transfer.source)
    for end in trace.ends:  # what a deposit address did afterwards is why it is called one
        if end.label is not None and end.label.kind is LabelKind.DEPOSIT:
            found[end.network].add(end.address)
    return found


def _labels(trace: Trace, transfers: Iterable[Transfer], book: KeptBook) -> tuple[Label, ...]:
    """Of every address that the report names."""
    named = {(end.network, end.address) for end in trace.ends}
    named |= {(one.network, address) for one in transfers for address in (one.source, one.target)}
    found = {label for network, address in named for label in book.once(network, address)}
    found |= {end.label for end in trace.ends if end.label is not None}
    return tuple(sorted(found, key=lambda one: (one.network, one.address, one.name, one.source, one.stated_at)))


def _evidence(case: Case) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            id=one.id, sha256=one.sha256, source=one.source, request=one.request, time=one.at, height=one.height,
            hash=one.block_hash, network=one.network,
        )
        for one in case.evidence().exhibits.values()
    )  # fmt: skip


def _plain(options: Options) -> Mapping[str, object]:
    found: dict[str, object] = msgspec.to_builtins(options)
    return found


def _in_words(options: Options) -> dict[str, str]:
    """Each limit with its value; mappings as `asset = units`."""
    said = {}
    for name, value in _plain(options).items():
        if isinstance(value, dict):
            said[name] = ", ".join(f"{key} = {each}" for key, each in sorted(value.items())) or "none of its own"
        elif isinstance(value, list):
            said[name] = ", ".join(str(each) for each in value)
        else:
            said[name] = str(value)
    return {name.replace("_", " "): value for name, value in said.items()}
