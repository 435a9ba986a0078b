"""What the watchtower tells to whoever asks where payouts stand."""

import msgspec

from fixtures_watchtower import Book, Desk
from holdfast.core.tower_status import STATUS_REQUEST, Alarm, NetworkSeen, TowerStatus
from holdfast.watchtower.eyes import Eyes


def told(desk: Desk) -> TowerStatus:
    answer = desk.tower.answer(STATUS_REQUEST)
    return msgspec.json.decode(msgspec.json.encode(answer), type=TowerStatus)


def test_without_a_journal_it_tells_that_there_is_none(desk: Desk) -> None:
    found = told(desk)
    assert (found.seq, found.frozen, found.stops, found.stages) == (0, (), (), {})


def test_a_freeze_is_told_with_who_made_it_and_why(desk: Desk, book: Book) -> None:
    desk.granted(book.ask(0))
    desk.ask({"freeze": desk.house.freeze("eip155:1")})
    found = told(desk)
    [stop] = found.stops
    assert (stop.scope, stop.reason, stop.ended) == ("eip155:1", "malware", False)
    assert found.frozen == ("eip155:1",)
    assert found.stages == {"eip155:1": "frozen"}
    assert (found.seq, found.head) == (book.head.seq, book.head.hash)


def test_a_network_that_nobody_looked_at_for_too_long_is_blind_and_one_just_seen_is_not() -> None:
    eyes = Eyes({"a": NetworkSeen("a", 7, 1_000, ""), "b": NetworkSeen("b", 0, 0, "unreachable")}, blind_ms=5_000)
    assert eyes.blind(5_999) == ("b",)
    assert eyes.blind(6_000) == ("a", "b")


def test_a_clock_that_was_set_back_makes_no_old_look_a_new_one() -> None:
    assert Eyes({"a": NetworkSeen("a", 7, 9_000, "")}).blind(8_000) == ("a",)


def test_the_same_alarm_is_told_once() -> None:
    eyes = Eyes()
    assert eyes.alarm(Alarm(1, "rate", "*", "much"))
    assert not eyes.alarm(Alarm(2, "rate", "*", "much"))
    assert len(eyes.alarms) == 1
