"""The dead man's switch: where nobody who may freeze has shown himself for too long, everything is frozen."""

from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_watchtower import Book, Desk, key_hex
from holdfast.core.journal import Ordered
from holdfast.core.leases import Frozen, Seen, SignedLease
from holdfast.core.orders import CHECKS, Restore, SignedWord, Stage
from holdfast.vault.freezes import sign_present
from holdfast.watchtower.answers import Answer, WordRefused

DAY = 86_400


def say(desk: Desk, request: object, seconds: int = DAY) -> Answer:
    tower = replace(desk.tower, present_seconds=seconds, freeze_keys=(key_hex(ON_DUTY),))
    return tower.answer(msgspec.json.encode(request))


def frozen(desk: Desk, book: Book, seconds: int = DAY) -> tuple[str, ...]:
    answer = say(desk, book.ask(book.head.seq if desk.store.standing.head.seq else 0), seconds)
    assert isinstance(answer, SignedLease), answer
    return answer.lease.frozen


def word(desk: Desk, key: Ed25519PrivateKey, at: int | None = None) -> SignedWord:
    return sign_present(desk.now_ms // 1_000 if at is None else at, key.private_bytes_raw())


ON_DUTY = Ed25519PrivateKey.generate()


def test_payouts_go_on_while_somebody_shows_himself_and_stop_when_nobody_does(desk: Desk, book: Book) -> None:
    assert frozen(desk, book) == ()
    for key in (ON_DUTY, desk.house.officers[1]):
        desk.now_ms += (DAY - 1) * 1_000
        assert frozen(desk, book) == ()
        assert say(desk, {"present": word(desk, key)}) == Seen(desk.now_ms // 1_000 + DAY)
    desk.now_ms += DAY * 1_000
    assert frozen(desk, book) == ("*",)
    desk.restart()
    assert frozen(desk, book) == ("*",), "and it outlasts a restart"


def test_the_stop_says_whose_it_is_and_ends_as_every_other(desk: Desk, book: Book) -> None:
    frozen(desk, book)
    desk.now_ms += DAY * 1_000
    frozen(desk, book)
    ((by, reason),) = desk.store._db.execute('SELECT "by", reason FROM stops').fetchall()
    assert by == "dead-man"
    assert "86400 seconds" in reason
    assert say(desk, {"present": word(desk, ON_DUTY)}) == Seen(desk.now_ms // 1_000 + DAY)
    assert frozen(desk, book) == ("*",), "presence alone restores nothing"
    desk.now_ms += 1_000
    step = Restore(("*",), Stage.ALLOWLISTED, desk.now_ms // 1_000, 1, CHECKS)
    after = book.head.seq
    book.add(Ordered(desk.house.order(step), 1))
    answer = say(desk, book.ask(after))
    assert isinstance(answer, SignedLease)
    assert answer.lease.frozen == ()


def test_without_the_setting_nobody_is_waited_for(desk: Desk, book: Book) -> None:
    frozen(desk, book, 0)
    desk.now_ms += 400 * DAY * 1_000
    assert frozen(desk, book, 0) == ()
    assert say(desk, {"present": word(desk, ON_DUTY)}, 0) == Seen(0)


@pytest.mark.parametrize("fault", ["stranger", "freeze", "early", "late", "unsigned"])
def test_nobody_else_and_no_old_word_keeps_payouts_going(desk: Desk, book: Book, fault: str) -> None:
    frozen(desk, book)
    now = desk.now_ms // 1_000
    said = {
        "stranger": word(desk, Ed25519PrivateKey.generate()),
        "freeze": desk.house.freeze(at=now),
        "early": word(desk, ON_DUTY, now - 301),
        "late": word(desk, ON_DUTY, now + 301),
        "unsigned": SignedWord(word(desk, ON_DUTY).document, "00" * 64),
    }[fault]
    desk.now_ms += 1_000 if fault == "early" else 0
    assert isinstance(say(desk, {"present": said}), WordRefused)


def test_one_word_counts_once(desk: Desk, book: Book) -> None:
    frozen(desk, book)
    said = word(desk, ON_DUTY)
    first = say(desk, {"present": said})
    desk.now_ms += 200_000
    assert say(desk, {"present": said}) == first


def test_a_person_can_freeze_what_the_switch_has_frozen(desk: Desk, book: Book) -> None:
    frozen(desk, book)
    desk.now_ms += DAY * 1_000
    assert say(desk, {"freeze": desk.house.freeze("mer_1")}) == Frozen(("*", "mer_1"), is_news=True)
