"""What screening makes of facts: the strictest rule decides and says by what; who uses a service taints it not."""

import pytest

from holdfast.trace.labels.book import Book
from holdfast.trace.model import End, EndKind, Label, LabelKind, Movement, Reason, Step, Trace, Transfer
from holdfast.trace.screening import (
    DAY,
    Exposure,
    Exposures,
    LabelRule,
    Policy,
    TaintRule,
    Verdict,
    exposures_of,
    judge,
    screen,
)

NETWORK, AT = "eip155:1", 1_700_000_000
COIN = f"{NETWORK}/slip44:60"
A, B, C = (f"0x{letter * 40}" for letter in "abc")


def label(kind: LabelKind, confidence: int = 90, stated_at: int = AT, address: str = A, **more: int) -> Label:
    return Label(NETWORK, address, "X", kind, "a list", confidence, stated_at, **more)


def exposure(hop: int = 2, share: int = 500_000, confidence: int = 80) -> Exposure:
    return Exposure("heist", NETWORK, A, hop, share, confidence, "0x01")


def test_nothing_known_is_credited() -> None:
    assert judge([], [], Policy(), AT).verdict is Verdict.CREDIT


def test_the_strictest_rule_decides_and_says_by_what() -> None:
    found = judge([label(LabelKind.THEFT), label(LabelKind.SANCTIONED)], [exposure()], Policy(), AT)
    assert (found.verdict, "sanctioned" in found.why) == (Verdict.REFUSE, True)


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (label(LabelKind.THEFT, 49), Verdict.CREDIT),
        (label(LabelKind.THEFT, 50), Verdict.HOLD),
        (label(LabelKind.EXCHANGE), Verdict.CREDIT),
        (label(LabelKind.SANCTIONED, 60), Verdict.CREDIT),
    ],
)
def test_a_kind_of_label_counts_from_a_confidence_on(said: Label, verdict: Verdict) -> None:
    assert judge([said], [], Policy(), AT).verdict is verdict


def test_a_rule_may_forget_what_was_said_long_ago() -> None:
    policy = Policy(labels=(LabelRule(kind=LabelKind.THEFT, days_max=30),))
    assert judge([label(LabelKind.THEFT, stated_at=AT - 31 * DAY)], [], policy, AT).verdict is Verdict.CREDIT
    assert judge([label(LabelKind.THEFT, stated_at=AT - 29 * DAY)], [], policy, AT).verdict is Verdict.HOLD


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        (exposure(), Verdict.HOLD), (exposure(hop=6), Verdict.CREDIT), (exposure(share=9_999), Verdict.CREDIT),
        (exposure(confidence=40), Verdict.CREDIT),
    ],
)  # fmt: skip
def test_taint_counts_by_hops_share_and_confidence(seen: Exposure, verdict: Verdict) -> None:
    assert judge([], [seen], Policy(taint=(TaintRule(hops_max=5),)), AT).verdict is verdict


def test_an_exchange_is_not_tainted_by_a_thief_who_uses_it() -> None:
    assert judge([label(LabelKind.EXCHANGE)], [exposure()], Policy(), AT).verdict is Verdict.CREDIT


def test_who_was_sanctioned_and_is_not_now_is_credited_now() -> None:
    book = Book([label(LabelKind.SANCTIONED, valid_from=1, valid_until=AT)])
    then = screen(book, Exposures(), Policy(), [(NETWORK, A)], AT - 1)
    now = screen(book, Exposures(), Policy(), [(NETWORK, A)], AT)
    assert (then.verdict, now.verdict) == (Verdict.REFUSE, Verdict.CREDIT)


def test_a_trace_taints_where_its_money_lay_but_no_service_and_nothing_that_it_did_not_carry() -> None:
    def step(name: str, target: str, carried: int) -> Step:
        moved = Transfer(NETWORK, 1, 0, AT, name, C, target, COIN, 1000, Movement.COIN)
        return Step(name, moved, 1, Reason.DIRECT, 90, {"haircut": carried})

    service = End(NETWORK, B, COIN, EndKind.SERVICE, {"haircut": 5}, label(LabelKind.EXCHANGE, address=B))
    trace = Trace(steps=[step("0x01", A, 250), step("0x02", B, 250), step("0x03", C, 0)], ends=[service])
    (found,) = exposures_of("heist", trace)
    assert (found.address, found.share_ppm, found.transaction) == (A, 250_000, "0x01")
    known = Exposures([found])
    assert [each.incident for each in known.of(NETWORK, A.upper().replace("0X", "0x"))] == ["heist"]
    assert known.of_transaction(NETWORK, "0x02", A) == []
