"""`holdfast trace` alone: a CSV tonight, no platform, and an answer; a case that grows; a person's decision."""

import contextlib
import io
import json
import sys
from pathlib import Path

import pytest

from holdfast.faces.cli.main import main

VICTIM, THIEF, HOP, BOURSE, FRIEND = (f"0x{digit * 40}" for digit in "12345")
HASHES = [f"0x{number:064x}" for number in range(1, 8)]


def transfers(path: Path, *rows: tuple[str, str, str], start: int = 0) -> Path:
    lines = ["Timestamp,Block,Tx_hash,From,To,Value,Asset"]
    lines += [
        f"2024-05-0{at + start + 1} 10:00:00,{1000 + at + start},{HASHES[at + start]},{source},{target},{value},ETH"
        for at, (source, target, value) in enumerate(rows)
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def ran(*arguments: object) -> tuple[int, str]:
    """One command line, in this process; its exit code and output."""
    out = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out):
        patch.setattr(sys, "argv", ["holdfast", "trace", *map(str, arguments)])
        try:
            code = main()
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, out.getvalue()


def trace(*arguments: object, code: int = 0) -> dict[str, object]:
    came, text = ran(*arguments, "--json")
    assert came == code, text
    found: dict[str, object] = json.loads(text)
    return found


@pytest.fixture
def loot(tmp_path: Path) -> Path:
    return transfers(
        tmp_path / "loot.csv", (VICTIM, THIEF, "10"), (THIEF, HOP, "6"), (THIEF, FRIEND, "4"), (HOP, BOURSE, "6")
    )


def ends(found: dict[str, object]) -> dict[str, int]:
    told = found["trace"]["ends"]  # type: ignore[index]  # plain JSON, whose shape is asserted
    return {end["address"].lower(): end["lies"]["fifo"] for end in told}


def test_a_file_and_a_transaction_are_enough(loot: Path) -> None:
    found = trace("--from", HASHES[0], "--source", loot)
    assert ends(found) == {BOURSE: 6 * 10**18, FRIEND: 4 * 10**18}
    assert found["stolen"][0]["stolen"] == 10**19  # type: ignore[index]  # plain JSON, whose shape is asserted
    assert found["case"] == ""


def test_an_address_that_was_robbed_and_one_of_the_thief_are_the_same_theft(loot: Path) -> None:
    assert ends(trace("--from", VICTIM, "--source", loot)) == ends(trace("--thief", THIEF, "--source", loot))


def test_labels_end_it_at_a_service(loot: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(f"network,address,name,kind\neip155:1,{HOP},Some Bourse,exchange\n")
    found = trace("--from", HASHES[0], "--source", loot, "--vouched-labels", labels)
    assert ends(found) == {HOP: 6 * 10**18, FRIEND: 4 * 10**18}
    where = found["where"]
    assert "Some Bourse" in {row["owner"] for row in where}  # type: ignore[attr-defined]  # plain JSON, whose shape is asserted


def test_a_case_is_kept_grows_and_is_followed_again(loot: Path, tmp_path: Path) -> None:
    case = tmp_path / "case"
    trace("--from", f"ethereum:{HASHES[0]}", "--source", loot, "--case", case)
    more = transfers(tmp_path / "more.csv", (BOURSE, VICTIM, "1"), start=4)
    found = trace("--source", more, "--case", case)
    assert ends(found) == {BOURSE: 5 * 10**18, FRIEND: 4 * 10**18, VICTIM: 10**18}


def test_a_person_overrules_a_step_and_the_case_remembers_it(loot: Path, tmp_path: Path) -> None:
    case = tmp_path / "case"
    found = trace("--from", HASHES[0], "--source", loot, "--case", case)
    steps = found["trace"]["steps"]  # type: ignore[index]  # plain JSON, whose shape is asserted
    chosen = next(step["id"] for step in steps if step["transfer"]["target"].lower() == HOP)
    said = ("--case", case, "--by", "A. Analyst", "--why", "our own")
    after = trace("overrule", chosen, "--leave", *said)
    assert ends(after) == {HOP: 6 * 10**18, FRIEND: 4 * 10**18}
    assert ends(trace("--case", case)) == ends(after)
    refused = trace("overrule", "E000000000000", "--leave", *said, code=4)
    assert refused["error"]["code"] == "theft-name-unknown"  # type: ignore[index]  # plain JSON, whose shape is asserted


@pytest.mark.parametrize(
    ("arguments", "code", "name"),
    [
        (("--from", HASHES[0]), 3, "no-transfers"),
        (("--source", "FILE"), 3, "nothing-to-follow"),
        (("--from", HASHES[6], "--source", "FILE"), 4, "theft-name-unknown"),
        (("--from", HASHES[0], "--source", "ftp:nowhere"), 3, "source-unknown"),
        (("--from", HASHES[0], "--source", "FILE", "--least", "ETH"), 3, "limit-malformed"),
    ],
)
def test_what_cannot_be_followed_is_refused_by_name(
    loot: Path, arguments: tuple[str, ...], code: int, name: str
) -> None:
    refused = trace(*(str(loot) if each == "FILE" else each for each in arguments), code=code)
    assert refused["error"]["code"] == name  # type: ignore[index]  # plain JSON, whose shape is asserted


def test_people_get_a_page(loot: Path) -> None:
    code, text = ran("--from", HASHES[0], "--source", loot)
    assert code == 0
    assert "10.000000000000000000 ETH stolen" in text
    assert "Not moved on:" in text
