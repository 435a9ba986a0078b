"""Deposit addresses by behaviour: those of exchanges are named, those of people and thieves are not."""

import csv
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fixtures_economy import COIN, DAY, ETHER, NETWORK, START, USDT, Economy, Exchange
from fixtures_real_data import RealData
from holdfast.core.evm import parse_address
from holdfast.trace.labels.book import Book
from holdfast.trace.labels.deposits import Found, NamesWithBehaviour, owner_of, recognise
from holdfast.trace.model import LabelKind
from holdfast.trace.reading import ListedTransfers

UNTIL = START + 100 * DAY


@dataclass
class Made:
    """An economy with two exchanges; `Alpha`'s wallets are labelled."""

    economy: Economy = field(default_factory=lambda: Economy(11))
    people: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.people = [self.economy.address() for _ in range(600)]
        self.alpha, self.beta = self.economy.exchange("Alpha"), self.economy.exchange("Beta")
        for exchange in (self.alpha, self.beta):
            self.economy.customers(exchange, 200, self.people, UNTIL)
            self.economy.pay_customers(exchange, 900, self.people, UNTIL)
        self.economy.noise(2000, self.people, UNTIL)

    def found(self, *labelled: Exchange) -> dict[str, Found]:
        rows = self.economy.transfers()
        everybody = {row.source for row in rows} | {row.target for row in rows}
        return recognise(ListedTransfers(rows), Book(self.economy.labels(labelled)), NETWORK, everybody)


@pytest.fixture(scope="module")
def made() -> Made:
    return Made()


def test_deposits_of_an_exchange_whose_wallets_are_known_bear_its_name_and_nobody_elses_does(made: Made) -> None:
    found = made.found(made.alpha, made.beta)
    forwarded = {row.source for row in made.economy.transfers()}
    assert {each for each in found if found[each].label.name == "Alpha"} == set(made.alpha.deposits) & forwarded
    assert set(found) <= {*made.alpha.deposits, *made.beta.deposits}


def test_deposits_of_an_exchange_that_nobody_labelled_are_recognised_as_some_services(made: Made) -> None:
    found = made.found(made.alpha)
    unnamed = {each for each in found if found[each].label.name.startswith("unnamed service")}
    assert len(unnamed & set(made.beta.deposits)) > 150
    assert unnamed <= set(made.beta.deposits)
    assert max(found[each].label.confidence for each in unnamed) < max(each.label.confidence for each in found.values())


def test_a_label_says_why_in_figures(made: Made) -> None:
    found = next(iter(made.found(made.alpha).values()))
    assert found.label.kind is LabelKind.DEPOSIT
    assert "forwards passed on all that had arrived" in found.label.source


def test_several_receipts_that_are_forwarded_together_and_gas_that_is_sent_ahead_fit_the_behaviour() -> None:
    economy = Economy(3)
    exchange = economy.exchange("Alpha")
    deposit, payer = economy.address(), economy.address()
    for hour in range(3):
        economy.pay(START + 3600 * hour, payer, deposit, 1_000_000, USDT)
    economy.pay(START + 10_000, exchange.feeder, deposit, ETHER // 500)
    economy.pay(START + 10_012, deposit, exchange.hot[0], 3_000_000, USDT)
    found = recognise(ListedTransfers(economy.transfers()), Book(economy.labels([exchange])), NETWORK, [deposit])
    assert exchange.feeder in found[deposit].why


@pytest.mark.parametrize("what", ["keeps half", "pays others too", "pays a person", "pays a swapper's own wallet"])
def test_who_does_not_behave_as_a_deposit_address_is_none(what: str) -> None:
    economy = Economy(4)
    exchange = economy.exchange("Alpha")
    person, payer = economy.address(), economy.address()
    economy.pay(START, payer, person, 10 * ETHER)
    kept = 5 * ETHER if what == "keeps half" else ETHER // 1000
    target = economy.address() if what == "pays a person" else exchange.hot[0]
    economy.pay(START + 600, person, target, 10 * ETHER - kept)
    if what == "pays others too":
        economy.pay(START + 700, payer, person, ETHER)
        economy.pay(START + 900, person, economy.address(), ETHER - ETHER // 1000)
    labels = economy.labels([exchange])
    if what == "pays a swapper's own wallet":
        labels = [type(each)(NETWORK, each.address, "SWFT", LabelKind.SWAPPER, "list", 80, START) for each in labels]
    assert recognise(ListedTransfers(economy.transfers()), Book(labels), NETWORK, [person]) == {}


def test_a_launderers_ring_that_gathers_at_one_address_is_no_service() -> None:
    economy = Economy(5)
    gathering, ring = economy.address(), [economy.address() for _ in range(300)]
    for number, each in enumerate(ring):
        economy.pay(START + number * 60, economy.address(), each, ETHER)
        economy.pay(START + number * 60 + 600, each, gathering, ETHER - 10**15)
    for number in range(150):
        economy.pay(START + DAY + number, gathering, economy.address(), ETHER)
    assert recognise(ListedTransfers(economy.transfers()), Book(), NETWORK, [gathering, *ring]) == {}


def test_names_with_behaviour_answer_where_the_book_is_silent(made: Made) -> None:
    rows = made.economy.transfers()
    names = NamesWithBehaviour(Book(made.economy.labels([made.alpha])), ListedTransfers(rows))
    deposit = next(each for each in made.alpha.deposits if any(row.source == each for row in rows))
    service = names.service(NETWORK, deposit, START)
    assert service is not None
    assert (service.name, service.kind) == ("Alpha", LabelKind.DEPOSIT)
    assert names.service(NETWORK, made.people[0], START) is None


def test_an_owner_is_what_a_wallets_name_has_without_its_number() -> None:
    names = ["Binance 14", "Binance: Hot Wallet", "okx ERC20 reserves", "Gate.io 1", "Crypto.com 3", "8BTC"]
    assert [owner_of(name) for name in names] == ["Binance", "Binance", "okx", "Gate.io", "Crypto", "8BTC"]


@pytest.mark.parametrize("seed", [1, 2])
def test_ends_of_a_real_heist_that_no_public_label_names_are_named_by_their_behaviour(
    real_data: RealData, seed: int
) -> None:
    """The labels of the Atomic Wallet's answer key are hidden; the exchanges' own wallets are known, as they are."""
    truth, heist, found = _replayed(real_data.atomic, seed)
    assert len(truth) == 79
    named = {each for each in truth if each in found}
    assert len(named) == 79
    assert all(found[each].label.name == truth[each] for each in named)
    assert [each for each in found if each in heist and each not in truth] == []


def _replayed(folder: Path, seed: int) -> tuple[dict[str, str], set[str], dict[str, Found]]:
    with (folder / "Atomic.csv").open() as file:
        rows = list(csv.DictReader(file))
    truth = {
        parse_address(row["To"].lower()): row["To_label"].split("_Deposit")[0]
        for row in rows
        if "_Deposit" in row["To_label"]
    }
    ends = {parse_address(line) for line in (folder / "terminal addresses.csv").read_text().lower().split()}
    truth = {each: name for each, name in truth.items() if each in ends}
    economy = Economy(seed)
    people = [economy.address() for _ in range(1000)]
    exchanges = {name: economy.exchange(name) for name in sorted(set(truth.values()))}
    for exchange in exchanges.values():
        economy.customers(exchange, 100, people, UNTIL)
        economy.pay_customers(exchange, 150, people, UNTIL)
    economy.noise(5000, people, UNTIL)
    receipts: dict[str, list[tuple[int, str, int]]] = {}
    heist = set()
    for row in rows:
        time = int(datetime.fromisoformat(row["Timestamp"]).replace(tzinfo=UTC).timestamp())
        source, target = parse_address(row["From"].lower()), parse_address(row["To"].lower())
        units = int(row["Value_in_USD"].partition(".")[0]) * ETHER // 1900
        heist |= {source, target}
        economy.pay(time, source, target, units)
        receipts.setdefault(target, []).append((time, COIN, units))
    for end, name in truth.items():
        economy.forward(exchanges[name], end, receipts[end])
    transfers = economy.transfers()
    everybody = {row.source for row in transfers} | {row.target for row in transfers}
    names = Book(economy.labels(list(exchanges.values())))
    return truth, heist, recognise(ListedTransfers(transfers), names, NETWORK, everybody)
