"""Rows of an explorer's lists made into transfers, by the same rules as a node's. Pure.

The shape is the one that Etherscan published and others copied: `txlist`, `txlistinternal`, `tokentx`, every field a
text.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from holdfast.trace.flows import UNITS_MAX
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources.amounts import AmountUnreadable, TimeUnreadable, read_time, read_units
from holdfast.trace.sources.places import address_on
from holdfast.trace.sources.port import ORDER_BITS, LeftOut, Noticed
from holdfast.trace.sources.rows import RowRefused
from holdfast.trace.sources.tokens import TokenList
from holdfast.trace.store_parts import AssetFact

_INSIDE, _LOGS, _FEE = 1, 1 << 22, (1 << ORDER_BITS) - 1
_LATE = 1 << 23
"""Place of a transaction whose place in its block no list has told: after all others."""
_HASH_LETTERS = 66


@dataclass(slots=True)
class RowTeller:
    """Makes transfers of one network's rows; keeps count of what it left out."""

    network: str
    coin: str
    """CAIP-19."""
    tokens: TokenList
    left_out: Counter[str] = field(default_factory=Counter)
    noticed: Counter[str] = field(default_factory=Counter)
    assets: dict[str, AssetFact] = field(default_factory=dict)
    _places: dict[str, int] = field(default_factory=dict)
    _within: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))

    def tell(self, action: str, row: Mapping[str, object], evidence: str) -> list[Transfer]:
        """What one row moved; what of it is refused is counted. A transaction pays its fee whatever became of it."""
        told: list[Transfer] = []
        for part in (self._fee, self._moved):
            try:
                moved = part(action, row)
            except RowRefused as refused:
                self.left_out[refused.reason] += 1
                break
            except (AmountUnreadable, TimeUnreadable):
                self.left_out[LeftOut.MALFORMED] += 1
                break
            told += [msgspec.structs.replace(moved, evidence=evidence)] if moved is not None else []
        return told

    def _fee(self, action: str, row: Mapping[str, object]) -> Transfer | None:
        if action != "txlist":
            return None
        if _text(row, "transactionIndex"):
            self._places[_name(row)] = read_units(_text(row, "transactionIndex"))
        fee = read_units(_text(row, "gasUsed") or "0") * read_units(_text(row, "gasPrice") or "0")
        return self._made(row, FEES, (fee, self.coin), (Movement.FEE, _FEE)) if fee else None

    def _moved(self, action: str, row: Mapping[str, object]) -> Transfer | None:
        if _text(row, "isError") == "1" or _text(row, "txreceipt_status") == "0":
            raise RowRefused(LeftOut.FAILED)
        units = read_units(_text(row, "value"))
        if not units or units >= UNITS_MAX:
            raise RowRefused(LeftOut.UNITS if units else LeftOut.NOTHING)
        if action == "tokentx":
            how = (Movement.TOKEN, _LOGS + self._next(_name(row), action))
            return self._made(row, _text(row, "to"), (units, self._asset(row)), how)
        target = _text(row, "to") or _text(row, "contractAddress")
        if action == "txlistinternal":
            how = (Movement.INTERNAL, _INSIDE + self._next(_name(row), action))
            return self._made(row, target, (units, self.coin), how)
        return self._made(row, target, (units, self.coin), (Movement.COIN, 0))

    def _made(
        self, row: Mapping[str, object], target: str, what: tuple[int, str], how: tuple[Movement, int]
    ) -> Transfer:
        """A transfer of so many units of an asset, at its place on the chain."""
        name = _name(row)
        place = self._places.get(name, _LATE)
        return Transfer(
            network=self.network,
            height=read_units(_text(row, "blockNumber")),
            order=(place << ORDER_BITS) + how[1],
            time=read_time(_text(row, "timeStamp")),
            transaction=name,
            source=self._address(_text(row, "from")),
            target=target if target == FEES else self._address(target),
            asset=what[1],
            units=what[0],
            movement=how[0],
        )

    def _next(self, name: str, action: str) -> int:
        self._within[name, action] += 1
        return self._within[name, action] - 1

    def _address(self, text: str) -> str:
        address = address_on(self.network, text)
        if not address:
            raise RowRefused(LeftOut.MALFORMED)
        return address

    def _asset(self, row: Mapping[str, object]) -> str:
        places = _text(row, "tokenDecimal")
        verdict = self.tokens.judge(
            self.network, self._address(_text(row, "contractAddress")), _text(row, "tokenSymbol"),
            read_units(places) if places else None,
        )  # fmt: skip
        if verdict.fact is None:
            raise RowRefused(verdict.refused or LeftOut.MALFORMED)
        if not verdict.fact.is_listed:
            self.noticed[Noticed.UNLISTED] += 1
            self.noticed[Noticed.DECIMALS] += not places
        self.assets[verdict.asset] = verdict.fact
        return verdict.asset


def _name(row: Mapping[str, object]) -> str:
    name = _text(row, "hash").lower()
    if len(name) != _HASH_LETTERS:
        raise RowRefused(LeftOut.MALFORMED)
    return name


def _text(row: Mapping[str, object], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else str(value) if isinstance(value, int) else ""
