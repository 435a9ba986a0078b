"""The commands, as two victims of one thief use them: trace, link, tell, hear, and ask without telling."""

import json
from pathlib import Path

import pytest

from fixtures_cli import holdfast_here
from fixtures_link import ETHEREUM, NOON, USDT, Story, account
from holdfast.faces.cli.terminal import Exit
from holdfast.trace.case import Case, CaseDocument, Theft
from holdfast.trace.labels.shelf import KeptBook, Shelf
from holdfast.trace.model import LabelKind
from holdfast.trace.store import Fresh

COIN = 10**18


def kept(directory: Path, story: Story, victim: str) -> Path:
    """A case as `holdfast trace` keeps it, followed by the program itself."""
    case = Case.create(directory, CaseDocument(story.name, NOON, thefts=(Theft(ETHEREUM, address=account(victim)),)))
    with case.store() as store:
        store.append(Fresh(tuple(sorted(story.all_transfers(), key=lambda each: (each.time, each.order))), "by hand"))
    Shelf(case.labels).add("known services", story.labels, NOON)
    done = holdfast_here("trace", "--case", directory)
    assert done.code == Exit.DONE, done.err
    return directory


def robbed(name: str, feeder: str, start: int = NOON) -> Story:
    story = Story(name, start).theft(f"{name} victim", f"{name} 1", 5_000_000_000, asset=USDT)
    story.beside(feeder, f"{name} 1", COIN // 100)
    story.beside(f"{name} 1", f"{name} 2", 4_000_000_000, asset=USDT)
    story.beside(f"{name} 1", "binance 14", 1_000_000_000, asset=USDT)
    return story.label("binance 14", LabelKind.EXCHANGE, "Binance")


@pytest.fixture
def cases(tmp_path: Path) -> tuple[Path, Path, Path]:
    later = NOON + 86_400 * 30
    return (
        kept(tmp_path / "red", robbed("red", "feeder"), "red victim"),
        kept(tmp_path / "blue", robbed("blue", "feeder", later), "blue victim"),
        kept(tmp_path / "green", robbed("green", "another feeder", later), "green victim"),
    )


def test_two_siblings_are_linked_by_their_feeder_and_a_stranger_is_not(cases: tuple[Path, Path, Path]) -> None:
    done = holdfast_here("trace", "link", *cases, "--json", "--signed-by", "A. Analyst")
    assert done.code == Exit.DONE, done.err
    found = {tuple(each["cases"]): each for each in json.loads(done.out)["comparisons"]}
    assert {names: each["verdict"] for names, each in found.items()} == {
        ("red", "blue"): "linked", ("red", "green"): "nothing", ("blue", "green"): "nothing",
    }  # fmt: skip
    (link,) = [each for each in found["red", "blue"]["links"] if each["evidence"] in "ABC"]
    assert (link["evidence"], link["addresses"]) == ("C", [account("feeder")])
    assert {each["signed_by"] for each in found.values()} == {"A. Analyst"}
    written = json.loads((cases[0] / "links.json").read_text())
    assert [each["cases"] for each in written["comparisons"]] == [["red", "blue"], ["red", "green"]]
    told = holdfast_here("trace", "link", *cases[:2]).out
    assert "signed by nobody yet" in told
    assert "class C" in told


@pytest.mark.parametrize("how", ["stix", "misp"])
def test_a_case_is_told_and_heard(cases: tuple[Path, Path, Path], tmp_path: Path, how: str) -> None:
    out, labels = tmp_path / f"told.{how}.json", tmp_path / "labels"
    own = tmp_path / "own.txt"
    own.write_text(f"# a customer\nethereum:{account('red 2')}\n")
    done = holdfast_here("share", how, cases[0], "--by", "Red Ltd", "--own", own, "--out", out)
    assert done.code == Exit.DONE, done.err
    assert account("red 2") not in out.read_text()
    assert account("red victim") not in out.read_text()
    heard = holdfast_here("share", how, out, "--labels", labels, "--peer", "red", "--json")
    assert heard.code == Exit.DONE, heard.err
    assert json.loads(heard.out)["kept"] == 1
    (found,) = KeptBook(labels).labels(ETHEREUM, account("red 1"), NOON + 10**6)
    assert found.kind is LabelKind.THEFT
    taken_back = holdfast_here(
        "share", how, cases[0], "--by", "Red Ltd", "--revoke", f"ethereum:{account('red 1')}", "--out", out
    )  # fmt: skip
    assert taken_back.code == Exit.DONE, taken_back.err
    holdfast_here("share", how, out, "--labels", labels, "--peer", "red")
    assert not [
        each for each in KeptBook(labels).labels(ETHEREUM, account("red 1"), 4 * 10**9) if each.kind is LabelKind.THEFT
    ]


def test_a_notice_of_others_is_linked_with_a_case_of_ours(cases: tuple[Path, Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "told.json"
    holdfast_here("share", "stix", cases[0], "--by", "Red Ltd", "--out", out)
    paid = robbed("blue", "somebody").beside("blue 2", "red 2", 7_000_000, asset=USDT)
    ours = kept(tmp_path / "ours", paid, "blue victim")
    done = holdfast_here("trace", "link", ours, out, "--json")
    (found,) = json.loads(done.out)["comparisons"]
    assert found["verdict"] == "linked"
    assert found["links"][0]["evidence"] == "A"


def test_what_is_said_wrong_is_refused_by_name(cases: tuple[Path, Path, Path], tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("not an address\n")
    for words, code in (
        (("share", "stix", cases[0]), "who-tells"),
        (("share", "stix", cases[0], "--by", "x", "--tlp", "pink"), "tlp-unknown"),
        (("share", "stix", cases[0], "--by", "x", "--own", own), "own-address-malformed"),
        (("share", "stix", cases[0], "--by", "x", "--revoke", "what"), "revoked-not-shared"),
        (("share", "stix", tmp_path / "nowhere"), "notice-malformed"),
        (("trace", "link", cases[0]), "too-few-cases"),
        (("share", "roundtable", "show", tmp_path), "round-missing"),
    ):
        done = holdfast_here(*words)
        assert code in done.err, words
        assert done.code in (Exit.BAD_INPUT, Exit.NOT_FOUND)


def exchange(rounds: dict[str, Path]) -> None:
    """Hand over whatever the other side has not yet, until nobody has anything new."""
    for giver, taker in (("red", "blue"), ("blue", "red")) * 4:
        had = {path.name for path in (rounds[taker] / "theirs").iterdir()}
        new = [path for path in sorted((rounds[giver] / "mine").iterdir()) if path.name not in had]
        if new:
            taken = holdfast_here("share", "roundtable", "take", rounds[taker], *new)
            assert taken.code == Exit.DONE, taken.err


def shown(folder: Path) -> dict[str, object]:
    return dict(json.loads(holdfast_here("share", "roundtable", "show", folder, "--json").out))


def test_a_round_by_files_from_start_to_what_is_shared(cases: tuple[Path, Path, Path], tmp_path: Path) -> None:
    rounds = {name: tmp_path / f"{name} rounds" / "round" for name in ("red", "blue")}
    for name, case in zip(rounds, cases, strict=False):
        done = holdfast_here("share", "roundtable", "start", rounds[name], case, "--by", name, "--json")
        assert done.code == Exit.DONE, done.err
    exchange(rounds)
    for name in rounds:
        assert shown(rounds[name])["count"] == 1
        assert shown(rounds[name])["shared"] is None
    for name in rounds:
        assert holdfast_here("share", "roundtable", "agree", rounds[name]).code == Exit.DONE
    exchange(rounds)
    for name in rounds:
        assert shown(rounds[name])["shared"] == [f"keccak:{account('feeder')[2:].lower()}"]
        assert holdfast_here("share", "roundtable", "audit", rounds[name]).code == Exit.DONE


def test_a_token_is_shown_once_and_its_digest_stands_in_the_settings() -> None:
    import hashlib

    made = json.loads(holdfast_here("share", "taxii", "token", "peer", "--json").out)
    assert hashlib.sha256(made["token"].encode()).hexdigest() == made["token_sha256"]
