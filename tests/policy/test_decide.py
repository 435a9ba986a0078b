"""The ladder: of a good payout one thing is broken, and exactly that rule refuses it, in the order of `Rule`."""

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_policy import ADDRESS, NOW, SAFE, Books
from fixtures_signer import ETHER, EVM, policy_text
from fixtures_watchtower import key_hex
from holdfast.core import canonical
from holdfast.core.evm import parse_address
from holdfast.core.intents import APPROVAL_TAG, Conversion, Line, StandingOrder
from holdfast.core.journal import Stopped, VetoTaken
from holdfast.core.orders import VETO_TAG, SignedWord, Stage, Veto
from holdfast.core.quorum import Signature, tagged
from holdfast.policy import decide as ladder
from holdfast.policy.decide import Allowed, Moment, Proposal, Refused, decide
from holdfast.policy.rules import Rule

Case = Callable[[Books], tuple[Proposal, Moment]]


def of(books: Books, proposal: Proposal, *frozen: str, **times: int) -> tuple[Proposal, Moment]:
    return proposal, books.moment(*frozen, **times)


def malformed(books: Books) -> tuple[Proposal, Moment]:
    good = books.proposal()
    signed = msgspec.structs.replace(good.intent, document=good.intent.document.replace('"number":', '"number" :'))
    return of(books, msgspec.structs.replace(good, intent=signed))


def conversion(books: Books) -> tuple[Proposal, Moment]:
    wish = Conversion("mer_one", EVM.id, EVM.coin.id, 5, EVM.id, EVM.coin.id, 4, "ab" * 32, 7, NOW, NOW + 60, "swap")
    return of(books, books.proposal(wish))


def too_long_lived(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(books.payout(expires_at=NOW + 604_800)))


def unknown(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(books.payout(merchant="mer_nobody")))


def badly_signed(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(key=Ed25519PrivateKey.generate()))


def expired(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(), latest=3600)


def number_reused(books: Books) -> tuple[Proposal, Moment]:
    books.accept(books.proposal(books.payout(number=77)))
    return of(books, books.proposal(books.payout(number=77, units=2)))


def vetoed(books: Books) -> tuple[Proposal, Moment]:
    document = canonical.write(Veto("mer_one", 2, key_hex(books.merchant), NOW))
    word = SignedWord(document.decode(), books.merchant.sign(tagged(VETO_TAG, document)).hex())
    proposal = books.proposal()
    books.add(VetoTaken(word, NOW))
    return of(books, proposal)


def certificate_expired(books: Books) -> tuple[Proposal, Moment]:
    books.certify(2, expires_at=datetime.fromtimestamp(NOW, UTC) + timedelta(seconds=1))
    return of(books, books.proposal(), latest=1)


def early(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(), earliest=-11)


def policy_expired(books: Books) -> tuple[Proposal, Moment]:
    text = (
        policy_text().replace("version = 1", "version = 2", 1).replace("2036-01-01T00:00:00Z", "2027-01-15T08:00:00Z")
    )
    books.policy(text)
    return of(books, books.proposal())


def network_unlisted(books: Books) -> tuple[Proposal, Moment]:
    asset = "eip155:1/slip44:60"
    return of(books, books.proposal(books.payout(network="eip155:1", asset=asset)))


def asset_unlisted(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(books.payout(asset=f"{EVM.id}/erc20:0x{'77' * 20}")))


def to_the_vault(books: Books) -> tuple[Proposal, Moment]:
    books.record.floats[EVM.id] = msgspec.structs.replace(books.record.floats[EVM.id], vault=parse_address(SAFE))
    return of(books, books.proposal(books.payout(lines=(Line(parse_address(SAFE), ETHER),))))


def network_frozen(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(), EVM.id)


def asset_frozen(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(), EVM.coin.id)


def only_just_restored(books: Books) -> tuple[Proposal, Moment]:
    books.step(Stage.ALLOWLISTED, "*")
    return of(books, books.proposal())


def beyond_the_open_part(books: Books) -> tuple[Proposal, Moment]:
    books.step(Stage.LIMITED, EVM.id)
    return of(books, books.proposal(books.payout(10 * ETHER + 1)))


def unapproved(books: Books) -> tuple[Proposal, Moment]:
    return of(books, books.proposal(books.payout(41 * ETHER)))


def without_money(books: Books) -> tuple[Proposal, Moment]:
    for _ in range(5):
        books.accept(books.proposal(books.payout(ETHER * 39)))
    return of(books, books.proposal(books.payout(ETHER * 5 + 1)))


def too_large(books: Books) -> tuple[Proposal, Moment]:
    books.deposit(1_000 * ETHER)
    return of(books, approved(books, books.proposal(books.payout(ETHER * 51))))


def _spend(books: Books, ethers: int, **more: object) -> None:
    books.deposit(2_000 * ETHER)
    while ethers > 0:
        units = min(ethers, 30)
        books.accept(books.proposal(books.payout(units * ETHER, **more)))
        ethers -= units


def new_destinations(books: Books) -> tuple[Proposal, Moment]:
    _spend(books, 90)
    return of(books, books.proposal(books.payout(11 * ETHER)))


def _aged(books: Books) -> None:
    books.record.destinations["mer_one", EVM.id, ADDRESS] = -3_600


def aged_destinations(books: Books) -> tuple[Proposal, Moment]:
    books.certify_other()
    _aged(books)
    books.policy(_narrow("aged", 20))
    _spend(books, 10)
    return of(books, books.proposal(books.payout(11 * ETHER)))


def listed_destinations(books: Books) -> tuple[Proposal, Moment]:
    text = _narrow("listed", 20) + (
        f'[[listed]]\nmerchant = "mer_one"\nnetwork = "{EVM.id}"\naddress = "{ADDRESS}"\n'
        "expires_at = 2035-01-01T00:00:00Z\n"
    )
    books.record.policies.taken.clear()
    books.policy(text)
    _spend(books, 10)
    return of(books, books.proposal(books.payout(11 * ETHER)))


def _narrow(name: str, burst: int) -> str:
    text = policy_text().replace("version = 1", "version = 2", 1)
    return re.sub(rf"^{name} = .*$", f'{name} = {{ burst = "{burst}", per_day = "1" }}', text, flags=re.M)


def merchant_limit(books: Books) -> tuple[Proposal, Moment]:
    books.policy(_narrow("merchant", 20))
    _spend(books, 10)
    return of(books, books.proposal(books.payout(11 * ETHER)))


def total_limit(books: Books) -> tuple[Proposal, Moment]:
    books.policy(_narrow("total", 20))
    _spend(books, 10)
    return of(books, books.proposal(books.payout(11 * ETHER)))


def too_much_unconfirmed(books: Books) -> tuple[Proposal, Moment]:
    text = (
        policy_text()
        .replace("version = 1", "version = 2", 1)
        .replace('unconfirmed_max = "200"', 'unconfirmed_max = "50"')
    )
    books.policy(text)
    _spend(books, 40)
    return of(books, books.proposal(books.payout(11 * ETHER)))


def approved(books: Books, proposal: Proposal) -> Proposal:
    document = proposal.intent.document.encode()
    key = books.house.officers[0]
    approval = Signature(key_hex(key), key.sign(tagged(APPROVAL_TAG, document)).hex())
    return msgspec.structs.replace(proposal, approvals=(approval,))


LADDER: dict[Rule, Case] = {
    Rule.INTENT_MALFORMED: malformed,
    Rule.INTENT_KIND_UNSUPPORTED: conversion,
    Rule.INTENT_TOO_LONG_LIVED: too_long_lived,
    Rule.MERCHANT_UNKNOWN: unknown,
    Rule.SIGNATURE_INVALID: badly_signed,
    Rule.INTENT_EXPIRED: expired,
    Rule.NUMBER_REUSED: number_reused,
    Rule.MERCHANT_FROZEN: vetoed,
    Rule.CERTIFICATE_EXPIRED: certificate_expired,
    Rule.INTENT_EARLY: early,
    Rule.POLICY_EXPIRED: policy_expired,
    Rule.NETWORK_UNLISTED: network_unlisted,
    Rule.ASSET_UNLISTED: asset_unlisted,
    Rule.DESTINATION_OURS: to_the_vault,
    Rule.NETWORK_FROZEN: network_frozen,
    Rule.ASSET_FROZEN: asset_frozen,
    Rule.STAGE_ALLOWLISTED: only_just_restored,
    Rule.APPROVALS_MISSING: unapproved,
    Rule.ENTITLEMENT_SHORT: without_money,
    Rule.PAYOUT_TOO_LARGE: too_large,
    Rule.LIMIT_NEW_DESTINATIONS: new_destinations,
    Rule.LIMIT_AGED_DESTINATIONS: aged_destinations,
    Rule.LIMIT_LISTED_DESTINATIONS: listed_destinations,
    Rule.LIMIT_MERCHANT: merchant_limit,
    Rule.LIMIT_TOTAL: total_limit,
    Rule.UNCONFIRMED_TOO_MUCH: too_much_unconfirmed,
    Rule.STAGE_LIMITED: beyond_the_open_part,
}
BUILD = (
    Rule.NETWORK_UNSEEN, Rule.LINES_IMPOSSIBLE, Rule.FLOAT_SHORT, Rule.FEE_RATE_TOO_HIGH, Rule.FEE_TOO_HIGH,
    Rule.LIMIT_FEES,
)  # fmt: skip
"""Looked at when a transaction is built: see tests/signer."""


@pytest.fixture
def books() -> Books:
    return Books().ready()


def test_a_good_payout_is_allowed_as_it_was_signed(books: Books) -> None:
    payout = books.payout()
    assert decide(books.proposal(payout), books.record, books.moment()) == Allowed(payout)


@pytest.mark.parametrize("rule", LADDER, ids=str)
def test_one_thing_wrong_is_one_rule(rule: Rule, books: Books) -> None:
    proposal, moment = LADDER[rule](books)
    decision = decide(proposal, books.record, moment)
    assert isinstance(decision, Refused)
    assert decision.rule is rule


def test_the_ladder_the_enum_and_these_tests_have_one_order() -> None:
    assert [*LADDER, *BUILD] == list(Rule)
    source = (
        inspect.getsource(ladder.decide) + inspect.getsource(ladder)[inspect.getsource(ladder).index("_CLASS_RULES") :]
    )
    named = list(dict.fromkeys(re.findall(r"Rule\.([A-Z_]+)", source)))
    order = [name for name in named if name not in ("PAYOUT_TOO_LARGE", "UNCONFIRMED_TOO_MUCH", "STAGE_LIMITED")]
    assert order == [rule.name for rule in LADDER if rule.name in order]


def test_deciding_changes_nothing(books: Books) -> None:
    before = (books.record.head, dict(books.record.entitlements), dict(books.record.usage))
    decide(books.proposal(), books.record, books.moment())
    assert before == (books.record.head, books.record.entitlements, books.record.usage)


def test_an_officer_approves_this_very_intent_and_no_other(books: Books) -> None:
    first, second = books.proposal(books.payout(41 * ETHER)), books.proposal(books.payout(42 * ETHER))
    assert isinstance(decide(approved(books, first), books.record, books.moment()), Allowed)
    borrowed = msgspec.structs.replace(second, approvals=approved(books, first).approvals)
    assert decide(borrowed, books.record, books.moment()) == Refused(Rule.APPROVALS_MISSING)
    stranger = Ed25519PrivateKey.generate()
    document = second.intent.document.encode()
    forged = Signature(key_hex(stranger), stranger.sign(tagged(APPROVAL_TAG, document)).hex())
    assert decide(msgspec.structs.replace(second, approvals=(forged,)), books.record, books.moment()) == Refused(
        Rule.APPROVALS_MISSING
    )


def test_while_a_looser_policy_waits_both_must_allow(books: Books) -> None:
    looser = policy_text().replace("version = 1", "version = 2", 1).replace('payout_max = "50"', 'payout_max = "90"')
    books.deposit(100 * ETHER)
    books.policy(looser)
    large = approved(books, books.proposal(books.payout(60 * ETHER)))
    assert decide(large, books.record, books.moment()) == Refused(Rule.PAYOUT_TOO_LARGE)
    assert decide(large, books.record, books.moment(earliest=3_599)) == Refused(Rule.PAYOUT_TOO_LARGE)
    books.now += 3_600
    later = approved(books, books.proposal(books.payout(60 * ETHER)))
    assert isinstance(decide(later, books.record, books.moment()), Allowed)


def test_a_signers_clock_moved_a_month_ahead_brings_no_policy_forward(books: Books) -> None:
    looser = policy_text().replace("version = 1", "version = 2", 1).replace('payout_max = "50"', 'payout_max = "90"')
    books.policy(looser)
    books.deposit(100 * ETHER)
    month = 30 * 86_400
    payout = books.payout(60 * ETHER, not_before=NOW - 10, expires_at=NOW + 604_000)
    moment = books.moment(latest=month)
    assert isinstance(decide(approved(books, books.proposal(payout)), books.record, moment), Refused)


def test_a_tighter_policy_counts_at_once(books: Books) -> None:
    books.policy(
        policy_text().replace("version = 1", "version = 2", 1).replace('payout_max = "50"', 'payout_max = "0.5"')
    )
    assert decide(books.proposal(), books.record, books.moment()) == Refused(Rule.PAYOUT_TOO_LARGE)


def test_what_the_signer_stopped_by_itself_stays_stopped_without_any_watchtower(books: Books) -> None:
    books.add(Stopped(EVM.id, "unexplained spend"))
    assert decide(books.proposal(), books.record, books.moment()) == Refused(Rule.NETWORK_FROZEN)


def test_a_standing_order_is_paid_slot_by_slot_to_its_one_destination(books: Books) -> None:
    order = StandingOrder("mer_one", EVM.id, EVM.coin.id, ADDRESS, 3 * ETHER, 0, 3_600, 9, NOW, NOW + 10**7, "weekly")
    first = books.proposal(order, slot=0, slot_units=2 * ETHER)
    allowed = decide(first, books.record, books.moment())
    assert isinstance(allowed, Allowed)
    assert allowed.payout.lines == (Line(ADDRESS, 2 * ETHER),)
    for slot, units in ((None, 0), (0, 3 * ETHER + 1), (0, 0), (-1, ETHER)):
        bad = books.proposal(order, slot=slot, slot_units=units)
        decision = decide(bad, books.record, books.moment())
        assert isinstance(decision, Refused)
        assert decision.rule is Rule.INTENT_MALFORMED
    assert decide(books.proposal(order, slot=1, slot_units=ETHER), books.record, books.moment()) == Refused(
        Rule.INTENT_EARLY
    )
    books.now += 3_600
    assert decide(first, books.record, books.moment()) == Refused(Rule.INTENT_EXPIRED)


def test_a_replayed_intent_is_known_by_its_number_even_with_another_reference(books: Books) -> None:
    books.accept(books.proposal(books.payout(number=50)))
    again = books.proposal(books.payout(number=50, reference="something else"))
    assert decide(again, books.record, books.moment()) == Refused(Rule.NUMBER_REUSED, "50")
    books.accept(books.proposal(books.payout(number=2**33)))
    old = books.proposal(books.payout(number=51))
    assert decide(old, books.record, books.moment()) == Refused(Rule.NUMBER_REUSED, "51")


def test_money_for_one_merchant_is_nobody_elses(books: Books) -> None:
    thief = Ed25519PrivateKey.generate()
    books.certify_other(thief)
    theft = books.proposal(books.payout(merchant="mer_two"), key=thief)
    decision = decide(theft, books.record, books.moment())
    assert isinstance(decision, Refused)
    assert decision.rule is Rule.ENTITLEMENT_SHORT
    forged = books.proposal(books.payout(), key=thief)
    assert decide(forged, books.record, books.moment()) == Refused(Rule.SIGNATURE_INVALID)
