"""Freezing takes one person and lasts; letting go on takes the quorum, and only for what it knew of."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_watchtower import Book, Desk, key_hex
from holdfast.core.journal import JournalBroken, Ordered, Started
from holdfast.core.leases import Frozen, LeaseRefused
from holdfast.core.orders import CHECKS, Freeze, Restore, SignedOrder, SignedWord, Stage
from holdfast.vault.freezes import sign_freeze
from holdfast.watchtower.answers import REASON_LENGTH_MAX, SCOPE_LENGTH_MAX, Answer, Tower, WordRefused
from holdfast.watchtower.standing import Step, Stop, stages, standing_stops
from holdfast.watchtower.store import Store, StoreInUse

ETHEREUM = "eip155:1"
TOKEN = "eip155:1/erc20:0xdac17f958d2ee523a2206206994597c13d831ec7"


def freeze(desk: Desk, word: SignedWord) -> Answer:
    return desk.ask({"freeze": word})


@dataclass
class Officers:
    """They sign steps, the signer journals them, the watchtower reads them there."""

    desk: Desk
    book: Book
    number: int = 0

    def order(self, stage: Stage, *scopes: str, at: int | None = None) -> SignedOrder:
        self.number += 1
        at = self.desk.now_ms // 1_000 if at is None else at
        return self.desk.house.order(Restore(scopes, stage, at, self.number, CHECKS))

    def journal(self, order: SignedOrder) -> tuple[str, ...]:
        """What is frozen once the journal has this order."""
        after = self.book.head.seq
        self.book.add(Ordered(order, self.desk.now_ms // 1_000))
        return self.desk.granted(self.book.ask(after)).lease.frozen

    def begin(self, *scopes: str, at: int | None = None) -> tuple[str, ...]:
        """The first step, which ends the freezes."""
        return self.journal(self.order(Stage.ALLOWLISTED, *scopes, at=at))


@pytest.fixture
def officers(desk: Desk, book: Book) -> Officers:
    desk.granted(book.ask(0))
    return Officers(desk, book)


def test_any_officer_alone_can_freeze_and_it_outlasts_a_restart(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    for place, officer in enumerate(desk.house.officers):
        assert freeze(desk, desk.house.freeze(f"eip155:{place}", key=officer)) == Frozen(
            tuple(f"eip155:{one}" for one in range(place + 1)), is_news=True
        )
    assert desk.granted(book.ask(1)).lease.frozen == ("eip155:0", "eip155:1", "eip155:2")
    desk.restart()
    assert desk.granted(book.ask(1)).lease.frozen == ("eip155:0", "eip155:1", "eip155:2")


def test_a_freeze_key_can_freeze_from_the_first_moment(desk: Desk, book: Book) -> None:
    on_duty = Ed25519PrivateKey.generate()
    tower = Tower(desk.store, desk.house.lease_key, desk.house.quorum.fingerprint(), (key_hex(on_duty),), 5_000, int)
    word = sign_freeze("*", "night", 1, on_duty.private_bytes_raw())
    assert tower.answer(msgspec.json.encode({"freeze": word})) == Frozen(("*",), is_news=True)
    desk.granted(book.ask(0))


def test_nobody_else_can_freeze(desk: Desk, book: Book) -> None:
    assert isinstance(freeze(desk, desk.house.freeze()), WordRefused), "before a genesis no officer is known"
    desk.granted(book.ask(0))
    stranger = Ed25519PrivateKey.generate()
    good = desk.house.freeze()
    pretending = Freeze("*", "malware", key_hex(desk.house.officers[0]), 1)
    document = msgspec.json.encode(pretending)
    for word in (
        desk.house.freeze(key=stranger),
        SignedWord(good.document, "00" * 64),
        SignedWord(good.document.replace("malware", "boredom"), good.signature),
        SignedWord(document.decode(), stranger.sign(document).hex()),
        SignedWord("{}", good.signature),
    ):
        assert isinstance(freeze(desk, word), WordRefused), word
    assert desk.store.frozen == ()


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("", "malware"),
        ("*", ""),
        ("x" * (SCOPE_LENGTH_MAX + 1), "a"),
        ("*", "x" * (REASON_LENGTH_MAX + 1)),
        ("*", "a\nb"),
    ],
)
def test_a_freeze_says_what_and_why_in_one_line(desk: Desk, book: Book, scope: str, reason: str) -> None:
    desk.granted(book.ask(0))
    word = sign_freeze(scope, reason, 1, desk.house.officers[0].private_bytes_raw())
    assert isinstance(freeze(desk, word), WordRefused)


def test_the_same_word_twice_is_one_and_comes_too_late_after_its_restore(desk: Desk, officers: Officers) -> None:
    word = desk.house.freeze()
    assert freeze(desk, word) == Frozen(("*",), is_news=True)
    assert freeze(desk, word) == Frozen(("*",), is_news=False)
    desk.now_ms += 1_000
    assert officers.begin("*") == ()
    assert freeze(desk, word) == Frozen((), is_news=False)
    assert freeze(desk, desk.house.freeze(at=2)) == Frozen(("*",), is_news=True)


def test_a_restore_ends_its_own_scope_only_and_everything_ends_all(desk: Desk, officers: Officers) -> None:
    scopes = ("*", ETHEREUM, TOKEN, "mer_1")
    for scope in scopes:
        freeze(desk, desk.house.freeze(scope))
    desk.now_ms += 1_000
    assert officers.begin(ETHEREUM, TOKEN) == ("*", "mer_1")
    assert officers.begin("*") == ()
    desk.restart()
    assert desk.store.stages == dict.fromkeys(("*", ETHEREUM, TOKEN), Stage.ALLOWLISTED)


def test_a_restore_that_the_journal_does_not_have_restores_nothing(desk: Desk, officers: Officers) -> None:
    freeze(desk, desk.house.freeze())
    order = officers.order(Stage.ALLOWLISTED, "*")
    assert isinstance(desk.ask({"restore": order}), LeaseRefused)
    assert desk.store.frozen == ("*",)


def test_a_restore_that_was_held_back_does_not_end_a_later_freeze(desk: Desk, officers: Officers) -> None:
    made_at = desk.now_ms // 1_000
    desk.now_ms += 60_000
    freeze(desk, desk.house.freeze())
    assert officers.begin("*", at=made_at) == ("*",)


def test_a_restore_that_was_used_does_not_end_a_later_freeze_however_it_is_dated(
    desk: Desk, officers: Officers
) -> None:
    freeze(desk, desk.house.freeze(at=1))
    used = officers.order(Stage.ALLOWLISTED, "*", at=desk.now_ms // 1_000 + 200)
    assert officers.journal(used) == ()
    desk.now_ms += 10_000
    freeze(desk, desk.house.freeze(at=2))
    assert officers.journal(used) == ("*",)
    assert officers.begin("*", at=desk.now_ms // 1_000 + 301) == ("*",)


def test_a_freeze_on_the_way_back_returns_to_frozen_and_no_later_step_ends_it(desk: Desk, officers: Officers) -> None:
    freeze(desk, desk.house.freeze(at=1))
    seen = []
    for stage in (Stage.ALLOWLISTED, Stage.LIMITED):
        desk.now_ms += 10_000
        officers.journal(officers.order(stage, "*"))
        seen.append(desk.store.stages)
    assert seen == [{"*": Stage.ALLOWLISTED}, {"*": Stage.LIMITED}]
    freeze(desk, desk.house.freeze(at=2))
    assert desk.store.stages == {"*": Stage.FROZEN}
    desk.now_ms += 10_000
    assert officers.journal(officers.order(Stage.NORMAL, "*")) == ("*",)
    assert officers.begin("*") == ()
    assert desk.store.stages == {"*": Stage.ALLOWLISTED}
    for stage in (Stage.LIMITED, Stage.NORMAL):
        officers.journal(officers.order(stage, "*"))
    assert desk.store.stages == {}


def test_a_clock_that_was_set_back_revives_no_freeze_and_loses_none(desk: Desk, officers: Officers) -> None:
    freeze(desk, desk.house.freeze(at=1))
    assert officers.begin("*") == ()
    desk.now_ms -= 3_600_000
    assert freeze(desk, desk.house.freeze(at=2)) == Frozen(("*",), is_news=True)


def test_scopes_stand_still_from_their_stop_to_the_first_step_back() -> None:
    stops = [Stop("a", "x", 1_000), Stop("b", "x", 9_000), Stop("c", "y", 9_000)]

    def left(stage: Stage, scope: str, at: int, received_ms: int) -> str:
        return "".join(one.id for one in standing_stops(stops, [Step("t", (scope,), stage, at, received_ms)]))

    assert left(Stage.ALLOWLISTED, "x", 5, 9_500) == "bc"
    assert left(Stage.ALLOWLISTED, "x", 9, 9_500) == "c"
    assert left(Stage.LIMITED, "x", 9, 9_500) == "abc"
    assert left(Stage.ALLOWLISTED, "*", 9, 8_999) == "bc"
    assert left(Stage.ALLOWLISTED, "*", 9, 9_000) == ""
    assert stages(stops, [Step("t", ("x",), Stage.ALLOWLISTED, 9, 9_500)]) == {
        "x": Stage.ALLOWLISTED, "y": Stage.FROZEN,
    }  # fmt: skip


class TestStore:
    def test_one_watchtower_has_one_store(self, desk: Desk) -> None:
        with pytest.raises(StoreInUse):
            Store(desk.path, desk.house.quorum.fingerprint())

    @pytest.mark.parametrize("table", ["entries", "unleased", "stops", "restores"])
    @pytest.mark.parametrize("change", ["UPDATE {} SET rowid = 99", "DELETE FROM {}"])
    def test_no_row_is_ever_changed(self, desk: Desk, officers: Officers, table: str, change: str) -> None:
        freeze(desk, desk.house.freeze())
        officers.begin("*")
        with sqlite3.connect(desk.path) as other:
            other.execute("INSERT INTO unleased VALUES (1)")
            with pytest.raises(sqlite3.IntegrityError, match="never changed"):
                other.execute(change.format(table))

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE entries SET document = replace(document, 'boot 1', 'boot 7') WHERE seq = 2",
            "DELETE FROM entries WHERE seq = 2",
            "DELETE FROM entries WHERE seq = 1",
            "UPDATE entries SET hash = (SELECT hash FROM entries WHERE seq = 3) WHERE seq = 2",
        ],
    )
    def test_entries_that_were_changed_past_the_triggers_keep_it_from_opening(
        self, desk: Desk, book: Book, change: str
    ) -> None:
        book.add(Started("boot 1", "0"), Started("boot 2", "0"))
        desk.granted(book.ask(0))
        desk.store.close()
        edit(desk.path, "DROP TRIGGER entries_no_update", "DROP TRIGGER entries_no_delete", change)
        with pytest.raises(JournalBroken):
            Store(desk.path, desk.house.quorum.fingerprint())
        edit(desk.path, "DELETE FROM entries", "DROP TRIGGER entries_no_update", "DROP TRIGGER entries_no_delete")
        desk.store = Store(desk.path, desk.house.quorum.fingerprint())

    def test_only_its_owner_may_read_it(self, desk: Desk) -> None:
        assert desk.path.stat().st_mode & 0o077 == 0


def edit(path: Path, *statements: str) -> None:
    """Change a store as somebody with the file does."""
    database = sqlite3.connect(path)
    for statement in sorted(statements, key=lambda one: not one.startswith("DROP")):
        database.execute(statement)
    database.commit()
    database.close()
