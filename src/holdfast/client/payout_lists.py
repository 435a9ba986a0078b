"""Lists of payouts as spreadsheets have them: CSV with the columns `destination`, `amount` and, if wanted, `reference`.

Every row is checked before any is signed. Rows with one reference are lines of one payout; without that column, lines
are gathered in the file's order, and the references follow from its content: the same file again pays nothing twice.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.client.signing import IntentSigner, PayoutOrder, PayTo
from holdfast.core.errors import BadInput, HoldfastError
from holdfast.core.intents import LINES_MAX, Line

ROWS_MAX = 100_000
FAULTS_TOLD_MAX = 20
_COLUMNS = ("destination", "amount", "reference")


class PayoutListRefused(BadInput):
    """Rows of the list cannot be paid as they stand, so none was signed. Correct the rows that the detail names."""

    code = "payout-list-refused"

    def __init__(self, faults: Sequence[RowFault]) -> None:
        told = "; ".join(f"row {one.row}, {one.column}: {one.message}" for one in faults[:FAULTS_TOLD_MAX])
        more = f"; and {len(faults) - FAULTS_TOLD_MAX} more" if len(faults) > FAULTS_TOLD_MAX else ""
        super().__init__(told + more)
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong with one row."""

    row: int
    """As a spreadsheet counts: the header is row 1."""
    column: str
    message: str


def read_payouts(path: Path, asset: str, signer: IntentSigner) -> list[PayoutOrder]:
    """The payouts in a CSV file, none of them signed yet. Raises `PayoutListRefused`, naming every bad row."""
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise PayoutListRefused([RowFault(1, "file", f"{path}: {error.strerror}")]) from None
    except UnicodeDecodeError:
        raise PayoutListRefused([RowFault(1, "file", "not UTF-8: save it as CSV UTF-8")]) from None
    return parse_payouts(text, asset, signer)


def parse_payouts(text: str, asset: str, signer: IntentSigner) -> list[PayoutOrder]:
    """The payouts in a CSV text. Raises `PayoutListRefused`."""
    columns, rows = _table(text)
    faults: list[RowFault] = []
    lines: list[tuple[str, Line]] = []
    for number, cells in enumerate(rows, 2):
        if any(cell.strip() for cell in cells):
            lines += _row(signer, asset, number, dict(zip(columns, cells, strict=False)), faults)
    if not lines and not faults:
        faults.append(RowFault(2, "file", "no row says whom to pay"))
    by_reference = _by_reference(lines) if "reference" in columns else {}
    for reference, mine in by_reference.items():
        if len(mine) > LINES_MAX:
            faults.append(RowFault(1, "reference", f"{reference!r} has {len(mine)} rows; {LINES_MAX} are possible"))
    if faults:
        raise PayoutListRefused(faults)
    return [
        _order(asset, reference, mine) for reference, mine in (by_reference or _gathered(text, asset, lines)).items()
    ]


def _table(text: str) -> tuple[list[str], list[list[str]]]:
    """Names of the columns, and the rows below them."""
    rows = list(csv.reader(text.splitlines(), delimiter=_delimiter(text), strict=False))
    columns = [name.strip().lower() for name in rows[0]] if rows else []
    if not {"destination", "amount"} <= set(columns) <= set(_COLUMNS) or len(set(columns)) != len(columns):
        told = ", ".join(columns)[:80]
        raise PayoutListRefused(
            [RowFault(1, "header", f"{told!r}: needed are destination, amount and maybe reference")]
        )
    if len(rows) > ROWS_MAX:
        raise PayoutListRefused([RowFault(ROWS_MAX, "file", f"more than {ROWS_MAX} rows")])
    return columns, rows[1:]


def _row(
    signer: IntentSigner, asset: str, number: int, cells: dict[str, str], faults: list[RowFault]
) -> list[tuple[str, Line]]:
    """The row's line with its reference; nothing, and a fault, where it has none."""
    reference = cells.get("reference", "").strip()
    found = [RowFault(number, name, "is empty") for name in cells if not cells[name].strip()]
    found += [RowFault(number, name, "is missing") for name in ("destination", "amount") if name not in cells]
    try:
        line = signer.line(asset, PayTo(cells.get("destination", ""), cells.get("amount", "").strip()))
    except HoldfastError as error:
        column = "amount" if error.code.startswith(("amount-", "decimals-")) else "destination"
        found = found or [RowFault(number, column, f"{error.title()} {error.detail}".strip())]
        line = None
    if line is not None and line.units == 0:
        found.append(RowFault(number, "amount", "is zero"))
    if line is None or found:
        faults += found
        return []
    return [(reference, line)]


def _delimiter(text: str) -> str:
    header = text.split("\n", 1)[0]
    return max(",;\t", key=header.count)


def _by_reference(lines: Sequence[tuple[str, Line]]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for reference, line in lines:
        found.setdefault(reference, []).append(line)
    return found


def _gathered(text: str, asset: str, lines: Sequence[tuple[str, Line]]) -> dict[str, list[Line]]:
    """As many lines to a payout as it takes."""
    name = hashlib.sha256(f"{asset}\n{text}".encode()).hexdigest()[:24]
    plain = [line for _, line in lines]
    return {
        f"list {name} {place // LINES_MAX + 1}": plain[place : place + LINES_MAX]
        for place in range(0, len(plain), LINES_MAX)
    }


def _order(asset: str, reference: str, lines: Sequence[Line]) -> PayoutOrder:
    paid = [PayTo(line.destination, units=line.units) for line in lines]
    return PayoutOrder(asset=asset, lines=paid, reference=reference)
