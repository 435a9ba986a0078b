"""The Atomic Wallet theft as its verifiers wrote it down, as a trace with their own labels."""

import csv
from datetime import UTC, datetime

from fixtures_link import ETH, ETHEREUM
from fixtures_real_data import RealData
from holdfast.core.evm import parse_address
from holdfast.trace.labels.book import Book
from holdfast.trace.link.incident import Incident
from holdfast.trace.model import Label, LabelKind, Reason, Step, Trace, Transfer
from holdfast.trace.reading import ListedTransfers


def kind_of(name: str) -> LabelKind:
    """As the paper writes its labels: `Binance_Deposit_0x12ab`, `THORChain_vault_…`."""
    if "Deposit" in name:
        return LabelKind.DEPOSIT
    return next(
        (k for n, k in (("SWFT", LabelKind.SWAPPER), ("THOR", LabelKind.BRIDGE)) if n in name), LabelKind.EXCHANGE
    )


def atomic(real_data: RealData) -> Incident:
    """The verified theft as a trace: its own labels are the services."""
    with (real_data.atomic / "Atomic.csv").open() as file:
        rows = list(csv.DictReader(file))
    sources = {parse_address(line) for line in (real_data.atomic / "source addresses.csv").read_text().split()}
    ends = {parse_address(line) for line in (real_data.atomic / "terminal addresses.csv").read_text().split()}
    moved = []
    for number, row in enumerate(rows):
        time = int(datetime.strptime(row["Timestamp"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
        cents = int(row["Value_in_USD"].split(".")[0]) + 1
        ends_ = parse_address(row["From"]), parse_address(row["To"])
        moved.append(Transfer(ETHEREUM, int(row["Block"]), number, time, row["Tx_hash"], *ends_, ETH, cents))
    moved.sort(key=lambda each: (each.time, each.order))
    named = {parse_address(row["To"]): row["To_label"] for row in rows}
    labels = [
        Label(ETHEREUM, address, named[address].split("_")[0], kind_of(named[address]), "the paper's authors", 90, 0)
        for address in sorted(ends)
    ]
    thefts = [each for each in moved if each.target in sources]
    roots = tuple((ETHEREUM, address) for address in sorted(sources))
    steps = [
        Step(f"E{n:04d}", each, 1, Reason.THEFT if each.target in sources else Reason.DIRECT, 95, {})
        for n, each in enumerate(moved, 1)
    ]
    return Incident("atomic", Trace(thefts, steps), ListedTransfers(moved), Book(labels), roots)
