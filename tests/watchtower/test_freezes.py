"""Freezing takes one person and lasts; letting go on takes the quorum, and only for what it knew of."""

import sqlite3
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_watchtower import NOW_MS, Book, Desk, House, key_hex
from holdfast.core.journal import JournalBroken, Started
from holdfast.core.leases import Frozen
from holdfast.core.orders import Decide, Freeze, SignedWord, Thaw
from holdfast.vault.freezes import sign_freeze
from holdfast.watchtower.answers import REASON_LENGTH_MAX, SCOPE_LENGTH_MAX, Answer, Tower, WordRefused
from holdfast.watchtower.standing import GoOn, Stop, frozen_scopes
from holdfast.watchtower.store import Store, StoreInUse

ETHEREUM = "eip155:1"


def freeze(desk: Desk, word: SignedWord) -> Answer:
    return desk.ask({"freeze": word})


def thaw(desk: Desk, *scopes: str, at: int | None = None, by: int = 2, number: int = 1) -> Answer:
    at = desk.now_ms // 1_000 if at is None else at
    return desk.ask({"thaw": desk.house.order(Thaw(scopes, at, number), by=by)})


def test_any_officer_alone_can_freeze_and_it_outlasts_a_restart(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    for place, officer in enumerate(desk.house.officers):
        assert freeze(desk, desk.house.freeze(f"eip155:{place}", key=officer)) == Frozen(
            tuple(f"eip155:{one}" for one in range(place + 1)), is_news=True
        )
    assert desk.granted(book.ask(1)).lease.frozen == ("eip155:0", "eip155:1", "eip155:2")
    desk.restart()
    assert desk.granted(book.ask(1)).lease.frozen == ("eip155:0", "eip155:1", "eip155:2")


def test_a_freeze_key_can_freeze_from_the_first_moment_and_can_do_nothing_else(desk: Desk, book: Book) -> None:
    on_duty = Ed25519PrivateKey.generate()
    tower = Tower(desk.store, desk.house.lease_key, desk.house.quorum.fingerprint(), (key_hex(on_duty),), 5_000, int)
    word = sign_freeze("*", "night", 1, on_duty.private_bytes_raw())
    assert tower.answer(msgspec.json.encode({"freeze": word})) == Frozen(("*",), is_news=True)
    desk.granted(book.ask(0))
    lone = House(officers=[on_duty, on_duty, on_duty]).order(Thaw(("*",), NOW_MS // 1_000, 1))
    refused = tower.answer(msgspec.json.encode({"thaw": lone}))
    assert isinstance(refused, WordRefused)
    assert refused.refused == "order-not-allowed"


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


def test_the_same_word_twice_is_one_and_comes_too_late_after_its_thaw(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    word = desk.house.freeze()
    assert freeze(desk, word) == Frozen(("*",), is_news=True)
    assert freeze(desk, word) == Frozen(("*",), is_news=False)
    desk.now_ms += 1_000
    assert thaw(desk, "*") == Frozen((), is_news=True)
    assert freeze(desk, word) == Frozen((), is_news=False)
    assert freeze(desk, desk.house.freeze(at=2)) == Frozen(("*",), is_news=True)


def test_a_thaw_needs_the_quorum_and_ends_its_own_scope_only(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    for scope in ("*", ETHEREUM, "mer_1"):
        freeze(desk, desk.house.freeze(scope))
    desk.now_ms += 1_000
    assert isinstance(thaw(desk, "*", by=1), WordRefused)
    assert desk.store.frozen == ("*", ETHEREUM, "mer_1")
    assert thaw(desk, ETHEREUM) == Frozen(("*", "mer_1"), is_news=True)
    assert thaw(desk, ETHEREUM) == Frozen(("*", "mer_1"), is_news=False)
    assert thaw(desk, "*", number=2) == Frozen((), is_news=True)
    desk.restart()
    assert desk.store.frozen == ()


def test_another_order_of_the_quorum_thaws_nothing(desk: Desk, book: Book) -> None:
    assert isinstance(thaw(desk, "*"), WordRefused), "before a genesis no officer is known"
    desk.granted(book.ask(0))
    freeze(desk, desk.house.freeze())
    assert isinstance(desk.ask({"thaw": desk.house.order(Decide("mer_1", 1, 1))}), WordRefused)
    assert desk.store.frozen == ("*",)


def test_a_thaw_that_was_held_back_does_not_end_a_later_freeze(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    made_at = desk.now_ms // 1_000
    desk.now_ms += 60_000
    freeze(desk, desk.house.freeze())
    assert thaw(desk, "*", at=made_at) == Frozen(("*",), is_news=True)


def test_a_thaw_that_was_used_does_not_end_a_later_freeze_however_it_is_dated(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    freeze(desk, desk.house.freeze(at=1))
    ahead = desk.now_ms // 1_000 + 200
    assert thaw(desk, "*", at=ahead) == Frozen((), is_news=True)
    desk.now_ms += 10_000
    freeze(desk, desk.house.freeze(at=2))
    assert thaw(desk, "*", at=ahead) == Frozen(("*",), is_news=False)
    assert isinstance(thaw(desk, "*", at=desk.now_ms // 1_000 + 301, number=2), WordRefused)


def test_a_clock_that_was_set_back_revives_no_freeze_and_loses_none(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    freeze(desk, desk.house.freeze(at=1))
    assert thaw(desk, "*") == Frozen((), is_news=True)
    desk.now_ms -= 3_600_000
    assert freeze(desk, desk.house.freeze(at=2)) == Frozen(("*",), is_news=True)


def test_scopes_stand_still_from_their_stop_to_their_thaw() -> None:
    stops = [Stop("a", "x", 1_000), Stop("b", "x", 9_000), Stop("c", "y", 9_000)]
    assert frozen_scopes(stops, []) == ("x", "y")
    assert frozen_scopes(stops, [GoOn("t", ("x",), 5, 9_500)]) == ("x", "y")
    assert frozen_scopes(stops, [GoOn("t", ("x",), 9, 9_500)]) == ("y",)
    assert frozen_scopes(stops, [GoOn("t", ("*",), 9, 8_999)]) == ("x", "y")
    assert frozen_scopes(stops, [GoOn("t", ("*",), 9, 9_000)]) == ()


class TestStore:
    def test_one_watchtower_has_one_store(self, desk: Desk) -> None:
        with pytest.raises(StoreInUse):
            Store(desk.path, desk.house.quorum.fingerprint())

    @pytest.mark.parametrize("table", ["entries", "unleased", "stops", "thaws"])
    @pytest.mark.parametrize("change", ["UPDATE {} SET rowid = 99", "DELETE FROM {}"])
    def test_no_row_is_ever_changed(self, desk: Desk, book: Book, table: str, change: str) -> None:
        desk.granted(book.ask(0))
        freeze(desk, desk.house.freeze())
        thaw(desk, "*")
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
