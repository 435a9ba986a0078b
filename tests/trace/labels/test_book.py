"""The book of labels: conflicts stay visible, time counts, and what another process adds is live at once."""

import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.trace.labels.addresses import ANY_EVM
from holdfast.trace.labels.book import Book
from holdfast.trace.labels.claims import Decision, Feed
from holdfast.trace.labels.shelf import ClaimNotFound, KeptBook, Shelf, ShelfUnreadable
from holdfast.trace.model import Label, LabelKind

ETHEREUM, BASE = "eip155:1", "eip155:8453"
HOT = "0x28C6c06298d514Db089934071355E5743bf21d60"
AT = 1_700_000_000


def label(kind: LabelKind, name: str, confidence: int = 60, network: str = ETHEREUM, **more: int) -> Label:
    return Label(network, HOT, name, kind, f"source of {name}", confidence, AT, **more)


def test_an_address_is_sanctioned_from_one_day_until_another() -> None:
    book = Book([label(LabelKind.SANCTIONED, "X", valid_from=100, valid_until=200)])
    assert [len(book.labels(ETHEREUM, HOT, at)) for at in (99, 100, 199, 200)] == [0, 1, 1, 0]
    assert len(book.once(ETHEREUM, HOT)) == 1


def test_what_two_sources_say_is_kept_twice_the_surer_first_and_the_conflict_is_told() -> None:
    book = Book([label(LabelKind.THEFT, "Exploiter", 50), label(LabelKind.EXCHANGE, "Binance 14", 80)])
    assert [each.name for each in book.labels(ETHEREUM, HOT, AT)] == ["Binance 14", "Exploiter"]
    (conflict,) = book.conflicts(AT)
    assert "speaks ill" in conflict.why
    found = book.service(ETHEREUM, HOT, AT)
    assert found is not None
    assert found.name == "Binance 14"


def test_two_wallets_names_of_one_owner_are_no_conflict() -> None:
    book = Book([label(LabelKind.EXCHANGE, "Binance 14"), label(LabelKind.EXCHANGE, "binance.com")])
    assert book.conflicts(AT) == ()


def test_an_account_is_the_same_on_every_evm_network_but_a_contract_is_not() -> None:
    account, contract = label(LabelKind.EXCHANGE, "Binance 14", 80), label(LabelKind.DEX, "Router", 80)
    (elsewhere,) = Book([account]).labels(BASE, HOT.lower(), AT)
    assert (elsewhere.confidence, "said of eip155:1" in elsewhere.source) == (40, True)
    assert Book([contract]).labels(BASE, HOT, AT) == []
    everywhere = label(LabelKind.SANCTIONED, "X", 95, network=ANY_EVM)
    assert Book([everywhere]).labels(BASE, HOT, AT) == [everywhere]


def test_what_is_kept_is_there_when_the_book_is_opened_again(tmp_path: Path) -> None:
    Shelf(tmp_path).keep(Feed("a", "a", AT, "00", labels=(label(LabelKind.EXCHANGE, "Binance 14"),)))
    assert KeptBook(tmp_path).service(ETHEREUM, HOT, AT) is not None


def test_an_address_that_another_process_adds_is_live_without_a_restart(tmp_path: Path) -> None:
    book = KeptBook(tmp_path)
    assert book.labels(ETHEREUM, HOT, AT) == []
    assert book.refresh() is False
    told = tmp_path / "peer.csv"
    told.write_text(f"network,address,name,kind\nETH,{HOT},Exploiter,theft\n")
    command = [sys.executable, "-m", "holdfast", "labels", "add", str(told), "--dir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  our own program
    assert book.refresh() is True
    assert [each.name for each in book.labels(ETHEREUM, HOT, AT)] == ["Exploiter"]


def test_additions_to_one_feed_add_up(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.add("a peer", [label(LabelKind.THEFT, "One")], AT)
    shelf.add("a peer", [label(LabelKind.THEFT, "Two")], AT)
    assert len(KeptBook(tmp_path).labels(ETHEREUM, HOT, AT)) == 2


def test_a_persons_decision_counts_when_the_book_is_opened_again_and_needs_a_claim(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    thief = label(LabelKind.THEFT, "Exploiter")
    shelf.add("a peer", [thief], AT)
    shelf.decide(Decision(ETHEREUM, HOT, thief.source, admit=False, by="Ann", at=AT, why="my own address"))
    book = KeptBook(tmp_path)
    assert book.labels(ETHEREUM, HOT, AT) == []
    assert book.refused_by_reason() == {"refused-by-a-person": 1}
    with pytest.raises(ClaimNotFound):
        shelf.decide(Decision(BASE, HOT, "nobody", admit=True, by="Ann", at=AT, why=""))


def test_a_damaged_file_is_said_and_the_book_stays_as_it_was(tmp_path: Path) -> None:
    Shelf(tmp_path).add("a peer", [label(LabelKind.THEFT, "One")], AT)
    book = KeptBook(tmp_path)
    (tmp_path / "feeds" / "broken.jsonl").write_bytes(b'{"label": 1}\n')
    with pytest.raises(ShelfUnreadable):
        book.refresh()
    assert len(book.labels(ETHEREUM, HOT, AT)) == 1
