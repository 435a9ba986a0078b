"""A timeline only grows; whoever edits, drops or adds a line is found out; states lead only where the table says."""

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings, strategies as st

from fixtures_incident import Tick, seen
from fixtures_watchtower import key_hex
from holdfast.core.errors import HoldfastError
from holdfast.core.states import INCIDENT_MOVES, IncidentState, TransitionForbidden, move_incident
from holdfast.incident.record import (
    Body,
    Decision,
    DecisionUnsigned,
    Incident,
    IncidentNotOver,
    Moved,
    Noted,
    Opened,
    StoredLine,
    TimelineBroken,
    Touched,
    make_line,
    read_incident,
    sign_decision,
    state_for,
    with_line,
)

KEY = Ed25519PrivateKey.generate()
ADA = Ed25519PrivateKey.generate()
LTC, ETH = "bip122:530827f38f93b43ed12af0b3ad25a288", "eip155:31337"


def told(*bodies: Body, key: Ed25519PrivateKey = KEY) -> Incident:
    """An incident with these lines behind its first."""
    incident, clock = Incident(key=key_hex(key)), Tick()
    for body in (Opened("inc_1", "a theft"), *bodies):
        incident = with_line(incident, make_line(incident, body, clock(), key))
    return incident


def stored(incident: Incident) -> list[StoredLine]:
    return [line.stored for line in incident.lines]


def test_what_was_written_is_read_again() -> None:
    incident = told(
        seen("alarm", ETH, "alarm:1", "0xaa"), Noted("ada", "called the exchange"), Moved(IncidentState.CONTAINED, "x")
    )
    assert read_incident(stored(incident), key_hex(KEY)) == incident
    assert incident.state is IncidentState.CONTAINED
    assert incident.transactions == (Touched(ETH, "0xaa"),)


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_no_line_can_be_edited_lost_put_in_or_moved(data: st.DataObject) -> None:
    lines = stored(told(*(Noted("ada", f"note {n}") for n in range(4))))
    place = data.draw(st.integers(0, len(lines) - 2))
    how = data.draw(st.sampled_from(["edit", "drop", "double", "swap"]))
    if how == "edit":
        edited = lines[place].document.replace("theft", "gift").replace("note", "nope")
        lines[place] = msgspec.structs.replace(lines[place], document=edited)
    elif how == "drop":
        del lines[place]
    elif how == "double":
        lines.insert(place, lines[place])
    else:
        lines[place], lines[place + 1] = lines[place + 1], lines[place]
    with pytest.raises(TimelineBroken):
        read_incident(lines, key_hex(KEY))


def test_a_timeline_told_anew_under_another_key_is_not_ours() -> None:
    with pytest.raises(TimelineBroken):
        read_incident(stored(told(key=ADA)), key_hex(KEY))


def test_every_move_is_in_the_table() -> None:
    for now in IncidentState:
        for then in IncidentState:
            if then is now or then in INCIDENT_MOVES[now]:
                assert move_incident(now, then) is then
            else:
                with pytest.raises(TransitionForbidden):
                    move_incident(now, then)
    assert INCIDENT_MOVES[IncidentState.CLOSED] == frozenset()


def test_it_is_not_over_while_anything_stands_still() -> None:
    stop = seen("stopped", ETH, "stop:1")
    with pytest.raises(IncidentNotOver):
        told(stop, Moved(IncidentState.CLOSED, "ada"))
    over = told(stop, seen("stop-ended", ETH, "stop:1:ended"), Moved(IncidentState.CLOSED, "ada"))
    assert over.state is IncidentState.CLOSED


@pytest.mark.parametrize(
    ("scopes", "frozen", "state"),
    [
        ([ETH], [], IncidentState.OPEN),
        ([ETH], [ETH], IncidentState.CONTAINED),
        ([ETH, LTC], [ETH], IncidentState.OPEN),
        ([ETH, LTC], ["*"], IncidentState.CONTAINED),
        (["*"], [ETH], IncidentState.OPEN),
        ([f"{ETH}/slip44:60"], [ETH], IncidentState.CONTAINED),
        ([ETH], [f"{ETH}/slip44:60"], IncidentState.OPEN),
    ],
)
def test_it_is_contained_once_all_that_it_is_about_stands_still(
    scopes: list[str], frozen: list[str], state: IncidentState
) -> None:
    incident = told(*(seen("alarm", scope, f"alarm:{n}") for n, scope in enumerate(scopes)))
    assert state_for(incident, frozen, []) is state


def test_restoring_keeps_it_contained_and_an_alarm_elsewhere_opens_it_again() -> None:
    incident = told(seen("alarm", ETH), Moved(IncidentState.CONTAINED, "incident"))
    assert state_for(incident, [], []) is IncidentState.CONTAINED
    assert state_for(incident, [ETH], [ETH]) is IncidentState.CONTAINED
    assert state_for(incident, [ETH], [LTC]) is IncidentState.OPEN


def decision(incident: str = "inc_1") -> Decision:
    return Decision(incident, "00" * 32, "ada", key_hex(ADA), 5, "pay Bo by hand", "he waits")


def test_a_decision_says_who_when_what_and_why_and_only_its_signer_can_have_made_it() -> None:
    assert told(sign_decision(decision(), ADA)).decisions == [decision()]
    for forged in (
        sign_decision(decision(), KEY),
        msgspec.structs.replace(sign_decision(decision(), ADA), document="{}"),
        sign_decision(decision("inc_2"), ADA),
    ):
        with pytest.raises(DecisionUnsigned):
            told(forged)


@given(st.binary(max_size=300))
def test_any_bytes_as_a_line_are_refused_by_name(data: bytes) -> None:
    line = StoredLine(data.decode("latin-1"), "00" * 32, "00" * 64)
    with pytest.raises(HoldfastError):
        read_incident([line], key_hex(KEY))
