"""Two victims at one table: what each learns, what neither can, and what leaves the house."""

import json
from base64 import b64decode
from itertools import product
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings, strategies as st

from fixtures_atomic import atomic
from fixtures_link import ETH, ETHEREUM, NOON, USDT, Story, account
from fixtures_real_data import RealData
from holdfast.trace.link.incident import Incident, Node
from holdfast.trace.model import LabelKind, Reason, Step, Transfer
from holdfast.trace.reading import ListedTransfers
from holdfast.trace.share import roundtable as table
from holdfast.trace.share.private_set import private_set
from holdfast.trace.share.round_folder import RoundFolder
from holdfast.trace.share.roundtable import (
    AskedAlready,
    Kind,
    Message,
    Party,
    Round,
    RoundtableMalformed,
    RoundtableStranger,
    SetNotAsCommitted,
)


def party(name: str, *elements: str) -> Party:
    seed = name.encode().ljust(32, b"\1")
    return Party(name, f"theft of {name}", Ed25519PrivateKey.from_private_bytes(seed), seed, elements)


def play(one: Party, other: Party, *, agree: bool = False, asked: tuple[str, ...] = ()) -> tuple[Round, Round]:
    """Both sides say what is theirs to say until neither has anything more."""
    said: dict[str, list[Message]] = {one.by: [], other.by: []}
    for _ in range(12):
        for me, them in ((one, other), (other, one)):
            so_far = Round(tuple(said[me.by]), tuple(said[them.by]))
            message = table.next_message(me, so_far, NOON, asked)
            counted = so_far.said(Kind.COUNT) or so_far.heard(Kind.COUNT)
            if message is None and agree and counted and so_far.said(Kind.AGREED) is None:
                message = table.agreed(me, so_far, NOON)
            if message is not None:
                said[me.by].append(table.verify(table.sign(me, message), me.public))
    return (
        Round(tuple(said[one.by]), tuple(said[other.by])),
        Round(tuple(said[other.by]), tuple(said[one.by])),
    )


def counted(so_far: Round) -> int:
    message = so_far.said(Kind.COUNT) or so_far.heard(Kind.COUNT)
    assert message is not None
    return message.count


def test_both_learn_how_many_and_nobody_which() -> None:
    mine, theirs = play(party("red", "a", "b", "shared"), party("blue", "shared", "x"))
    assert counted(mine) == counted(theirs) == 1
    assert mine.said(Kind.OPENED) is None
    assert {each.kind for each in (*mine.mine, *mine.theirs)} == {Kind.OFFER, Kind.QUESTION, Kind.ANSWER, Kind.COUNT}


def test_which_is_told_only_after_both_agreed_and_proven_from_the_commitment() -> None:
    mine, theirs = play(party("red", "a", "b", "shared"), party("blue", "shared", "x"), agree=True)
    assert table.check_opened(mine) == table.check_opened(theirs) == ("shared",)


def test_one_side_alone_cannot_have_it_opened() -> None:
    one, other = party("red", "a", "shared"), party("blue", "shared")
    mine, theirs = play(one, other)
    asker, so_far = (one, mine) if mine.said(Kind.QUESTION) else (other, theirs)
    answerer = other if asker is one else one
    wish = table.agreed(asker, so_far, NOON)
    assert table.next_message(asker, Round((*so_far.mine, wish), so_far.theirs), NOON) is None
    forced = Message(Kind.OPEN_QUESTION, asker.public, NOON, round=table.name_of(so_far), data=("AA==",))
    with pytest.raises(RoundtableMalformed):
        table.next_message(answerer, Round(so_far.theirs, (*so_far.mine, wish, forced)), NOON)


def test_no_other_element_is_recoverable_from_the_transcript() -> None:
    """Neither in clear nor encoded, though both agreed to open what they share."""
    secrets = tuple(f"keccak:{number:040x}" for number in range(40))
    mine, _ = play(party("red", *secrets, "shared"), party("blue", "shared", "other"), agree=True)
    transcript = b"".join(
        msgspec.json.encode(each) + b"".join(b64decode(part) for part in each.data)
        for each in (*mine.mine, *mine.theirs)
    )
    assert b"shared" in transcript
    for element in (*secrets, "other"):
        assert element.encode() not in transcript
        assert element.removeprefix("keccak:").encode() not in transcript
    opened = next(each for each in (*mine.mine, *mine.theirs) if each.kind is Kind.OPENED)
    assert opened.hits == ("shared",)
    assert len(opened.salts) == 1, "no other leaf can be opened or guessed: its salt stays"


def test_an_answer_without_agreement_comes_back_in_an_order_that_names_nothing() -> None:
    elements = tuple(f"e{number}" for number in range(30))
    mine, theirs = play(party("red", *elements), party("blue", *elements[:7]))
    answer = next(each for each in (*mine.mine, *theirs.mine) if each.kind is Kind.ANSWER)
    from private_set_intersection import python as psi

    response = psi.Response()
    response.ParseFromString(b64decode(answer.data[1]))
    returned = list(response.encrypted_elements)
    assert returned == sorted(returned)


def test_an_incident_is_answered_once() -> None:
    one, other = party("red", "a"), party("blue", "b")
    mine, theirs = play(one, other)
    asked = (table.asked_about(mine), table.asked_about(theirs))
    with pytest.raises(AskedAlready):
        play(one, other, asked=asked)


def test_a_set_that_changed_after_the_offer_is_found_out() -> None:
    one, other = party("red", "a", "b"), party("blue", "b")
    mine, theirs = play(one, other)
    for who, so_far in ((one, mine), (other, theirs)):
        table.audit(who, so_far)
        changed = Party(who.by, who.incident, who.key, who.secret, (*who.elements[:-1], "another"))
        with pytest.raises(SetNotAsCommitted):
            table.audit(changed, so_far)
        with pytest.raises(SetNotAsCommitted):
            table.next_message(changed, so_far, NOON)


def test_more_or_fewer_elements_than_were_committed_are_refused() -> None:
    one, other = party("red", "a", "b"), party("blue", "b")
    asker, answerer = (one, other) if one.public < other.public else (other, one)
    greedy = Party(asker.by, asker.incident, asker.key, asker.secret, (*asker.elements, "guess 1", "guess 2"))
    offers = table.offer(asker, NOON), table.offer(answerer, NOON)
    lie = table.next_message(
        greedy, Round((table.offer(greedy, NOON),), (offers[1],)), NOON
    )  # fmt: skip
    assert lie is not None
    name = table.name_of(Round((offers[0],), (offers[1],)))
    forged = msgspec.structs.replace(lie, round=name)
    with pytest.raises(SetNotAsCommitted):
        table.next_message(answerer, Round((offers[1],), (offers[0], forged)), NOON)


def test_a_message_under_another_key_or_altered_is_refused() -> None:
    one, other = party("red", "a"), party("blue", "b")
    signed = table.sign(one, table.offer(one, NOON))
    with pytest.raises(RoundtableStranger):
        table.verify(signed, other.public)
    with pytest.raises(RoundtableMalformed):
        table.verify(msgspec.structs.replace(signed, document=signed.document.replace('"size":1', '"size":2')))


@pytest.mark.parametrize("data", [(), ("!",), ("AA==",), ("AA==", "AA==", "AA==")])
def test_garbage_in_place_of_a_question_is_refused(data: tuple[str, ...]) -> None:
    one, other = party("red", "a"), party("blue", "b")
    asker, answerer = (one, other) if one.public < other.public else (other, one)
    offers = table.offer(asker, NOON), table.offer(answerer, NOON)
    question = Message(Kind.QUESTION, asker.public, NOON, round=table.name_of(Round(offers[:1], offers[1:])), data=data)
    from holdfast.core.errors import HoldfastError

    with pytest.raises(HoldfastError):
        table.next_message(answerer, Round((offers[1],), (offers[0], question)), NOON)


@given(st.sets(st.integers(0, 30), min_size=1), st.sets(st.integers(0, 30), min_size=1))
@settings(max_examples=15, deadline=None)
def test_the_count_is_the_size_of_the_intersection(one: set[int], other: set[int]) -> None:
    mine, _ = play(party("red", *map(str, one)), party("blue", *map(str, other)))
    assert counted(mine) == len(one & other)


def robbed(name: str, feeder: str = "", customer: str = "") -> Story:
    story = Story(name).theft(f"{name} victim", f"{name} 1", 10**18).move(f"{name} 1", "binance 14", 10**17)
    story.move(f"{name} 1", f"{name} purse", 5_000_000, asset=USDT)
    story.beside(feeder or f"{name} feeder", f"{name} purse", 10**15)
    story.move(f"{name} purse", customer or f"{name} 2", 5_000_000, asset=USDT)
    return story.label("binance 14", LabelKind.EXCHANGE, "Binance")


def sets(*stories: Story, own: frozenset[Node] = frozenset()) -> list[tuple[str, ...]]:
    return [private_set(story.incident(), own).elements for story in stories]


def test_a_planted_feeder_is_exactly_one_and_a_common_exchange_is_none() -> None:
    common = sets(robbed("red", "feeder"), robbed("blue", "feeder"))
    apart = sets(robbed("red"), robbed("blue"))
    assert counted(play(party("red", *common[0]), party("blue", *common[1]))[0]) == 1
    assert counted(play(party("red", *apart[0]), party("blue", *apart[1]))[0]) == 0


def test_sets_are_capped_with_the_theft_itself_kept() -> None:
    story = Story("red").theft("victim", "root", 10**18)
    for number in range(50):
        story.move("root", f"mule {number}", 10**16)
    made = private_set(story.incident(), most=10)
    assert len(made.elements) == 10
    assert made.cut == 41
    assert any(account("root")[2:].lower() in each for each in made.elements)


def test_no_customer_leaves_in_any_byte(tmp_path: Path) -> None:
    """The thief paid one of our customers; and everything that we send is searched for him."""
    customer = account("our customer")
    story = robbed("red", "feeder", "our customer")
    (mine,) = sets(story, own=frozenset({(ETHEREUM, customer)}))
    (theirs,) = sets(robbed("blue", "feeder", "our customer"))
    assert f"keccak:{customer[2:].lower()}" in theirs
    folders = [
        RoundFolder.create(tmp_path / who.by / "round", who, NOON)
        for who in (party("red", *mine), party("blue", *theirs))
    ]
    for _ in range(8):
        for giver, taker in product(folders, folders):
            if giver is not taker:
                hand_over(giver, taker)
    sent = b"".join(path.read_bytes() for path in sorted((tmp_path / "red/round/mine").iterdir()))
    for part in (*sent.split(b'"'), *(b64decode(part) for each in folders[0].so_far().mine for part in each.data)):
        for secret in (customer.lower(), "victim"):
            assert secret.encode() not in part.lower()
            assert secret.removeprefix("0x").encode() not in part.lower()
    for folder in folders:
        assert folder.so_far().heard(Kind.OPENED) is not None
        assert table.check_opened(folder.so_far()) == (f"keccak:{account('feeder')[2:].lower()}",)
        log = [json.loads(line) for line in (folder.directory / "log.jsonl").read_text().splitlines()]
        assert len(log) == len(folder.so_far().mine) + len(folder.so_far().theirs)
        assert (folder.directory / "party.json").stat().st_mode & 0o077 == 0


def hand_over(giver: RoundFolder, taker: RoundFolder) -> None:
    heard = {each.kind for each in taker.so_far().theirs}
    for path in sorted((giver.directory / "mine").glob("*.json")):
        if Kind(path.stem.split("-", 1)[1]) not in heard:
            taker.take(path.read_bytes(), NOON)
    taker.go_on(NOON)
    so_far = taker.so_far()
    if (so_far.said(Kind.COUNT) or so_far.heard(Kind.COUNT)) and so_far.said(Kind.AGREED) is None:
        taker.say(table.agreed(taker.party, so_far, NOON), NOON)
        taker.go_on(NOON)


def test_atomic_and_a_stranger_of_the_same_exchanges_share_nothing(real_data: RealData) -> None:
    incident = atomic(real_data)
    made = private_set(incident)
    assert len(made.elements) > 200
    paid_by_thief = {step.transfer.target for step in incident.trace.steps}
    services = {each: incident.names.service(ETHEREUM, each, NOON) for each in paid_by_thief}
    used = sorted(each for each, label in services.items() if label and label.kind is not LabelKind.DEPOSIT)
    assert len(used) > 20
    stranger = Story("stranger").theft("someone", "stranger 1", 10**18)
    told = stranger.trace()
    paid = [
        Transfer(ETHEREUM, 18_000_000 + n, 0, NOON + n, f"0x{n:064x}", account("stranger 1"), to, ETH, 10**16)
        for n, to in enumerate(used)
    ]
    told.steps += [Step(f"E9{n:03d}", each, 1, Reason.DIRECT, 95, {}) for n, each in enumerate(paid)]
    other = Incident("stranger", told, ListedTransfers([*stranger.all_transfers(), *paid]), incident.names)
    theirs = private_set(other)
    assert counted(play(party("atomic", *made.elements), party("stranger", *theirs.elements))[0]) == 0
    planted = (*theirs.elements, made.elements[5])
    assert counted(play(party("atomic", *made.elements), party("stranger", *planted))[0]) == 1
