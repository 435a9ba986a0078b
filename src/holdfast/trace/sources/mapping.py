"""Which column of a file says what: guessed from common headings, or told by a mapping file (TOML). Pure.

The reference page "Sources of transfers" has the table that stands here as `_HEADINGS`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast.core.errors import BadInput
from holdfast.trace.sources.tokens import Token

_HEADINGS: dict[str, str] = {
    "network": "network chain blockchain chainid caip2 chainname networkid",
    "time": (
        "time timestamp unixtimestamp blocktimestamp blocktime timestamputc datetimeutc datetime "
        "blocktimeutc date dateutc"
    ),
    "height": "height block blockno blocknumber blockheight blocknum",
    "order": "order logindex eventindex traceid index outputindex vout",
    "transaction": (
        "transaction transactionhash txhash hash txid tx transactionid txnhash parenttxnhash "
        "parenttransactionhash"
    ),
    "source": "source from fromaddress sender senderaddress sourceaddress src addressfrom payer inputaddress",
    "target": (
        "target to toaddress recipient receiver recipientaddress receiveraddress targetaddress "
        "destination dst addressto txto payee outputaddress"
    ),
    "amount": (
        "amount value quantity tokenvalue tokenamount valueeth amounteth valuebtc amountbtc "
        "quantitydecimal valuedecimal"
    ),
    "units": "units rawamount amountraw rawvalue valueraw valuewei amountwei satoshis valuesat",
    "asset": "asset assetid tokensymbol symbol token currency coin assetsymbol tokenname",
    "contract": "contract contractaddress tokenaddress tokencontract tokencontractaddress assetcontract",
    "decimals": "decimals tokendecimal tokendecimals assetdecimals",
    "failed": "iserror errcode error",
    "status": "status txreceiptstatus receiptstatus success",
    "movement": "movement",
    "outpoint": "outpoint",
    "memo": "memo",
}  # fmt: skip
"""By what is meant: headings, in small letters and without anything but letters and digits; the first there wins."""
FIELDS = tuple(_HEADINGS)
_IN_UNITS = ({"gasprice"}, {"tokendecimal"}, {"cumulativegasused"}, {"tokenaddress", "logindex"})
"""Headings of raw dumps of a chain (Ethereum ETL, an explorer's API): there `value` counts smallest units."""
_VALUED = re.compile(r"(value|amount)(in)?(usd|eur|gbp|chf|jpy)")
_PAIR = re.compile(r"(value|amount)(in|out)([a-z]{2,8})")


class MappingMalformed(BadInput):
    """The mapping file cannot be used. Correct what the detail names; the reference page lists what it may hold."""

    code = "mapping-malformed"


class ColumnsUnknown(BadInput):
    """The file's headings do not say who paid whom how much. Write a mapping file that names the columns."""

    code = "columns-unknown"


class MappedAsset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a symbol means where the file gives no contract."""

    asset: str
    """CAIP-19."""
    decimals: int


class FileMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of a mapping file. Everything may be left out."""

    network: str = ""
    """Of rows that name none."""
    columns: dict[str, str] = {}
    """By what is meant (`FIELDS`): the heading, exactly."""
    constants: dict[str, str] = {}
    """By what is meant: what every row says, where there is no column."""
    assets: dict[str, MappedAsset] = {}
    """By symbol."""
    currency: str = ""
    """ISO 4217: the amounts are values in this currency, not amounts of a coin."""
    decimals: int = 18
    """Of tokens of which nobody tells it."""
    time_format: str = ""
    """As `strptime` has it, for times that are not ISO 8601."""
    keep_repeated: bool = False
    """Whether the very same row twice is two transfers."""
    listed_only: bool = False
    """Whether tokens on no list are left out."""
    token: tuple[Token, ...] = ()
    """Tokens that are admitted beside those of Holdfast's own list."""


class Columns(msgspec.Struct, frozen=True):
    """Where everything stands in a row."""

    places: dict[str, int]
    """By what is meant: the column's number."""
    pair: tuple[int, ...] = ()
    """Columns for what came in and went out, one of them empty or zero; they are added."""
    currency: str = ""
    symbol: str = ""
    """Told by the heading of the amount."""


def read_mapping(path: Path) -> FileMapping:
    """A mapping file. Raises `MappingMalformed`."""
    try:
        mapping = msgspec.convert(tomllib.loads(path.read_text("utf-8")), FileMapping)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise MappingMalformed(f"{path.name}: {str(error)[:200]}") from None
    unknown = (mapping.columns.keys() | mapping.constants.keys()) - set(FIELDS)
    if unknown:
        raise MappingMalformed(f"{path.name}: {', '.join(sorted(unknown))}: there is no such field")
    return mapping


def columns_of(headings: Sequence[str], mapping: FileMapping) -> Columns:
    """Where everything stands. Raises `ColumnsUnknown`, `MappingMalformed`."""
    plain = ["".join(char for char in heading.lower() if char.isalnum()) for heading in headings]
    places = {}
    for field, guesses in _HEADINGS.items():
        if field in mapping.columns:
            if mapping.columns[field] not in headings:
                raise MappingMalformed(f"there is no column {mapping.columns[field]!r}")
            places[field] = headings.index(mapping.columns[field])
        elif field not in mapping.constants:
            found = [plain.index(guess) for guess in guesses.split() if guess in plain]
            if found:
                places[field] = found[0]
    if "amount" in places and "amount" not in mapping.columns and any(each <= set(plain) for each in _IN_UNITS):
        places["units"] = places.pop("amount")
    columns = _with_amount(places, plain, mapping)
    missing = [
        field for field in ("source", "target") if field not in columns.places and field not in mapping.constants
    ]  # fmt: skip
    has_amount = {"amount", "units"} & (columns.places.keys() | mapping.constants.keys()) or columns.pair
    if missing or not has_amount:
        raise ColumnsUnknown(f"{', '.join(missing) or 'amount'} among {', '.join(headings)[:200]}")
    return columns


def _with_amount(places: dict[str, int], plain: Sequence[str], mapping: FileMapping) -> Columns:
    """Headings of amounts that say more: a currency, or in and out apart."""
    if "amount" in places or "units" in places:
        return Columns(places, currency=mapping.currency)
    found = {heading: number for number, heading in enumerate(plain) if _PAIR.fullmatch(heading)}
    for heading, number in found.items():
        kind, _, symbol = _PAIR.fullmatch(heading).groups()  # type: ignore[union-attr]  # matched above
        other = f"{kind}out{symbol}" if heading == f"{kind}in{symbol}" else ""
        if other in found:
            return Columns(places, (number, found[other]), symbol=symbol.upper())
    for number, heading in enumerate(plain):
        match = _VALUED.fullmatch(heading)
        if match is not None:
            return Columns({**places, "amount": number}, currency=mapping.currency or match[3].upper())
    for heading, number in found.items():
        match = _PAIR.fullmatch(heading)
        if match is not None and match[2] == "in":
            return Columns({**places, "amount": number}, symbol=match[3].upper())
    return Columns(places, currency=mapping.currency)
