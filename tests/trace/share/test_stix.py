"""What is shared as STIX 2.1 is what the standard's own library reads, and comes back as it went."""

import json

import pytest
import stix2
import stix2.pattern_visitor
from hypothesis import given, settings

from fixtures_link import ETH, ETHEREUM, NOON, USDT, Story, account
from fixtures_notices import notices
from holdfast.trace.link.compare import compare
from holdfast.trace.link.incident import Incident
from holdfast.trace.model import FEES, LabelKind, Movement, Reason, Step, Trace, Transfer
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.share import stix, stix_objects as objects
from holdfast.trace.share.leaving import NothingToShare, Telling, notice
from holdfast.trace.share.notice import (
    Notice,
    NoticeMalformed,
    Role,
    Tlp,
)
from holdfast.trace.share.private_set import private_set

WEI = 98_048_894_800_000_000_000_001
TELLING = Telling("inc-2023-07", "Theft of July", "Shop Ltd", NOON + 86_400)


def story() -> Story:
    told = Story("red").theft("red victim", "red 1", WEI).move("red 1", "red 2", WEI - 5).move("red 2", "deposit", 7)
    told.move("red 2", "binance 14", 8).move("red 2", "our customer", 9).move("red 1", "red 3", 5_000_001, asset=USDT)
    return told.label("deposit", LabelKind.DEPOSIT, "Binance").label("binance 14", LabelKind.EXCHANGE, "Binance")


def told() -> Notice:
    own = frozenset({(ETHEREUM, account("our customer"))})
    return notice(story().incident(), Telling("inc-2023-07", "Theft of July", "Shop Ltd", NOON + 86_400, own=own))


def test_a_notice_comes_back_from_stix_as_it_went() -> None:
    went = told()
    back = stix.read(stix.bundle(went))
    assert back.refused == ()
    (notice_,) = back.notices
    assert {each.account: each for each in notice_.addresses} == {each.account: each for each in went.addresses}
    assert sorted(notice_.transactions, key=lambda each: each.time) == sorted(
        went.transactions, key=lambda each: each.time
    )
    assert (notice_.incident, notice_.name, notice_.by, notice_.tlp) == (went.incident, went.name, went.by, went.tlp)
    assert (notice_.started_at, notice_.created_at, notice_.modified_at) == (
        went.started_at, went.created_at, went.modified_at,
    )  # fmt: skip


def test_amounts_are_exact_to_the_unit() -> None:
    (back,) = stix.read(stix.bundle(told())).notices
    units = {each.address: each.units for each in back.addresses}
    assert units[account("red 1")] == {ETH: WEI}
    assert any(side.units == WEI - 5 for each in back.transactions for side in each.outputs)


def test_the_library_of_the_standard_reads_every_object() -> None:
    document = json.loads(stix.bundle(told()))
    parsed = stix2.parse(document, allow_custom=False)
    kinds = {each["type"] for each in parsed["objects"]}
    assert kinds == {
        "marking-definition", "identity", "extension-definition", "incident", "cryptocurrency-wallet", "indicator",
        "relationship", "cryptocurrency-transaction", "grouping",
    }  # fmt: skip
    known = {each["id"] for each in parsed["objects"]}
    for each in parsed["objects"]:
        refs = [*each.get("object_refs", []), *each.get("object_marking_refs", [])]
        refs += [each[name] for name in ("source_ref", "target_ref", "created_by_ref") if name in each]
        refs += [side["address_ref"] for name in ("input", "output") for side in each.get(name, [])]
        assert set(refs) <= known, "every reference can be followed inside the bundle"


def test_the_same_theft_told_again_is_a_newer_version_of_the_same_objects() -> None:
    first, later = told(), told()
    import msgspec

    later = msgspec.structs.replace(later, modified_at=later.modified_at + 60)
    ids = [[each["id"] for each in json.loads(stix.bundle(one))["objects"]] for one in (first, later)]
    assert ids[0] == ids[1]
    assert stix.bundle(first) == stix.bundle(first)


def test_an_address_has_one_id_however_it_is_written() -> None:
    made = {each["value"]: each["id"] for each in json.loads(stix.bundle(told()))["objects"] if "value" in each}
    red = account("red 1")
    assert made[red] == objects.wallet_id(red)
    assert objects.Wallet(value=red).id == made[red]


def test_markings_are_the_ones_of_tlp_2_and_the_default_is_amber_strict() -> None:
    assert told().tlp is Tlp.AMBER_STRICT
    for tlp in Tlp:
        made = json.loads(objects.marking(tlp).serialize())
        assert made["extensions"][objects.TLP2_EXTENSION]["tlp_2_0"] == tlp.value
        assert objects.tlp_of([made["id"]]) is tlp
    assert objects.tlp_of([objects.TLP2[Tlp.CLEAR], objects.TLP2[Tlp.RED]]) is Tlp.RED
    assert objects.tlp_of([stix2.TLP_AMBER.id]) is Tlp.AMBER
    assert objects.tlp_of([]) is Tlp.AMBER_STRICT


def test_victims_customers_and_services_never_leave() -> None:
    document = stix.bundle(told()).decode()
    for name in ("red victim", "our customer", "binance 14"):
        assert account(name).lower() not in document.lower(), name
    roles = {each.address: (each.role, each.service) for each in told().addresses}
    assert roles[account("deposit")] == (Role.DEPOSIT, "Binance")
    assert roles[account("red 1")] == (Role.THIEF, "")


def test_a_customer_on_another_network_of_the_same_key_does_not_leave_either() -> None:
    own = frozenset({("eip155:56", account("red 2").lower())})
    made = notice(story().incident(), Telling("i", "n", "b", NOON, own=own))
    assert account("red 2") not in {each.address for each in made.addresses}


def test_a_trace_of_services_alone_shares_nothing() -> None:
    only = Story("red").theft("v", "binance", 5).label("binance", LabelKind.EXCHANGE)
    with pytest.raises(NothingToShare):
        notice(only.incident(), TELLING)


def test_what_is_malformed_is_refused_with_its_reason_and_the_rest_is_read() -> None:
    document = json.loads(stix.bundle(told()))
    document["objects"] += [
        "no object",
        {"type": "indicator", "spec_version": "2.1", "id": "indicator--1"},
        {"type": "cryptocurrency-wallet", "id": 5},
    ]
    back = stix.read(json.dumps(document).encode())
    assert len(back.refused) == 3
    assert len(back.notices[0].addresses) == len(told().addresses)


@pytest.mark.parametrize("document", [b"", b"[]", b'{"objects": 5}', b"[" * 100_000, b"\xff"])
def test_what_is_no_bundle_is_refused_whole(document: bytes) -> None:
    with pytest.raises(NoticeMalformed):
        stix.read(document)


def test_an_address_that_is_taken_back_is_read_as_revoked() -> None:
    import msgspec

    went = told()
    gone = msgspec.structs.replace(went.addresses[0], revoked=True)
    back = stix.read(stix.bundle(msgspec.structs.replace(went, addresses=(gone,)))).notices[0]
    assert back.addresses[0].revoked


def test_a_plain_indicator_of_others_is_read_without_our_extension() -> None:
    theirs = stix2.v21.Bundle(
        stix2.v21.Indicator(
            pattern="[cryptocurrency-wallet:value = 'TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem']",
            pattern_type="stix", valid_from="2023-07-26T00:00:00Z", name="exploiter",
        ),
        allow_custom=True,
    )  # fmt: skip
    (notice_,) = stix.read(theirs.serialize().encode()).notices
    (address,) = notice_.addresses
    assert (address.network, address.address) == ("", "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem")
    assert notice_.tlp is Tlp.AMBER_STRICT


@given(notices())
@settings(deadline=None, max_examples=40)
def test_any_notice_survives_the_way_through_stix(went: Notice) -> None:
    (back,) = stix.read(stix.bundle(went)).notices
    assert {each.account: each for each in back.addresses} == {each.account: each for each in went.addresses}
    assert back.transactions == went.transactions
    assert (back.incident, back.name, back.by, back.tlp, back.confidence) == (
        went.incident, went.name, went.by, went.tlp, went.confidence,
    )  # fmt: skip


def bitcoin_theft(name: str) -> Incident:
    network, coin = "bip122:000000000019d6689c085ae165831e93", "bip122:000000000019d6689c085ae165831e93/slip44:0"
    tx = f"{name} tx"
    ends = [(f"{name} victim", tx, Movement.INPUT), (tx, f"{name} thief", Movement.OUTPUT), (tx, FEES, Movement.FEE)]
    rows = [
        Transfer(network, 9, n, NOON + n, tx, source, target, coin, 100, movement)
        for n, (source, target, movement) in enumerate(ends)
    ]
    steps = [Step(f"E{n}", each, 1, Reason.DIRECT if n else Reason.THEFT, 95, {}) for n, each in enumerate(rows)]
    return Incident(name, Trace(rows[:1], steps), ListedTransfers(rows))


def test_of_a_theft_in_the_bitcoin_family_addresses_are_shared_and_transactions_are_none() -> None:
    incident = bitcoin_theft("one")
    made = notice(incident, TELLING)
    assert [(each.address, each.role) for each in made.addresses] == [("one thief", Role.THIEF)]
    assert [each.rpartition(":")[2] for each in private_set(incident).elements] == ["one thief"]


def test_fees_that_both_paid_link_nobody() -> None:
    found = compare(bitcoin_theft("one"), bitcoin_theft("other"))
    assert found.links == ()
    assert found.naive.shared == 0
