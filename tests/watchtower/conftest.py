"""A watchtower in this process, on a store of its own, under a clock that the test holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fixtures_watchtower import Book, Desk, House
from holdfast.watchtower.store import Store


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    house = House()
    desk = Desk(house, tmp_path / "tower.sqlite", Store(tmp_path / "tower.sqlite", house.quorum.fingerprint()))
    yield desk
    desk.store.close()


@pytest.fixture
def book(desk: Desk) -> Book:
    """A journal that has begun."""
    book = Book(desk.house)
    book.begin()
    return book
