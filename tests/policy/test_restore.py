"""The way back from a freeze: one step at a time, each by the quorum, with its checks, once the last one has lasted."""

import pytest

from fixtures_policy import ADDRESS, NOW, OTHER, Books
from fixtures_signer import COIN, ETHER, EVM, LTC, fresh_address, policy_text
from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.core import journal as j
from holdfast.core.intents import Line
from holdfast.core.journal import make_entry
from holdfast.core.orders import CHECKS, STEPS, FloatKey, Restore, RotateFloat, Stage
from holdfast.core.quorum import QuorumNotReached
from holdfast.policy import admit
from holdfast.policy.admit import RestoreNotDue
from holdfast.policy.audit import EvidenceFalse, replay
from holdfast.policy.decide import Allowed, Refused, decide
from holdfast.policy.record import Record
from holdfast.policy.rules import Rule

SOAK = 600
LISTED = f"""[[listed]]
merchant = "mer_one"
network = "{EVM.id}"
address = "{ADDRESS}"
expires_at = 2035-01-01T00:00:00Z
"""
MOVED = FloatKey(EVM.id, "02" + "ee" * 32, "0x" + "f2" * 20, "0x" + "5a" * 20)


@pytest.fixture
def books() -> Books:
    """Begun; one destination of the merchant has long been on the list."""
    made = Books().begin()
    made.policy(policy_text() + LISTED, at=NOW - 3_600)
    made.certify()
    made.deposit(200 * ETHER)
    made.deposit(200 * COIN, LTC.coin.id)
    return made


def take(books: Books, order: Restore, by: int = 2) -> None:
    """As the signer takes it in."""
    body = admit.order(books.record, books.house.order(order, by=by), books.now)
    assert body is not None
    books.add(body)


def walk(books: Books, stage: Stage, scope: str = "*") -> None:
    """All steps up to this one, each when it is due."""
    for step in STEPS:
        take(books, books.restore(step, scope))
        if step is stage:
            return
        books.now += SOAK


def verdict(books: Books, units: int = ETHER, *to: str, **more: object) -> str:
    """`allowed`, or the rule."""
    lines = tuple(Line(one, units) for one in to or (ADDRESS,))
    decision = decide(books.proposal(books.payout(lines=lines, **more)), books.record, books.moment())
    return decision.rule.value if isinstance(decision, Refused) else "allowed"


def test_the_steps_lead_from_the_list_through_a_part_of_the_limits_to_all_of_them(books: Books) -> None:
    large = 50 * ETHER // 2
    walk(books, Stage.ALLOWLISTED)
    assert [verdict(books), verdict(books, ETHER, OTHER), verdict(books, large)] == [
        "allowed", "stage-allowlisted", "stage-limited",
    ]  # fmt: skip
    books.now += SOAK
    take(books, books.restore(Stage.LIMITED, "*"))
    assert [verdict(books), verdict(books, ETHER, OTHER), verdict(books, large, OTHER)] == [
        "allowed", "allowed", "stage-limited",
    ]  # fmt: skip
    books.now += SOAK
    take(books, books.restore(Stage.NORMAL, "*"))
    assert [verdict(books, large), verdict(books, large, OTHER)] == ["allowed", "allowed"]
    assert books.record.stages == {}


@pytest.mark.parametrize("step", [Stage.LIMITED, Stage.NORMAL])
def test_no_step_is_left_out(books: Books, step: Stage) -> None:
    before, _ = STEPS[step]
    with pytest.raises(RestoreNotDue, match=f"not {before}"):
        take(books, books.restore(step, "*"))
    walk(books, Stage.ALLOWLISTED, LTC.id)
    books.now += SOAK
    with pytest.raises(RestoreNotDue, match=f"not {before}"):
        take(books, books.restore(step, "*", *((LTC.id,) if step is Stage.NORMAL else ())))


@pytest.mark.parametrize("step", [Stage.LIMITED, Stage.NORMAL])
def test_a_stage_lasts_and_nobody_signs_its_end_before(books: Books, step: Stage) -> None:
    before, _ = STEPS[step]
    walk(books, before)
    early = books.restore(step, "*")
    books.now += SOAK - 1
    with pytest.raises(RestoreNotDue, match="at the least"):
        take(books, books.restore(step, "*", at=books.now + 1))
    books.now += 1
    with pytest.raises(RestoreNotDue, match="at the least"):
        take(books, early)
    take(books, books.restore(step, "*"))


@pytest.mark.parametrize(
    ("step", "check"), [(step, check) for step, (_, checks) in STEPS.items() for check in sorted(checks)]
)
def test_every_check_of_a_step_is_needed(books: Books, step: Stage, check: str) -> None:
    if step is not Stage.ALLOWLISTED:
        walk(books, STEPS[step][0])
        books.now += SOAK
    with pytest.raises(RestoreNotDue, match=check):
        take(books, books.restore(step, "*", checked=tuple(one for one in CHECKS if one != check)))
    take(books, books.restore(step, "*", checked=tuple(sorted(STEPS[step][1]))))


def test_a_step_needs_the_quorum_a_scope_a_stage_and_a_date_that_has_come(books: Books) -> None:
    with pytest.raises(QuorumNotReached):
        take(books, books.restore(Stage.ALLOWLISTED, "*"), by=1)
    for order in (
        books.restore(Stage.ALLOWLISTED),
        books.restore(Stage.FROZEN, "*"),
        books.restore(Stage.ALLOWLISTED, "*", at=books.now + admit.AHEAD_SECONDS_MAX + 1),
    ):
        with pytest.raises(RestoreNotDue):
            take(books, order)


def test_a_float_that_was_spent_from_is_rotated_before_anything_comes_back(books: Books) -> None:
    books.add(j.Stopped(EVM.id, "unexplained spend"))
    for scope in ("*", EVM.id):
        with pytest.raises(RestoreNotDue, match=EVM.id):
            take(books, books.restore(Stage.ALLOWLISTED, scope))
    take(books, books.restore(Stage.ALLOWLISTED, LTC.id))
    assert verdict(books) == "network-frozen"
    books.add(j.Ordered(books.house.order(RotateFloat(MOVED, 5)), books.now))
    assert verdict(books) == "network-frozen"
    take(books, books.restore(Stage.ALLOWLISTED, EVM.id))
    assert verdict(books) == "allowed"


def test_a_stop_on_the_way_back_begins_it_anew(books: Books) -> None:
    walk(books, Stage.LIMITED, EVM.id)
    books.add(j.Stopped(EVM.id, "unexplained spend"))
    books.add(j.Ordered(books.house.order(RotateFloat(MOVED, 5)), books.now))
    books.now += SOAK
    with pytest.raises(RestoreNotDue):
        take(books, books.restore(Stage.NORMAL, EVM.id))
    walk(books, Stage.NORMAL, EVM.id)
    assert verdict(books, ETHER, OTHER) == "allowed"


@pytest.mark.parametrize("scope", ["*", EVM.id, EVM.coin.id, "mer_one"])
def test_a_stage_counts_for_its_scope(books: Books, scope: str) -> None:
    walk(books, Stage.ALLOWLISTED, scope)
    assert verdict(books, ETHER, OTHER) == Rule.STAGE_ALLOWLISTED
    coin = decide(
        books.proposal(books.payout(COIN, network=LTC.id, asset=LTC.coin.id, lines=(Line(fresh_address(LTC), COIN),))),
        books.record, books.moment(),
    )  # fmt: skip
    assert isinstance(coin, Refused) == (scope in ("*", "mer_one"))


def test_of_two_scopes_the_narrower_stage_counts(books: Books) -> None:
    walk(books, Stage.LIMITED)
    take(books, books.restore(Stage.ALLOWLISTED, EVM.id))
    assert books.record.stage_of(EVM.id) is Stage.ALLOWLISTED
    assert books.record.stage_of(LTC.id) is Stage.LIMITED


def test_a_destination_that_came_on_the_list_lately_is_not_on_it_yet(books: Books) -> None:
    walk(books, Stage.ALLOWLISTED)
    second = LISTED.replace(ADDRESS, OTHER)
    books.policy((policy_text() + LISTED + second).replace("version = 1", "version = 2", 1))
    assert verdict(books, ETHER, OTHER) == Rule.STAGE_ALLOWLISTED
    books.now += 3_599
    assert verdict(books, ETHER, OTHER) == Rule.STAGE_ALLOWLISTED
    books.now += 1
    assert verdict(books, ETHER, OTHER, ADDRESS) == "allowed"


def test_a_destination_ages_on_the_list_also_after_a_looser_policy_is_in_force(books: Books) -> None:
    walk(books, Stage.ALLOWLISTED)
    text = (
        policy_text().replace("ageing_seconds = 3600", "ageing_seconds = 7200").replace("version = 1", "version = 2", 1)
    )
    books.policy(text + LISTED + LISTED.replace(ADDRESS, OTHER))
    books.now += 7_199
    assert verdict(books, ETHER, OTHER) == Rule.STAGE_ALLOWLISTED, "in force for long, and not on the list for long"
    books.now += 1
    assert verdict(books, ETHER, OTHER, ADDRESS) == "allowed"


def test_who_was_taken_off_the_list_is_not_paid_and_neither_is_whose_listing_is_over(books: Books) -> None:
    walk(books, Stage.ALLOWLISTED)
    late = books.moment(latest=10 * 365 * 86_400)
    assert not books.record.is_listed(books.record.policies.taken[0][0], ("mer_one", EVM.id, ADDRESS), late.now)
    books.policy(policy_text().replace("version = 1", "version = 2", 1))
    assert verdict(books) == Rule.STAGE_ALLOWLISTED


def test_the_open_part_of_the_limits_is_measured_from_the_step_on(books: Books) -> None:
    for _ in range(3):
        books.accept(books.proposal(books.payout(30 * ETHER)))
    walk(books, Stage.LIMITED)
    assert verdict(books, 9 * ETHER, OTHER) == "allowed"
    books.accept(books.proposal(books.payout(9 * ETHER, lines=(Line(OTHER, 9 * ETHER),))))
    assert verdict(books, 9 * ETHER, OTHER) == Rule.STAGE_LIMITED


def test_a_payout_above_the_open_part_waits_and_is_not_lost(books: Books) -> None:
    walk(books, Stage.LIMITED)
    assert not Rule.STAGE_LIMITED.is_final
    assert not Rule.STAGE_ALLOWLISTED.is_final
    proposal = books.proposal(books.payout(30 * ETHER))
    assert decide(proposal, books.record, books.moment()) == Refused(Rule.STAGE_LIMITED)
    books.now += SOAK
    take(books, books.restore(Stage.NORMAL, "*"))
    assert isinstance(decide(proposal, books.record, books.moment()), Allowed)


def test_a_signature_beyond_the_allow_list_is_no_evidence(books: Books) -> None:
    ids = [books.accept(books.proposal(books.payout(lines=(Line(to, ETHER),)))) for to in (ADDRESS, OTHER)]
    seqs = [reserve(books, (one,)) for one in ids]
    walk(books, Stage.ALLOWLISTED)
    for seq, is_listed in zip(seqs, (True, False), strict=True):
        entry = make_entry(books.record.head, j.Signed(seq, "0xabc", "00"), books.now * 1000)
        with pytest.raises(EvidenceFalse) as raised:
            replay(books.record, [entry.stored], books.house.quorum.fingerprint(), strange_outputs)
        assert ("allow-list" in str(raised.value)) is not is_listed, "a listed one fails later, for its bytes"


def reserve(books: Books, payouts: tuple[str, ...]) -> int:
    facts = (EVM.id, EVM.coin.id, "payout", "0x" + "f1" * 20, payouts, "00", ())
    body = j.Reserved(*facts, 0, ETHER, None, 0, fee_units=1, extra_fee_units=1, replaces=None, refill_seconds=0)
    return books.add(body).seq


def test_a_step_that_was_not_due_is_no_evidence(books: Books) -> None:
    order = books.house.order(books.restore(Stage.NORMAL, "*"))
    entry = make_entry(books.record.head, j.Ordered(order, books.now), books.now * 1000)
    with pytest.raises(EvidenceFalse, match="RestoreNotDue"):
        replay(books.record, [entry.stored], books.house.quorum.fingerprint(), strange_outputs)


def test_the_same_entries_make_the_same_stages(books: Books) -> None:
    walk(books, Stage.LIMITED)
    again = Record()
    for entry in books.entries:
        again.apply(entry)
    assert again == books.record
