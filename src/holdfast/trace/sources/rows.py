"""One row of a file, made into a transfer or refused with its reason. Pure: the same rules whatever the format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.core.errors import BadInput
from holdfast.core.networks import NetworkUnknown
from holdfast.trace.flows import UNITS_MAX
from holdfast.trace.model import FEES, Movement, Transfer
from holdfast.trace.sources.amounts import AmountUnreadable, TimeUnreadable, read_amount, read_time, read_units
from holdfast.trace.sources.lookalikes import skeleton
from holdfast.trace.sources.mapping import Columns, FileMapping
from holdfast.trace.sources.places import address_on, coin_of, network_named, network_of_form, transaction_on
from holdfast.trace.sources.port import LeftOut, Noticed
from holdfast.trace.sources.tokens import TokenList, asset_of
from holdfast.trace.store_parts import AssetFact

_CENTS = 2
_FALSE = frozenset({"", "0", "false", "no", "none", "null", "nan", "-"})
_BAD_STATUS = ("0", "false", "fail", "error", "revert")
_MOVEMENTS = {each.value: each for each in Movement}


class RowRefused(BadInput):
    """A row of a file is no transfer that can be followed. Look at its reason; the rest of the file was read."""

    code = "row-refused"

    def __init__(self, reason: LeftOut, detail: str = "") -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _What:
    asset: str
    fact: AssetFact


class Reader:
    """Reads the rows of one file; keeps count of what it noticed, and of the assets that it met."""

    def __init__(self, columns: Columns, mapping: FileMapping, tokens: TokenList, *, evidence: str = "") -> None:
        """`evidence`: the exhibit that the file is."""
        self._columns, self._mapping, self._tokens = columns, mapping, tokens
        self._evidence = evidence
        self.noticed: Counter[str] = Counter()
        self.assets: dict[str, AssetFact] = {}

    def read(self, row: Sequence[str], number: int, width: int) -> Transfer:
        """The transfer of a row; `number` is its place in time. Raises `RowRefused`."""
        if len(row) != width:
            raise RowRefused(LeftOut.MALFORMED, f"{len(row)} columns, not {width}")
        try:
            return self._read(row, number)
        except (AmountUnreadable, TimeUnreadable) as error:
            raise RowRefused(LeftOut.MALFORMED, error.detail) from None
        except NetworkUnknown as error:
            raise RowRefused(LeftOut.NETWORK, error.detail) from None

    def _read(self, row: Sequence[str], number: int) -> Transfer:
        if self._text(row, "failed").lower() not in _FALSE:
            raise RowRefused(LeftOut.FAILED)
        if self._text(row, "status").lower().startswith(_BAD_STATUS):
            raise RowRefused(LeftOut.FAILED)
        network = self._network(row)
        movement = self._movement(row)
        transaction = transaction_on(network, self._text(row, "transaction"))
        if not transaction and "transaction" in self._columns.places:
            raise RowRefused(LeftOut.MALFORMED, "no transaction")
        source = self._address(row, network, "source", is_transaction=movement in (Movement.OUTPUT, Movement.FEE))
        target = self._address(row, network, "target", is_transaction=movement is Movement.INPUT)
        what = self._what(row, network)
        units = self._units(row, what)
        self.assets.setdefault(what.asset, what.fact)
        if not what.fact.is_listed:
            self.noticed[Noticed.UNLISTED] += 1
        order = self._text(row, "order") if "units" in self._columns.places and movement is not None else ""
        return Transfer(
            network=network,
            height=self._height(row),
            order=read_units(order) if order else number,
            time=self._time(row),
            transaction=transaction or f"row-{number}",
            source=source,
            target=target,
            asset=what.asset,
            units=units,
            movement=movement or (Movement.TOKEN if "/slip44:" not in what.asset else Movement.COIN),
            outpoint=self._text(row, "outpoint"),
            evidence=self._evidence,
            memo=self._text(row, "memo"),
        )

    def _text(self, row: Sequence[str], field: str) -> str:
        place = self._columns.places.get(field)
        return row[place].strip() if place is not None else self._mapping.constants.get(field, "")

    def _network(self, row: Sequence[str]) -> str:
        said = self._text(row, "network") or self._mapping.network
        if said:
            network = network_named(said)
        else:
            network = network_of_form(self._text(row, "source")) or network_of_form(self._text(row, "target"))
            self.noticed[Noticed.NETWORK] += bool(network)
        if not network:
            raise RowRefused(LeftOut.NETWORK if said else LeftOut.MALFORMED, said[:60])
        return network

    def _movement(self, row: Sequence[str]) -> Movement | None:
        text = self._text(row, "movement").lower()
        if text and text not in _MOVEMENTS:
            raise RowRefused(LeftOut.MALFORMED, f"movement {text[:40]!r}")
        return _MOVEMENTS.get(text)

    def _address(self, row: Sequence[str], network: str, field: str, *, is_transaction: bool) -> str:
        text = self._text(row, field)
        if not text and field == "target" and self._columns.symbol:
            text = self._text(row, "contract")  # a contract that was made has no other target
        if is_transaction or text == FEES or text.startswith("script:"):
            return text
        address = address_on(network, text)
        if not address:
            raise RowRefused(LeftOut.MALFORMED, f"{field} {text[:80]!r}")
        return address

    def _what(self, row: Sequence[str], network: str) -> _What:
        currency = self._columns.currency
        if currency:
            return _What(f"{network}/iso4217:{currency}", AssetFact(currency, _CENTS))
        symbol, contract = self._text(row, "asset"), self._text(row, "contract")
        if self._columns.symbol:
            symbol, contract = self._columns.symbol, ""
        if symbol in self._mapping.assets and not contract:
            mapped = self._mapping.assets[symbol]
            return _What(mapped.asset, AssetFact(symbol, mapped.decimals))
        if not contract and address_on(network, symbol):
            symbol, contract = "", symbol
        if "/" in symbol and symbol.startswith(f"{network}/"):
            return self._named(row, network, symbol)
        if contract.lower() not in _FALSE:
            return self._token(row, network, contract, symbol)
        return self._by_symbol(row, network, symbol)

    def _named(self, row: Sequence[str], network: str, asset: str) -> _What:
        """By its CAIP-19 id."""
        coin = coin_of(network)
        if asset == coin.asset:
            return _What(asset, AssetFact(coin.symbol, coin.decimals))
        kind, _, reference = asset.partition("/")[2].partition(":")
        if kind in ("erc20", "trc20"):
            return self._token(row, network, reference, "")
        return _What(asset, AssetFact(reference[:32], self._decimals(row) or 0))

    def _token(self, row: Sequence[str], network: str, contract: str, symbol: str) -> _What:
        address = address_on(network, contract)
        if not address:
            raise RowRefused(LeftOut.MALFORMED, f"contract {contract[:80]!r}")
        places = self._decimals(row)
        verdict = self._tokens.judge(network, address, symbol, places)
        if verdict.refused is not None or verdict.fact is None:
            raise RowRefused(verdict.refused or LeftOut.MALFORMED, symbol[:40])
        fact = verdict.fact
        if places is None and not fact.is_listed:
            self.noticed[Noticed.DECIMALS] += 1
            fact = AssetFact(fact.symbol, self._mapping.decimals, is_listed=False)
        return _What(verdict.asset, fact)

    def _by_symbol(self, row: Sequence[str], network: str, symbol: str) -> _What:
        """A file that gives no contract: the coin, a listed token's exact symbol, or an asset of its own."""
        coin = coin_of(network)
        if not symbol or symbol.upper() == coin.symbol.upper():
            return _What(coin.asset, AssetFact(coin.symbol, coin.decimals))
        token = self._tokens.by_symbol(network, symbol)
        if token is not None:
            return _What(asset_of(network, token.contract), AssetFact(token.symbol, token.decimals))
        verdict = self._tokens.judge(network, f"symbol-{skeleton(symbol)}", symbol, self._decimals(row))
        if verdict.refused is not None:
            raise RowRefused(verdict.refused, symbol[:40])
        self.noticed[Noticed.DECIMALS] += self._decimals(row) is None
        places = self._decimals(row)
        fact = AssetFact(symbol[:32], self._mapping.decimals if places is None else places, is_listed=False)
        return _What(f"{network}/symbol:{skeleton(symbol)[:64]}", fact)

    def _decimals(self, row: Sequence[str]) -> int | None:
        text = self._text(row, "decimals")
        return read_units(text) if text.lower() not in _FALSE - {"0"} else None

    def _units(self, row: Sequence[str], what: _What) -> int:
        text = self._text(row, "units")
        if text:
            units, is_rounded = read_units(text), False
        else:
            places = self._columns.pair
            texts = [row[place].strip() for place in places] if places else [self._text(row, "amount")]
            read = [read_amount(each, what.fact.decimals) for each in texts if each or not places]
            units, is_rounded = sum(each for each, _ in read), any(rounded for _, rounded in read)
        if not units:
            raise RowRefused(LeftOut.NOTHING)
        if units >= UNITS_MAX:
            raise RowRefused(LeftOut.UNITS)
        self.noticed[Noticed.ROUNDED] += is_rounded
        return units

    def _height(self, row: Sequence[str]) -> int:
        text = self._text(row, "height").replace(",", "")
        height = read_units(text) if text else 0
        if height >= 1 << 62:
            raise RowRefused(LeftOut.MALFORMED, "height")
        return height

    def _time(self, row: Sequence[str]) -> int:
        has_time = "time" in self._columns.places or "time" in self._mapping.constants
        return read_time(self._text(row, "time"), self._mapping.time_format) if has_time else 0
