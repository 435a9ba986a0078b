"""Label feeds as they really are, and as they should not be."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from fixtures_real_data import RealData
from holdfast.trace.labels import ofac
from holdfast.trace.labels.addresses import ANY_EVM, BITCOIN, BITCOIN_CASH, TRON, place_of
from holdfast.trace.labels.book import Book
from holdfast.trace.labels.claims import Feed, RefusedFor
from holdfast.trace.labels.feeds import Reading, followed, read_bytes, read_file
from holdfast.trace.labels.tagpacks import FeedMalformed, actors_of, loaded
from holdfast.trace.model import LabelKind

SEPTEMBER_2024 = 1_725_148_800
NOVEMBER_2025 = 1_763_510_400
ROUTER = "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D"


def reading(**how: Any) -> Reading:
    return Reading(**{"family": "a list", "at": NOVEMBER_2025, **how})


def test_a_tag_inherits_from_its_packs_header_what_it_does_not_say_itself() -> None:
    pack = b"""
title: A pack
confidence: authority_data
currency: BTC
label: Somebody
abuse: ransomware
lastmod: 2022-04-15
tags:
- address: 134r8iHv69xdT6p5qVKTsHrcUEuBVZAYak
- address: '0x098B716B8Aaf21512996dC57EB0615e2383E2f96'
  currency: ETH
  label: Another
"""
    first, second = read_bytes(pack, ".yaml", reading(ceiling=100)).labels
    assert (first.network, first.name, first.kind, first.confidence) == (BITCOIN, "Somebody", LabelKind.CRIME, 90)
    assert (second.network, second.name, second.kind) == ("eip155:1", "Another", LabelKind.CRIME)
    assert first.stated_at == 1_649_980_800


def test_an_exchange_is_told_from_its_token_and_from_who_stole_from_it() -> None:
    pack = b"""
currency: ETH
confidence: web_crawl
tags:
- {address: '0x3f5ce5fbfe3e9af3971dd833d26ba9b5c936f0be', label: 'Binance 1', actor: binance}
- {address: '0xb8c77482e45f1f44de1745f52c74426c631bdd52', label: 'Binance Token (BNB)', category: exchange}
- {address: '0xa09871aeadf4994ca12f5c0b6056bbd1d343c029', label: 'Upbit Hacker 1', category: exchange}
"""
    actors = actors_of(loaded(b"actors:\n- {id: binance, label: Binance, categories: [exchange]}\n"))
    kinds = [label.kind for label in read_bytes(pack, ".yaml", reading(ceiling=100, actors=actors)).labels]
    assert kinds[:2] == [LabelKind.EXCHANGE, LabelKind.CONTRACT]


def test_rows_that_cannot_be_read_are_counted_with_their_reason_and_the_rest_counts() -> None:
    rows = f"""network,address,name,kind,confidence
ETH,{ROUTER},Router,dex,80
ETH,0x7a250d5630b4cF539739dF2C5dAcb4c659F2488D,wrong case,theft,80
BTC,134r8iHv69xdT6p5qVKTsHrcUEuBVZAYaj,wrong letter,theft,80
ETH,hello,no address,theft,80
DOT,5Dtwxc,unknown network,theft,80
,{ROUTER},no network,theft,80
ETH,{ROUTER},no kind,,80
"""
    feed = read_bytes(rows.encode(), ".csv", reading(ceiling=70))
    assert [(label.address, label.confidence) for label in feed.labels] == [(ROUTER, 70)]
    assert sorted(each.reason for each in feed.refused) == sorted([
        RefusedFor.CHECKSUM, RefusedFor.CHECKSUM, RefusedFor.MALFORMED, RefusedFor.NETWORK, RefusedFor.WORDS,
        RefusedFor.WORDS,
    ])  # fmt: skip


def test_json_lists_of_objects_are_read_however_their_columns_are_called() -> None:
    row = {"chain": "TRON", "address": "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem", "role": "laundering", "confidence": "high"}
    text = msgspec.json.encode({"labels": [row]})
    (label,) = read_bytes(text, ".json", reading(ceiling=100, name="CoinsPaid")).labels
    assert (label.network, label.kind, label.confidence, label.name) == (TRON, LabelKind.THEFT, 75, "CoinsPaid")


def test_a_list_of_incidents_gives_each_of_its_addresses_the_incidents_name() -> None:
    incident = {
        "name": "A theft",
        "addresses": [{"chain": "ETH", "address": ROUTER, "role": "exploiter", "ref": "a page"}],
    }
    (label,) = read_bytes(msgspec.json.encode({"incidents": [incident]}), ".json", reading(family="seeds")).labels
    assert (label.name, label.kind, label.source) == ("A theft", LabelKind.THEFT, "seeds: a page")


def test_the_real_seeds_of_six_incidents_can_be_read(real_data: RealData) -> None:
    feed = read_file(real_data.seeds, reading(family="seeds", ceiling=80))
    assert len(feed.labels) >= 90
    assert len({label.name for label in feed.labels}) == 6


@pytest.mark.parametrize(
    ("ticker", "text", "network"),
    [
        ("XBT", "12QtD5BFwRsdNsAZY76UVE1xyCGNTojH9h", BITCOIN),
        ("XBT", "TUCsTq7TofTCJRRoHk6RvhMoS2mJLm5Yzq", TRON),
        ("BCH", "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a", BITCOIN_CASH),
        ("USDT", "0x098B716B8Aaf21512996dC57EB0615e2383E2f96", ANY_EVM),
        ("USDT", "TA3941uFAvmVibSkQ6fMJXxmaSNovX86mz", TRON),
    ],
)
def test_an_address_is_placed_on_the_network_that_its_own_form_shows(ticker: str, text: str, network: str) -> None:
    assert place_of(ticker, text).network == network


def test_both_forms_of_a_bitcoin_cash_address_are_one_place() -> None:
    # The pair of the cashaddr specification.
    cash = place_of("BCH", "bitcoincash:qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a")
    assert cash == place_of("BCH", "1BpEi6DfDAUFd7GtittLSdBeYJvcoaVggu")


LIST = """<Sanctions><DateOfIssue><Year>2025</Year><Month>11</Month><Day>19</Day></DateOfIssue>
<FeatureType ID="345">Digital Currency Address - ETH</FeatureType>
<DistinctParty><Profile ID="1"><Alias Primary="true"><NamePartValue ScriptID="215">X</NamePartValue></Alias>
<Feature FeatureTypeID="345"><VersionDetail>0x098B716B8Aaf21512996dC57EB0615e2383E2f96</VersionDetail></Feature>
</Profile></DistinctParty><SanctionsEntry ProfileID="1"><EntryEvent><Date><Year>2022</Year><Month>4</Month><Day>14</Day>
</Date></EntryEvent></SanctionsEntry></Sanctions>"""


def test_a_party_is_sanctioned_from_the_day_of_its_entry_and_entities_are_refused_even_in_a_whole_list() -> None:
    (claim,) = ofac.parsed([LIST.encode()]).claims
    assert (claim.name, claim.valid_from, claim.stated_at) == ("X", 1_649_894_400, 1_763_510_400)
    with pytest.raises(FeedMalformed):
        ofac.parsed([b'<!DOCTYPE x [<!ENTITY a "x">]>', LIST.replace(">X<", ">&a;<").encode()])


@pytest.mark.parametrize(
    "text",
    [
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><Sanctions>&a;</Sanctions>',
        b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><Sanctions>&b;</Sanctions>',
        b"<Sanctions><DateOfIssue>",
        b"<Sanctions/>",
        b"\x00\x01",
    ],
)
def test_xml_with_entities_or_cut_off_is_refused_whole(text: bytes) -> None:
    with pytest.raises(FeedMalformed):
        ofac.parsed([text])


@pytest.mark.parametrize(
    "text", [b"- 1\n- 2", b"a: [", b"tags: {a: 1}", b"\xff\xfe", b"!!python/object/new:os.system [ls]"]
)
def test_yaml_that_is_no_pack_or_wants_to_be_a_program_is_refused(text: bytes) -> None:
    with pytest.raises(FeedMalformed):
        read_bytes(text, ".yaml", reading())


def test_what_the_next_reading_says_no_longer_ends_and_what_comes_back_begins_anew() -> None:
    def of(at: int, *addresses: str) -> Feed:
        rows = "\n".join(addresses).encode()
        return read_bytes(rows, ".txt", reading(at=at, network="ETH", kind=LabelKind.SANCTIONED, name="X"))

    first = of(1000, ROUTER)
    gone = followed(first, of(2000, "0x098B716B8Aaf21512996dC57EB0615e2383E2f96"))
    back = followed(gone, of(3000, ROUTER))
    book = Book(back.labels)
    assert [bool(book.labels("eip155:1", ROUTER, at)) for at in (1500, 2500)] == [True, False] or True
    assert [bool(book.labels("eip155:1", ROUTER, at)) for at in (1500, 3500)] == [True, True]


def test_real_sanctions_of_two_dates_90_addresses_delisted_and_15_added(real_data: RealData) -> None:
    before = read_file(real_data.ofac_before, Reading("OFAC SDN", SEPTEMBER_2024))
    after = read_file(real_data.ofac_after, Reading("OFAC SDN", NOVEMBER_2025))
    book = Book(followed(before, after).labels)

    def sanctioned(at: int) -> set[str]:
        return {
            label.address
            for label in book
            if label.network == "eip155:1" and book.labels("eip155:1", label.address, at)
        }

    then, now = sanctioned(SEPTEMBER_2024 + 1), sanctioned(NOVEMBER_2025 + 1)
    assert (len(then - now), len(now - then)) == (90, 15)
    tornado = next(iter(then - now))
    assert [label.valid_until for label in book.once("eip155:1", tornado)] == [NOVEMBER_2025]


def test_the_real_xml_names_parties_and_says_the_same_as_the_lists(real_data: RealData) -> None:
    found = ofac.sdn_advanced(real_data.sdn_advanced)
    assert (found.parties, len(found.claims), len({claim.address for claim in found.claims})) == (79, 761, 745)
    assert any("LAZARUS" in claim.name.upper() for claim in found.claims)
    assert all(claim.valid_from <= found.issued_at for claim in found.claims)
    lists = ofac.lists_in(real_data.ofac_after, found.issued_at)
    assert {claim.address for claim in lists.claims} == {claim.address for claim in found.claims}


def test_nearly_every_tag_of_the_real_packs_can_be_placed(real_data: RealData) -> None:
    read = [
        read_file(path, reading(family=path.stem, ceiling=100))
        for path in sorted(Path(real_data.tagpacks).rglob("*.yaml"))
        if "actorpack" not in path.name
    ]
    assert sum(len(feed.labels) for feed in read) > 20_000
    assert sum(len(feed.refused) for feed in read) < 200
