"""Which claims become labels: what is planted is refused, what is real is not."""

from random import Random

import pytest

from fixtures_real_data import RealData
from holdfast.core.evm import checksum
from holdfast.trace.labels.admission import CROWD, Facts, formed, weigh
from holdfast.trace.labels.claims import Claim, Decision, Feed, RefusedFor
from holdfast.trace.labels.feeds import Reading, read_file
from holdfast.trace.labels.likeness import told
from holdfast.trace.labels.public_contracts import public_contracts
from holdfast.trace.model import Label, LabelKind
from holdfast.trace.reading import Degree

AT = 1_763_510_400
NETWORK = "eip155:1"
ROUTER = "0x7a250d5630B4cF539739dF2C5dAcb4c659F2488D"
random = Random(7)  # noqa: S311  the same addresses in every run


def address() -> str:
    return checksum(random.randbytes(20))


def vouched(*labels: Label) -> Feed:
    return Feed("packs", "packs", AT, "", is_vouched=True, labels=labels)


def label(where: str, kind: LabelKind, name: str = "X", confidence: int = 30) -> Label:
    return Label(NETWORK, where, name, kind, "packs", confidence, AT)


def stranger(*claims: Claim) -> Feed:
    found = formed(claims, "a stranger's list", AT)
    return Feed("a stranger's list", "a stranger's list", AT, "", labels=found.admitted, refused=found.refused)


def accuse(where: str) -> Claim:
    return Claim("ETH", where, "CoinsPaid exploiter", LabelKind.THEFT, confidence=95)


def reasons(*feeds: Feed, facts: Facts | None = None, decisions: tuple[Decision, ...] = ()) -> list[RefusedFor]:
    refused = [each.reason for feed in feeds for each in feed.refused]
    return [*refused, *(each.reason for each in weigh(feeds, facts, decisions).refused)]


def test_the_uniswap_router_is_no_rug_puller() -> None:
    assert reasons(public_contracts(), stranger(accuse(ROUTER))) == [RefusedFor.SERVICE]


def test_an_exchanges_wallet_is_nobodys_loot_whichever_feed_came_first() -> None:
    hot = address()
    feeds = (vouched(label(hot, LabelKind.EXCHANGE, "Binance 14")), stranger(accuse(hot)))
    assert reasons(*feeds) == reasons(*reversed(feeds)) == [RefusedFor.SERVICE]


def test_an_authority_that_accuses_what_a_list_calls_a_service_is_heard_and_both_stand() -> None:
    mixer = address()
    accused = Label(NETWORK, mixer, "Sinbad", LabelKind.CRIME, "FBI", 90, AT)
    feeds = (
        vouched(label(mixer, LabelKind.MIXER, "Sinbad.io")),
        Feed("FBI", "FBI", AT, "", is_vouched=True, labels=(accused,)),
    )
    assert reasons(*feeds) == []


def test_a_stranger_cannot_clear_a_thief_by_calling_him_an_exchange() -> None:
    thief = address()
    feeds = (
        vouched(label(thief, LabelKind.THEFT)),
        stranger(Claim("ETH", thief, "A fine exchange", LabelKind.EXCHANGE)),
    )
    assert reasons(*feeds) == [RefusedFor.CONTRADICTED]


@pytest.mark.parametrize("shape", ["31 letters of the head", "12 of the head", "five at both ends"])
def test_an_address_that_only_looks_like_a_known_one_is_refused(shape: str) -> None:
    known = [label(address(), LabelKind.THEFT) for _ in range(500)]
    real, fresh = known[3].address[2:].lower(), address()[2:].lower()
    fake = {
        "31 letters of the head": real[:31] + fresh[31:],
        "12 of the head": real[:12] + fresh[12:],
        "five at both ends": real[:5] + fresh[5:35] + real[35:],
    }[shape]
    assert reasons(vouched(*known), stranger(accuse("0x" + fake))) == [RefusedFor.LOOKALIKE]


def test_a_look_alike_that_has_itself_paid_is_real_and_one_that_a_second_source_names_too() -> None:
    known = label(address(), LabelKind.EXCHANGE)
    fake = checksum(bytes.fromhex(known.address[2:34] + "0badf00d"))
    facts = Facts({(NETWORK, fake): Degree(leaving=1)})
    assert reasons(vouched(known), stranger(accuse(fake)), facts=facts) == []
    second = Feed("other", "other", AT, "", labels=(label(fake, LabelKind.THEFT),))
    assert reasons(vouched(known), stranger(accuse(fake)), second) == []


@pytest.mark.parametrize(
    "where",
    [
        "0x0000000000000000000000000000000000000000", "0x000000000000000000000000000000000000dEaD",
        "0x1234567890abcdef1234567890abcdef12345678", "0xdeadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
        "0x1111111111111111111111111111111111111111", "0x0000000000000000000000000000000000000004",
    ],
)  # fmt: skip
def test_an_address_that_nobody_can_own_is_nobodys(where: str) -> None:
    assert reasons(stranger(accuse(where.lower()))) == [RefusedFor.PLACEHOLDER]


def test_an_address_without_any_transfer_is_invented_where_every_transfer_is_known() -> None:
    silent, active = address(), address()
    facts = Facts({(NETWORK, active): Degree(arriving=2, sources=1)}, complete=frozenset({NETWORK}))
    assert reasons(stranger(accuse(silent), accuse(active)), facts=facts) == [RefusedFor.SILENT]
    assert reasons(stranger(accuse(silent))) == []


def test_a_crowd_on_both_sides_is_a_service_whoevers_it_is_but_many_victims_are_not() -> None:
    hot, thief = address(), address()
    facts = Facts({
        (NETWORK, hot): Degree(9_000, 9_000, CROWD, CROWD),
        (NETWORK, thief): Degree(5_500, 40, 5_500, 12),
    })  # fmt: skip
    assert reasons(stranger(accuse(hot), accuse(thief)), facts=facts) == [RefusedFor.SERVICE]


def test_a_person_may_decide_otherwise_either_way() -> None:
    hot, thief = address(), address()
    feeds = (vouched(label(hot, LabelKind.EXCHANGE)), stranger(accuse(hot), accuse(thief)))
    decisions = tuple(
        Decision(NETWORK, where, "a stranger's list", admit, "Ann", AT, "seen")
        for where, admit in ((hot, True), (thief, False))
    )
    assert reasons(*feeds, decisions=decisions) == [RefusedFor.PERSON]


def real_feeds(data: RealData, *, is_vouched: bool) -> list[Feed]:
    ceiling = 100 if is_vouched else 50
    return [
        read_file(path, Reading(path.stem, AT, ceiling))
        for path in sorted(data.tagpacks.rglob("*.yaml"))
        if "actorpack" not in path.name
    ]


def _is_drawn(address: str) -> bool:
    """Whether it was drawn, not ground to begin or end with a row of zeros: of such many resemble each other."""
    digits = address[2:].lower()
    return told(digits[:5]) == told(digits[-5:]) == 5


def test_beside_the_real_feeds_a_planted_list_is_refused_to_the_last_and_no_real_claim_is(real_data: RealData) -> None:
    feeds = [public_contracts(), *real_feeds(real_data, is_vouched=True)]
    known = [each for feed in feeds for each in feed.labels if each.network == NETWORK]
    people = [each for each in known if not each.kind.is_service and _is_drawn(each.address)]
    services = [each for each in known if each.kind.is_service]
    planted = [accuse(each.address) for each in random.sample(services, 200)]
    for each in random.sample(people, 200):
        digits, fresh = each.address[2:].lower(), address()[2:].lower()
        planted += [accuse("0x" + digits[:31] + fresh[31:]), accuse("0x" + digits[:5] + fresh[5:35] + digits[35:])]
    for each in random.sample([one for one in people if one.address.lower() != one.address], 100):
        planted.append(accuse(each.address.swapcase().replace("0X", "0x")))
    liar = stranger(*planted)
    assert len(reasons(*feeds, liar)) - sum(len(feed.refused) for feed in feeds) == len(planted)


def test_of_20_000_real_claims_that_nobody_vouches_for_no_more_are_refused_than_the_odds_say(
    real_data: RealData,
) -> None:
    feeds = real_feeds(real_data, is_vouched=False)
    found = weigh([public_contracts(), *feeds])
    assert len(found.admitted) > 20_000
    assert len(found.refused) <= 5
