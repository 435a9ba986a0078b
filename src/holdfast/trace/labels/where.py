"""Where is it now: what a trace leaves at each service, unspent, and at addresses whose tokens an issuer can freeze.

Pure. What a node says of a freezable balance, at a block, is an argument (`issuer_reads`): a trace tells what lay
there, only the token's contract tells what still does, and whether it is frozen already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from holdfast.trace.labels.addresses import key_of
from holdfast.trace.model import End, EndKind, LabelKind, Trace
from holdfast.trace.report.classes import issuer_of


class Lies(StrEnum):
    """In what sort of place it is; the one that can be acted upon soonest first."""

    FREEZABLE = "freezable"
    """Unspent, and the token's issuer can freeze it."""
    FROZEN = "frozen"
    SERVICE = "service"
    UNSPENT = "unspent"
    LOST_SIGHT = "lost-sight-of"
    """Followed no further: below a limit, after the last moment, or unreadable."""


class Holding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a node says of an address's tokens at the end of one block."""

    network: str
    address: str
    asset: str
    balance: int
    is_frozen: bool | None
    """None: the contract has no such list, or does not answer."""
    height: int
    block: str
    source: str
    """Which node."""


class Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of the table."""

    lies: Lies
    owner: str
    """The service, or the issuer who can freeze it; empty: nobody can be asked."""
    network: str
    asset: str
    addresses: tuple[str, ...]
    units: dict[str, int]
    """By policy: how much of the theft lies there, in units of the asset."""
    confidence: int
    """Of the least sure label or step behind it, 0 to 100."""
    contract: str = ""
    """The token's, where an issuer can freeze it."""
    holdings: tuple[Holding, ...] = ()
    detail: str = ""


def where_is_it(trace: Trace, holdings: Iterable[Holding] = ()) -> tuple[Row, ...]:
    """The table: a row for each service and asset, for each freezable address, and for all else by asset.

    Per asset and policy the rows' units add up to those of the trace's ends.
    """
    known = {(each.network, key_of(each.network, each.address)[1], each.asset): each for each in holdings}
    ends: dict[tuple[Lies, str, str, str, str], list[End]] = defaultdict(list)
    for end in trace.ends:
        ends[_line(end, known)].append(end)
    rows = [_row(line, found, known) for line, found in ends.items()]
    order = list(Lies)
    return tuple(
        sorted(rows, key=lambda row: (order.index(row.lies), row.owner, row.network, row.asset, row.addresses))
    )


def _line(end: End, known: Mapping[tuple[str, str, str], Holding]) -> tuple[Lies, str, str, str, str]:
    """Which line an end belongs to; freezable ones have a line each, for each must be asked for by its address."""
    issuer = issuer_of(end.asset)
    if end.kind is EndKind.SERVICE:
        return Lies.SERVICE, end.label.name if end.label else "", end.network, end.asset, ""
    if end.kind is not EndKind.UNSPENT:
        return Lies.LOST_SIGHT, "", end.network, end.asset, end.kind
    if issuer is None:
        return Lies.UNSPENT, "", end.network, end.asset, ""
    holding = known.get((end.network, key_of(end.network, end.address)[1], end.asset))
    is_frozen = holding is not None and holding.is_frozen is True
    is_frozen = is_frozen or (end.label is not None and end.label.kind is LabelKind.FROZEN)
    return Lies.FROZEN if is_frozen else Lies.FREEZABLE, issuer.name, end.network, end.asset, end.address


def _row(line: tuple[Lies, str, str, str, str], ends: list[End], known: Mapping[tuple[str, str, str], Holding]) -> Row:
    lies, owner, network, asset, detail = line
    units: dict[str, int] = defaultdict(int)
    for end in ends:
        for policy, lying in end.lies.items():
            units[policy] += lying
    is_token = lies in (Lies.FREEZABLE, Lies.FROZEN)
    held = [known.get((end.network, key_of(end.network, end.address)[1], end.asset)) for end in ends]
    return Row(
        lies=lies,
        owner=owner,
        network=network,
        asset=asset,
        addresses=tuple(sorted({end.address for end in ends})),
        units=dict(units),
        confidence=min((end.label.confidence for end in ends if end.label is not None), default=100),
        contract=asset.rpartition(":")[2] if is_token else "",
        holdings=tuple(each for each in held if each is not None) if is_token else (),
        detail=detail if lies is Lies.LOST_SIGHT else "",
    )
