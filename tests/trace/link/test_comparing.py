"""Which links are found, which are not made, and what each verdict rests on."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, strategies as st

from fixtures_link import ETH, ETHEREUM, NOON, USDT, Story, account
from fixtures_real_data import RealData
from holdfast.trace.labels.addresses import TRON, place_of
from holdfast.trace.link.compare import Asked, TooFewCases, compare, compare_all, judge
from holdfast.trace.link.incident import Feature, FeatureKind, Incident, held
from holdfast.trace.link.told import LinksUnreadable, for_report, read_links
from holdfast.trace.link.words import Evidence, Link, Removal, Verdict
from holdfast.trace.model import LabelKind, Movement, Reason, Transfer
from holdfast.trace.reading import ListedTransfers

COIN = 10**18
DAY = 60 * 24
"""In minutes."""


def red() -> Story:
    return (
        Story("red")
        .theft("red victim", "red 1", 100 * COIN)
        .move("red 1", "red 2", 60 * COIN)
        .move("red 1", "red 3", 40 * COIN)
    )


def blue() -> Story:
    return (
        Story("blue", NOON + 86_400 * 40)
        .theft("blue victim", "blue 1", 70 * COIN)
        .move("blue 1", "blue 2", 70 * COIN)
        .move("blue 2", "blue 3", 69 * COIN)
    )


def classes(*stories: Story) -> set[Evidence]:
    return {link.evidence for link in compare(*(story.incident() for story in stories)).links}


def test_two_strangers_share_nothing() -> None:
    found = compare(red().incident(), blue().incident())
    assert found.verdict is Verdict.NOTHING
    assert found.links == ()
    assert found.signed_by == ""


def test_a_payment_from_one_thief_to_the_other_is_class_a() -> None:
    paid = red().beside("red 3", "blue 1", 3 * COIN, minutes=5)
    found = compare(paid.incident(), blue().incident())
    assert found.verdict is Verdict.LINKED
    (link,) = found.links
    assert link.evidence is Evidence.DIRECT
    assert link.addresses == (account("red 3"), account("blue 1"))
    assert link.evidence_ids == ("red-4",)
    assert link.alternatives
    assert "consistent with" in found.sentence


def test_a_payment_to_an_address_that_the_other_has_passed_on_from_is_class_a_even_where_the_trace_went_on() -> None:
    late = red().move("red 3", "blue 2", 3 * COIN, minutes=DAY * 50)
    assert Evidence.DIRECT in classes(late, blue())


def test_two_loots_in_one_purse_are_class_b_once_not_again_at_every_later_address() -> None:
    one = (
        red().move("red 2", "purse", 60 * COIN, minutes=DAY * 41).move("purse", "purse 2", 10 * COIN, minutes=DAY * 45)
    )
    other = blue().move("blue 3", "purse", 69 * COIN).move("purse", "purse 2", 10 * COIN, minutes=DAY * 6)
    found = compare(one.incident(), other.incident())
    met = [link for link in found.links if link.evidence is Evidence.COMINGLED]
    assert [link.addresses for link in met] == [(account("purse"),)]
    assert "1 further shared" in met[0].why
    assert found.verdict is Verdict.LINKED


def test_a_shared_victim_links_nobody() -> None:
    one, other = red(), blue()
    one.move("red 3", "shop", COIN)
    other.theft("shop", "blue 1", 5 * COIN)
    other.move("blue 3", "shop", COIN)
    assert compare(one.incident(), other.incident()).verdict is Verdict.NOTHING


def fed(story: Story, last: str) -> Story:
    """A token went on to an address that has no coin to pay for its next step, and somebody sent it some."""
    purse = f"{story.name} purse"
    story.move(last, purse, 5_000_000, asset=USDT).beside("feeder", purse, COIN // 100)
    return story.move(purse, f"{purse} 2", 5_000_000, asset=USDT)


def test_the_same_gas_feeder_is_class_c_and_the_same_faucet_is_not() -> None:
    one, other = fed(red(), "red 3"), fed(blue(), "blue 3")
    found = compare(one.incident(), other.incident())
    assert [(link.evidence, link.addresses) for link in found.links] == [
        (Evidence.INFRASTRUCTURE, (account("feeder"),))
    ]  # fmt: skip
    assert found.verdict is Verdict.LINKED
    for number in range(12):
        one.beside("feeder", f"customer {number}", COIN // 100)
    assert compare(one.incident(), other.incident()).verdict is Verdict.NOTHING


def test_the_same_deposit_address_is_class_c_and_the_same_exchange_is_class_e() -> None:
    def story(name: str, deposit: str) -> Story:
        told = red() if name == "red" else blue()
        told.move(f"{name} 3", deposit, 30 * COIN).beside(deposit, "binance 14", 30 * COIN)
        return told.label("binance 14", LabelKind.EXCHANGE, "Binance")

    same = compare(story("red", "deposit").incident(), story("blue", "deposit").incident())
    assert same.verdict is Verdict.LINKED
    assert [link.evidence for link in same.links] == [Evidence.INFRASTRUCTURE]
    assert [entry.removal for entry in same.removed] == [Removal.DEPOSIT]
    apart = compare(story("red", "deposit r").incident(), story("blue", "deposit b").incident())
    assert apart.verdict is Verdict.NOTHING


def test_an_exchange_that_both_paid_links_nobody() -> None:
    one = red().move("red 3", "binance 14", 30 * COIN).label("binance 14", LabelKind.EXCHANGE, "Binance")
    other = blue().move("blue 3", "binance 14", 30 * COIN).label("binance 14", LabelKind.EXCHANGE, "Binance")
    found = compare(one.incident(), other.incident())
    assert found.verdict is Verdict.NOTHING
    assert [link.evidence for link in found.links] == [Evidence.SERVICE]
    assert found.naive.shared == 1
    assert found.overlap.shared == 0


def test_an_unlabelled_front_of_a_bridge_links_no_strangers() -> None:
    def through(story: Story, last: str) -> Story:
        story.move(last, "front", 30 * COIN).move("front", "symbiosis", 30 * COIN)
        return story.label("symbiosis", LabelKind.BRIDGE, "Symbiosis")

    found = compare(through(red(), "red 3").incident(), through(blue(), "blue 3").incident())
    assert found.verdict is Verdict.NOTHING
    assert Removal.FRONT in {entry.removal for entry in found.removed}
    assert found.naive.shared == 2


def test_a_purse_that_can_only_pay_the_bridge_with_both_loots_is_no_front() -> None:
    one = red().move("red 3", "purse", 40 * COIN, minutes=DAY * 41)
    other = blue().move("blue 3", "purse", 69 * COIN).move("purse", "symbiosis", 100 * COIN, minutes=DAY * 10)
    other.label("symbiosis", LabelKind.BRIDGE, "Symbiosis")
    found = compare(one.incident(), other.incident())
    assert found.verdict is Verdict.LINKED
    assert {link.evidence for link in found.links} >= {Evidence.COMINGLED}


def test_a_person_can_vouch_for_an_address_that_looks_like_a_front() -> None:
    one = red().move("red 3", "front", 30 * COIN).move("front", "symbiosis", 30 * COIN)
    other = blue().move("blue 3", "front", 30 * COIN).move("front", "symbiosis", 30 * COIN)
    for story in (one, other):
        story.label("symbiosis", LabelKind.BRIDGE, "Symbiosis")
    one.vouched = frozenset({(ETHEREUM, account("front"))})
    assert compare(one.incident(), other.incident()).verdict is Verdict.LINKED


def test_a_pool_without_a_label_links_nobody_neither_there_nor_behind_it() -> None:
    """Both traces ran into an unlabelled exchange and on to its other customers."""
    one = red().move("red 3", "pool", 30 * COIN)
    other = blue().move("blue 3", "pool", 30 * COIN)
    for number in range(15):
        one.beside(f"customer {number}", "pool", 5 * COIN)
    for story in (one, other):
        story.move("pool", "stranger", 9 * COIN, minutes=DAY * 60).move(
            "stranger", "stranger 2", 9 * COIN, minutes=DAY * 61
        )
    found = compare(one.incident(), other.incident())
    assert found.naive.shared == 3
    assert found.verdict is Verdict.NOTHING
    assert Removal.DEGREE in {entry.removal for entry in found.removed}


def test_dust_from_strangers_does_not_make_a_purse_a_service() -> None:
    one = red().move("red 2", "purse", 60 * COIN, minutes=DAY * 41)
    other = blue().move("blue 3", "purse", 69 * COIN)
    for number in range(50):
        one.beside(f"poisoner {number}", "purse", 1)
        one.beside(f"forger {number}", "purse", 60 * COIN, asset="eip155:1/erc20:0x" + "66" * 20)
    assert compare(one.incident(), other.incident()).verdict is Verdict.LINKED


def test_a_forged_token_between_thieves_is_no_payment() -> None:
    """Anybody can write a contract whose log says that one address paid another."""
    forged = red().beside("red 3", "blue 1", COIN, asset="eip155:1/erc20:0x" + "66" * 20)
    nothing = red().beside("red 3", "blue 1", 0)
    assert compare(forged.incident(), blue().incident()).verdict is Verdict.NOTHING
    assert compare(nothing.incident(), blue().incident()).verdict is Verdict.NOTHING


def test_a_meeting_that_rests_on_one_candidate_of_four_does_not_link() -> None:
    one = red().move("red 2", "purse", 60 * COIN, reason=Reason.CANDIDATE, confidence=25, minutes=DAY * 41)
    other = blue().move("blue 3", "purse", 69 * COIN)
    found = compare(one.incident(), other.incident())
    assert found.verdict is Verdict.SIMILAR
    assert found.links[0].confidence == 25


def test_a_coinjoin_in_which_both_loots_took_part_links_nobody() -> None:
    def joined(name: str) -> Incident:
        def row(order: int, source: str, target: str, units: int, movement: Movement) -> Transfer:
            return Transfer("bip122:0", 5, order, NOON + 60, "join", source, target, "coin", units, movement)

        rows = [row(n, who, "join", 10, Movement.INPUT) for n, who in enumerate(("red 1", "blue 1", "other"))]
        rows += [row(9 + n, "join", f"out {n}", 9, Movement.OUTPUT) for n in range(3)]
        told = Story(name)
        told.thefts = [Transfer("bip122:0", 4, 0, NOON, f"{name} theft", f"{name} victim", f"{name} 1", "coin", 10)]
        mine = [each for each in rows if each.source in (f"{name} 1", "join")]
        told.moves = [(each, Reason.DIRECT, 90) for each in mine]
        return told.incident(rows)

    one, other = joined("red"), joined("blue")
    assert not [link for link in compare(one, other).links if "join" in link.addresses]


def test_a_bitcoin_address_that_was_only_reported_and_paid_another_one_is_class_a() -> None:
    network = "bip122:000000000019d6689c085ae165831e93"

    def row(order: int, source: str, target: str, movement: Movement, units: int = 10) -> Transfer:
        return Transfer(network, 5, order, NOON, "tx", source, target, f"{network}/slip44:0", units, movement)

    plain = [row(0, "one", "tx", Movement.INPUT), row(1, "tx", "two", Movement.OUTPUT)]
    found = compare(
        Incident("a", transfers=ListedTransfers(plain), addresses=((network, "one"),)),
        Incident("b", addresses=((network, "two"),)),
    )
    assert [(link.evidence, link.addresses) for link in found.links] == [(Evidence.DIRECT, ("one", "two"))]
    mixed = [row(n, who, "tx", Movement.INPUT) for n, who in enumerate(("one", "x", "y"))]
    mixed += [row(5 + n, "tx", who, Movement.OUTPUT, 9) for n, who in enumerate(("two", "x 2", "y 2"))]
    through_coinjoin = compare(
        Incident("a", transfers=ListedTransfers(mixed), addresses=((network, "one"),)),
        Incident("b", addresses=((network, "two"),)),
    )
    assert through_coinjoin.verdict is Verdict.NOTHING


def test_one_key_on_two_networks_is_class_c() -> None:
    tron = Incident("tron", addresses=((TRON, "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem"),))
    from holdfast.trace.link.keys import key_of

    same = "0x" + key_of(TRON, "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem").removeprefix("keccak:")
    evm = Incident("evm", addresses=(("eip155:56", same),))
    found = compare(tron, evm)
    assert [link.evidence for link in found.links] == [Evidence.INFRASTRUCTURE]
    assert found.verdict is Verdict.LINKED


def test_copied_bytecode_links_only_where_somebody_looked_that_it_is_rare() -> None:
    one, other = red(), blue()
    for others, verdict in ((-1, Verdict.NOTHING), (500, Verdict.NOTHING), (0, Verdict.LINKED)):
        one.given = other.given = (Feature(FeatureKind.BYTECODE, "0xabc", others=others),)
        assert compare(one.incident(), other.incident()).verdict is verdict


def test_a_rare_order_of_services_likens_and_does_not_link() -> None:
    def routed(story: Story, last: str) -> Story:
        services = [("swft", LabelKind.SWAPPER), ("sinbad", LabelKind.MIXER)]
        for name, kind in services:
            story.label(name, kind)
        story.move(last, "swft", 30 * COIN).move(
            "swft", f"{last} back", 29 * COIN, reason=Reason.CANDIDATE, confidence=90
        )
        story.move(f"{last} back", "sinbad", 29 * COIN)
        story.label("binance", LabelKind.EXCHANGE).move(last, "binance", COIN)
        for number in range(400):
            service = "swft" if number < 5 else "sinbad" if number < 10 else "binance"
            story.beside(f"customer {number}", service, COIN)
        return story

    found = compare(routed(red(), "red 3").incident(), routed(blue(), "blue 3").incident())
    assert {link.evidence for link in found.links} == {Evidence.ROUTE, Evidence.SERVICE}
    assert found.verdict is Verdict.SIMILAR


def test_a_common_service_and_a_common_rhythm_are_worth_nothing() -> None:
    both = [Link("L01", Evidence.SERVICE, "", (), 0), Link("L02", Evidence.RHYTHM, "", (), 0)]
    assert judge(both) is Verdict.NOTHING


def test_chance_is_shown_beside_what_was_found() -> None:
    one = red().move("red 2", "purse", 60 * COIN, minutes=DAY * 41).move("red 3", "hub", COIN)
    other = blue().move("blue 3", "purse", 60 * COIN).move("blue 2", "hub", COIN)
    one.label("hub", LabelKind.EXCHANGE)
    for number in range(500):
        one.beside(f"customer {number}", "hub", 5 * COIN)
    found = compare(one.incident(), other.incident(), Asked(seed=7))
    assert found.naive.shared == 2
    assert found.overlap.shared == 1
    assert found.overlap.expected_thousandths < 1_000
    assert found == compare(one.incident(), other.incident(), Asked(seed=7)), "by its seed, the same figures"


def test_a_naive_intersection_links_strangers_and_misses_siblings() -> None:
    strangers = [red().move("red 3", "hop", COIN), blue().move("blue 3", "hop", COIN)]
    for story in strangers:
        story.label("hop", LabelKind.BRIDGE)
    siblings = [fed(red(), "red 3"), fed(blue(), "blue 3")]
    apart, kin = (compare(*(story.incident() for story in pair)) for pair in (strangers, siblings))
    assert (apart.naive.shared, apart.verdict) == (1, Verdict.NOTHING)
    assert (kin.naive.shared, kin.verdict) == (0, Verdict.LINKED)


def test_every_pair_of_many_is_compared() -> None:
    found = compare_all([red().incident(), blue().incident(), Story("green").theft("g", "g 1", 5).incident()])
    assert [each.cases for each in found.comparisons] == [("red", "blue"), ("red", "green"), ("blue", "green")]
    with pytest.raises(TooFewCases):
        compare_all([red().incident(), red().incident()])


def test_the_link_that_was_published_in_july_2023_is_found_from_its_one_transfer(real_data: RealData) -> None:
    seeds = json.loads(real_data.part("incident-seeds", "dprk_incident_seeds.json").read_text())
    (published,) = seeds["published_links"]
    source, target = (place_of(TRON, published[end]).address for end in ("src", "dst"))
    moved = Transfer(TRON, 1, 0, NOON, "t", source, target, f"{TRON}/slip44:195", 1)
    store = ListedTransfers([moved])
    atomic = Incident("atomic-2023", transfers=store, addresses=((TRON, source),))
    coinspaid = Incident("coinspaid-2023", transfers=store, addresses=((TRON, target),))
    found = compare(atomic, coinspaid)
    assert found.verdict is Verdict.LINKED
    assert [link.evidence for link in found.links] == [Evidence.DIRECT]
    assert " is Lazarus" not in found.sentence


def test_incidents_known_only_by_their_addresses_are_not_linked_for_that(real_data: RealData) -> None:
    seeds = json.loads(real_data.part("incident-seeds", "dprk_incident_seeds.json").read_text())
    told = []
    for incident in seeds["incidents"]:
        places = [place_of(each["chain"], each["address"]) for each in incident["addresses"]]
        told.append(Incident(incident["id"], addresses=tuple((each.network, each.address) for each in places)))
    found = compare_all(told)
    assert len(found.comparisons) == 15
    shared = [each.cases for each in found.comparisons if each.verdict is not Verdict.NOTHING]
    assert shared == []


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(1, 9)), max_size=25))
def test_whatever_lay_only_behind_a_removed_address_is_not_held(rows: list[tuple[int, int, int]]) -> None:
    story = Story("any").theft("victim", "n0", 100)
    for source, target, units in rows:
        story.move(f"n{source}", f"n{target}", units)
    gone = (ETHEREUM, account("n1"))
    left = held(story.incident(), {gone})
    assert gone not in left
    reached = {(ETHEREUM, account("n0"))}
    for each, _, _ in story.moves:
        if (ETHEREUM, each.source) in reached and (ETHEREUM, each.target) != gone:
            reached.add((ETHEREUM, each.target))
    assert left.keys() == reached
    assert ETH.startswith(ETHEREUM)


def test_the_report_is_told_of_each_other_incident(tmp_path: Path) -> None:
    paid = red().beside("red 3", "blue 1", 3 * COIN, minutes=5)
    found = compare_all([blue().incident(), paid.incident(), Story("green").theft("g", "g 1", 5).incident()])
    path = tmp_path / "links.json"
    assert read_links(path) is None
    path.write_bytes(msgspec.json.encode(found))
    again = read_links(path)
    assert again == found
    told = {each.incident: each for each in for_report(found, "red")}
    assert {name: each.verdict for name, each in told.items()} == {"blue": "linked", "green": "nothing"}
    assert told["blue"].classes == ("A",)
    assert "signed by nobody" in told["blue"].facts
    path.write_text("{")
    with pytest.raises(LinksUnreadable):
        read_links(path)
