"""The officers' checking machine asks the watchtower that it is told of: nothing is settled where it has frozen."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from fixtures_cli import Done, holdfast_here
from fixtures_signer import EVM, LTC
from fixtures_watchtower import Book, House, RunningTower, tower_process, write_tower
from holdfast.core.leases import Frozen, SignedLease

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cli")]


@dataclass
class Desk:
    """A checking machine with an empty journal: what is not frozen gets as far as that nothing of it was ever paid."""

    tower: RunningTower
    directory: Path

    def check(self, asset: str, *more: str, port: int | None = None) -> str:
        """`holdfast vault check`: the error's code."""
        config = self.directory / "checking.toml"
        config.write_text(
            f'root_fingerprint = "{self.tower.house.quorum.fingerprint()}"\nofficers = ["ada.json"]\nthreshold = 1\n'
            f'watchtower = "127.0.0.1:{port or self.tower.port}"\n[networks]\n'
        )
        (self.directory / "evidence.json").write_text(json.dumps({"entries": []}))
        words = ("--evidence", self.directory / "evidence.json", "--out", self.directory / "out", "--config", config)
        self.done: Done = holdfast_here("vault", "check", asset, *words, *more)
        assert self.done.code != 0
        return next(line for line in self.done.err.splitlines() if line.endswith("]")).rpartition("[")[2].rstrip("]")

    def freeze(self, scope: str) -> None:
        word = self.tower.house.freeze(scope, at=1)
        msgspec.json.decode(self.tower.say(msgspec.json.encode({"freeze": word})), type=Frozen)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    house = House()
    with tower_process(write_tower(tmp_path / "tower", house), house) as tower:
        book = Book(house)
        book.begin()
        assert isinstance(tower.lease(book.ask(0)), SignedLease)
        yield Desk(tower, tmp_path)


@pytest.mark.parametrize("scope", ["*", LTC.id, LTC.coin.id])
def test_what_the_watchtower_has_frozen_is_not_settled_though_no_journal_says_so(desk: Desk, scope: str) -> None:
    assert desk.check(LTC.coin.id) == "asset-not-in-policy", "nothing is frozen yet"
    desk.freeze(scope)
    assert desk.check(LTC.coin.id) == "settlement-blocked"
    assert scope in desk.done.err
    assert (desk.check(EVM.coin.id) == "settlement-blocked") is (scope == "*")


def test_a_merchants_freeze_blocks_no_settlement_and_a_freeze_no_way_out_that_the_quorum_ordered(desk: Desk) -> None:
    desk.freeze("mer_one")
    assert desk.check(LTC.coin.id) == "asset-not-in-policy"
    desk.freeze("*")
    for kind in ("direct-payout", "migration", "consolidation"):
        assert desk.check(LTC.coin.id, "--kind", kind) == "asset-not-in-policy"


def test_nothing_is_settled_while_it_is_silent(desk: Desk) -> None:
    assert desk.check(LTC.coin.id, port=9) == "watchtower-silent"
