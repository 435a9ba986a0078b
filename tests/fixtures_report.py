"""A small case of its own: a theft that splits, an exchange at one end, money at rest at the other."""

from pathlib import Path

import pytest

from holdfast.trace.case import Case, CaseDocument, Theft
from holdfast.trace.follow.engine import follow
from holdfast.trace.labels.book import Book
from holdfast.trace.model import Label, LabelKind, Transfer
from holdfast.trace.store import Fresh
from holdfast.trace.store_parts import AssetFact

ETH, COIN = "eip155:1", 10**18
ASSET = f"{ETH}/slip44:60"
AT = 1_690_000_000
VICTIM, THIEF, HIS, EXCHANGE, STRANGER = (f"0x{digit * 40}" for digit in "12345")


def moved(order: int, source: str, target: str, units: int) -> Transfer:
    """One payment a block."""
    return Transfer(ETH, 100 + order, order, AT + 600 * order, f"0x{order:064x}", source, target, ASSET, units)


def theft_case(directory: Path) -> Case:
    """Traced: 10 of the victim's, 4 to an exchange after 2 of a stranger's came in, the rest at rest."""
    rows = [
        moved(1, VICTIM, THIEF, 10 * COIN), moved(2, STRANGER, HIS, 2 * COIN), moved(3, THIEF, HIS, 6 * COIN + 1),
        moved(4, HIS, EXCHANGE, 4 * COIN),
    ]  # fmt: skip
    theft = Theft(ETH, transaction=rows[0].transaction)
    case = Case.create(directory, CaseDocument("july", AT, thefts=(theft,), sources=("file:theft.csv",)))
    label = Label(ETH, EXCHANGE, "Kraken", LabelKind.DEPOSIT, "a test's list", 80, AT)
    with case.store() as store:
        store.append(Fresh(rows, "file", "", assets={ASSET: AssetFact("ETH", 18)}))
        case.save_trace(follow(store, Book([label]), [rows[0]], case.document.options))
    return case


@pytest.fixture
def case(tmp_path: Path) -> Case:
    """A traced case."""
    return theft_case(tmp_path / "case")
