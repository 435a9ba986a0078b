"""What a timeline is told: each stop and alarm once, every change, and transactions that a program can follow."""

from typing import Any

import msgspec
import pytest

from holdfast.core.tower_status import Alarm, NetworkSeen, StopShown, TowerStatus
from holdfast.incident.changes import View, alarm_ref, alarms_in, differences, news, touched
from holdfast.incident.record import Seen, Touched

ETH, LTC = "eip155:31337", "bip122:530827f38f93b43ed12af0b3ad25a288"


def status(**more: Any) -> TowerStatus:
    facts: dict[str, Any] = {
        "now_ms": 100_000, "seq": 1, "head": "00" * 32, "policy": "", "frozen": (), "stages": {}, "stops": (),
        "networks": (), "lease_ms": 99_000, "alarms": (),
    }  # fmt: skip
    return TowerStatus(**(facts | more))


def stop(*, ended: bool = False, by: str = "signer") -> StopShown:
    return StopShown("a-stop", ETH, "the float was spent", by, 5, ended)


def alarm(at_ms: int = 7, *names: str) -> Alarm:
    return Alarm(at_ms, "unordered-spend", ETH, "nobody ordered it", names)


def told(seen: list[Seen]) -> list[tuple[str, str]]:
    return [(one.zone, one.kind) for one in seen]


@pytest.mark.parametrize(
    ("scope", "name", "found"),
    [
        (ETH, "0xaa", Touched(ETH, "0xaa")),
        (ETH, "0xaa:3", Touched(ETH, "0xaa", 3)),
        (f"{ETH}/slip44:60", "0xaa", Touched(ETH, "0xaa")),
        ("*", f"{LTC}/ab:0", Touched(LTC, "ab", 0)),
        ("*", "ab", Touched("", "ab")),
    ],
)
def test_a_transaction_keeps_its_network_and_its_output(scope: str, name: str, found: Touched) -> None:
    assert touched(scope, name) == found


@pytest.mark.parametrize(
    ("by", "zone"),
    [("signer", "signer"), ("watchtower", "watchtower"), ("dead-man", "officers"), ("5f" * 32, "officers")],
)
def test_a_stop_is_told_under_the_zone_that_made_it(by: str, zone: str) -> None:
    assert told(alarms_in(status(stops=(stop(by=by),)))) == [(zone, "stopped")]


def test_each_is_told_once_also_by_a_watchtower_that_was_started_anew() -> None:
    first = alarms_in(status(stops=(stop(),), alarms=(alarm(7, "0xaa"),)))
    known = frozenset(one.ref for one in first)
    assert news(alarms_in(status(stops=(stop(),), alarms=(alarm(9, "0xaa"),))), known) == []
    assert len(news(alarms_in(status(alarms=(alarm(9, "0xbb"),))), known)) == 1


def test_without_transactions_the_same_alarm_later_is_another() -> None:
    assert alarm_ref(alarm(7)) != alarm_ref(alarm(8))


def test_the_end_of_a_stop_is_told_and_one_that_was_over_before_is_not() -> None:
    open_ = alarms_in(status(stops=(stop(),)))
    known = frozenset(one.ref for one in open_)
    ended = alarms_in(status(stops=(stop(ended=True),)))
    assert told(news(ended, known)) == [("watchtower", "stop-ended")]
    assert news(ended, frozenset()) == []


def test_every_change_of_a_zone_is_told() -> None:
    seen = NetworkSeen(ETH, 1, 1, "")
    before = View(1, status(networks=(seen,)), "", {"api": ""})
    after = View(
        2,
        status(
            stages={ETH: "frozen"}, policy="ab", lease_ms=1,
            networks=(msgspec.structs.replace(seen, fault="its nodes disagree"),),
        ),
        "",
        {"api": "it is not ready: database"},
    )  # fmt: skip
    assert set(told(differences(before, after))) == {
        ("watchtower", "stage"),
        ("watchtower", "policy"),
        ("watchtower", "nodes"),
        ("signer", "leases"),
        ("api", "readiness"),
    }
    assert differences(after, after) == []


def test_a_watchtower_that_goes_and_comes_is_told() -> None:
    here, gone = View(1, status()), View(2, None, "refused")
    assert told(differences(here, gone)) == [("watchtower", "not-answering")]
    assert told(differences(gone, here)) == [("watchtower", "answering")]
    assert differences(gone, gone) == []


def test_whatever_text_comes_it_is_one_bounded_line() -> None:
    wild = Alarm(7, "k", ETH, "a\nb\x00\ud800" + "x" * 5_000, ())
    [seen] = alarms_in(status(alarms=(wild,)))
    assert seen.text.isprintable()
    assert len(seen.text) <= 1_000
