"""What is shared as a MISP event is what PyMISP and misp-stix read, and comes back as it went."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from pymisp import MISPEvent, MISPObject

from fixtures_link import ETH, Story, account
from fixtures_notices import notices
from holdfast.trace.share import misp, stix
from holdfast.trace.share.leaving import Telling, notice
from holdfast.trace.share.notice import Notice, NoticeMalformed, SharedAddress, Tlp


def through_misp_stix(how: str, document: bytes) -> bytes:
    script = Path(__file__).parent / "through_misp_stix.py"
    argv = [sys.executable, "-W", "ignore", str(script), how]
    return subprocess.run(argv, input=document, capture_output=True, check=True).stdout  # noqa: S603  our own script


WEI = 98_048_894_800_000_000_000_001


def told(tlp: Tlp = Tlp.AMBER_STRICT) -> Notice:
    story = Story("red").theft("red victim", "red 1", WEI).move("red 1", "red 2", WEI - 5)
    return notice(story.incident(), Telling("inc 1", "Theft of July", "Shop Ltd", 1_700_000_000, tlp=tlp))


def by_account(found: Notice) -> dict[str, SharedAddress]:
    return {each.account: each for each in found.addresses}


def test_a_notice_comes_back_from_misp_as_it_went() -> None:
    back = misp.read(misp.event(told()))
    assert back.refused == ()
    assert back.notices == (told(),)


@given(notices())
@settings(deadline=None, max_examples=15)
def test_any_notice_survives_the_way_through_misp(went: Notice) -> None:
    (back,) = misp.read(misp.event(went)).notices
    assert by_account(back) == by_account(went)
    assert back.transactions == went.transactions
    assert (back.incident, back.by, back.tlp) == (went.incident, went.by, went.tlp)


def test_an_event_survives_the_way_through_misp_stix_both_ways() -> None:
    (found,) = misp.read(through_misp_stix("there-and-back", misp.event(told()))).notices
    assert by_account(found) == by_account(told())
    assert by_account(found)[f"eip155:1:{account('red 1')}"].units == {ETH: WEI}
    assert found.transactions == told().transactions
    assert found.tlp is Tlp.AMBER_STRICT


def test_misp_stix_reads_our_bundle_with_its_markings_and_loses_no_address() -> None:
    text = through_misp_stix("to-misp", stix.bundle(told())).decode()
    for address in told().addresses:
        assert address.address in text
    assert "tlp:amber+strict" in text


def test_an_event_is_passed_on_no_further_than_its_light_allows() -> None:
    for tlp, distribution in ((Tlp.RED, "0"), (Tlp.AMBER_STRICT, "0"), (Tlp.CLEAR, "3")):
        made = json.loads(misp.event(told(tlp)))
        assert made["distribution"] == distribution
        assert [tag["name"] for tag in made["Tag"]] == [f"tlp:{tlp}"]
        assert not made.get("published")


def test_an_event_of_others_is_read_as_far_as_it_goes() -> None:
    theirs = MISPEvent()
    theirs.info = "exploiter"
    coin = MISPObject("coin-address")
    coin.add_attribute("address", "3LU8wRu4ZnXP4UM8Yo6kkTiGHM9BubgyiG")
    theirs.add_object(coin)
    other = MISPObject("coin-address")
    other.add_attribute("address-crypto", "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem")
    other.add_attribute("text", '{"units": "lots"}')
    theirs.add_object(other)
    theirs.add_tag("tlp:white")
    (found,) = misp.read(theirs.to_json().encode()).notices
    assert [each.address for each in found.addresses] == [
        "3LU8wRu4ZnXP4UM8Yo6kkTiGHM9BubgyiG", "TNMW5iEH7CCudMTGFJA9Ch6KSf6J3hAJem",
    ]  # fmt: skip
    assert found.tlp is Tlp.CLEAR


def test_text_that_names_another_address_than_its_object_is_not_believed() -> None:
    made = MISPEvent()
    made.from_json(misp.event(told()).decode())
    liar = msgspec.structs.replace(told().addresses[0], address=account("a stranger"))
    for each in made.objects[0].attributes:
        if each.object_relation == "text":
            each.value = msgspec.json.encode(liar).decode()
    (found,) = misp.read(made.to_json().encode()).notices
    assert account("a stranger") not in {each.address for each in found.addresses}


@pytest.mark.parametrize("document", [b"", b"[]", b"5", b"\xff", b'{"Event": 5}', b"[" * 100_000])
def test_what_is_no_event_is_refused_whole(document: bytes) -> None:
    with pytest.raises(NoticeMalformed):
        misp.read(document)
