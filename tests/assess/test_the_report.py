"""`holdfast assess` as people run it: the table is whole, every mend can be typed, nothing secret is printed."""

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
import typer

from fixtures_assess import Assessed
from fixtures_cli import holdfast
from fixtures_policy import MERCHANT, Books as WrittenBooks
from fixtures_signer import ETHER, EVM
from holdfast.faces.assess import last_time, report
from holdfast.faces.assess.assessing import assess, judge
from holdfast.faces.assess.kinds import GROUPS, KINDS
from holdfast.faces.assess.severities import FAILING, Judge, Severity
from holdfast.faces.assess.standards import ITEMS, Outcome, results
from holdfast.faces.cli import doctor_checks
from holdfast.faces.cli.main import app
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.settings import Settings

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("assess")]

HOUSE = Path(__file__).parent.parent.parent
SOURCES = "".join(path.read_text() for path in (HOUSE / "src/holdfast/faces/assess").glob("findings_of_*.py"))
TESTS = "".join(path.read_text() for path in (HOUSE / "tests/assess").glob("test_*_found.py"))


def test_every_kind_is_in_the_table_once_is_found_somewhere_and_has_its_test() -> None:
    codes = [kind.code for kinds in GROUPS.values() for kind in kinds]
    assert len(codes) == len(set(codes))
    named = set(re.findall(r'"([a-z]+(?:-[a-z]+)+)"', SOURCES))
    assert {code for code in codes if code not in named} == set()
    assert {code for code in codes if f'"{code}"' not in TESTS} == set()


def test_no_finding_weighs_more_on_test_networks() -> None:
    assert all(kind.on_test.rank >= kind.severity.rank for kind in KINDS.values())


def test_every_mend_that_is_a_command_can_be_typed() -> None:
    whole = typer.main.get_command(app)
    context = typer.Context(whole, info_name="holdfast")
    for kind in KINDS.values():
        for line in re.findall(r"`holdfast ([^`]*)`", kind.mend):
            words = shlex.split(line.replace("{of_merchant}", ""))
            command = whole
            while words and hasattr(command, "get_command") and (below := command.get_command(context, words[0])):
                command, words = below, words[1:]
            assert command is not whole, f"{kind.code}: holdfast {line}"
            known = {name for parameter in command.params for name in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= known, f"{kind.code}: holdfast {line}"


def test_every_setting_that_a_mend_names_exists() -> None:
    names = set(Settings.__struct_fields__)
    for kind in KINDS.values():
        assert set(re.findall(r"`\[([a-z]+)\]", kind.mend + kind.what)) - {"hsm"} <= names, kind.code


def test_what_is_low_with_test_coins_is_critical_with_money(assessed: Assessed) -> None:
    found = {one.kind for one in judge(assessed.good)}
    real = Judge(KINDS, is_test=False)
    assert real.found("vault-keys-online", count=3, threshold=2).severity is Severity.CRITICAL
    assert "vault-keys-online" in found
    assert not assess(assessed.good, 3600).is_failing


def test_an_item_of_a_standard_fails_where_its_kind_is_found_and_not_where_it_is_mended(assessed: Assessed) -> None:
    for item in ITEMS:
        assert item.kinds <= set(KINDS), item.id
    findings = judge(assessed.good)
    before = {one.item.id: one.outcome for one in results(findings, pays_out=True)}
    without = [one for one in findings if one.kind != "zones-share-a-user"]
    after = {one.item.id: one.outcome for one in results(without, pays_out=True)}
    assert (before["CCSS-1.05.2.2"], after["CCSS-1.05.2.2"]) == (Outcome.FAIL, Outcome.PASS)
    assert before["CCSS-1.05-c"] is Outcome.BY_HAND
    no_payouts = {one.item.id: one.outcome for one in results(findings, pays_out=False)}
    assert no_payouts["OWASP-2.3.5"] is Outcome.NOT_APPLICABLE


def test_what_was_not_looked_at_passes_nothing(assessed: Assessed) -> None:
    judging = Judge(KINDS, is_test=True)
    unseen = judging.found("part-not-looked-at", "signer's settings", reason="elsewhere", how="look there")
    outcomes = {one.item.id: one.outcome for one in results([unseen], pays_out=True)}
    assert outcomes["CCSS-1.05.1.1"] is Outcome.BY_HAND


def test_a_merchants_key_takes_no_more_than_he_has_and_no_more_than_his_limit(assessed: Assessed) -> None:
    from dataclasses import replace

    from holdfast.faces.assess.exposure import exposures

    written = WrittenBooks().ready()
    assert assessed.good.books is not None
    record = replace(assessed.good.books, record=written.record)
    at = assessed.good.at.fromtimestamp(written.now, assessed.good.at.tzinfo)
    inventory = replace(assessed.good, books=record, at=at)
    [row] = [one for one in exposures(inventory) if one.owns == "a merchant's own key"]
    assert "125.000000000000000000 ETH now" in row.merchants  # 120 at once and 5 more in the hour, of the 200 he has
    written.record.entitlements[MERCHANT, EVM.coin.id] = 3 * ETHER
    [row] = [one for one in exposures(inventory) if one.owns == "a merchant's own key"]
    assert "3.000000000000000000 ETH now" in row.merchants


def test_merchants_lose_nothing_in_every_row_but_their_own_keys(assessed: Assessed) -> None:
    rows = {row.owns: row.merchants for row in assess(assessed.good, 3600).exposures}
    others = {owns for owns, merchants in rows.items() if merchants != "0"}
    assert others == {"a merchant's own key", "what payers are shown: hosted checkout"}


@pytest.fixture(scope="module")
def run(assessed: Assessed) -> dict[str, object]:
    """The command, as a process, on the set-up whose database runs."""
    done = holdfast(
        "assess", "--config", assessed.directory / "holdfast.toml", "--json", "--html", assessed.directory / "a.html",
        "--markdown", assessed.directory / "a.md", "--lock", HOUSE / "requirements" / "all.txt",
    )  # fmt: skip
    assert done.code == 0, done.err
    return dict(json.loads(done.out))


def test_the_command_reports_in_every_form_and_keeps_its_date(assessed: Assessed, run: dict[str, object]) -> None:
    kept = last_time.read(assessed.directory)
    assert kept is not None
    assert kept.made_at.isoformat().replace("+00:00", "") in str(run["at"])
    assert kept.counts == run["counts"]
    html, markdown = ((assessed.directory / name).read_text() for name in ("a.html", "a.md"))
    for finding in run["findings"]:  # type: ignore[attr-defined]  # it is a list
        assert finding["id"].replace("|", "\\|") in markdown
    assert "<script" not in html
    assert "https://" not in html


async def test_doctor_says_that_an_assessment_is_overdue(assessed: Assessed, tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_text((assessed.directory / "holdfast.toml").read_text())
    settings = msgspec.structs.replace(assessed.good.settings, path=tmp_path / "holdfast.toml")
    levels = []
    for days in (None, 31, 29):
        if days is not None:
            last_time.keep(tmp_path, SYSTEM_CLOCK.now() - timedelta(days=days), [])
        [found] = await dict(doctor_checks.all_checks(settings))["assessment"]()
        levels.append(found.level)
    assert levels == ["warn", "warn", "ok"]


def test_no_form_of_the_report_has_a_secret(assessed: Assessed, run: dict[str, object]) -> None:
    secrets = [*assessed.directory.glob("secrets/*"), *assessed.directory.glob("*/passphrase")]
    secrets += [assessed.directory / "signer" / "token"]
    said = json.dumps(run) + "".join((assessed.directory / name).read_text() for name in ("a.html", "a.md"))
    assert len(secrets) >= 6
    for path in secrets:
        secret = path.read_text().strip()
        assert secret not in said
        assert secret[-16:] not in said
    for path in assessed.directory.rglob("*.keystore"):
        assert json.loads(path.read_text())["sealed"] not in said


def test_what_is_critical_ends_with_1_unless_it_is_asked_otherwise(assessed: Assessed, run: dict[str, object]) -> None:
    key = assessed.directory / "signer" / "signer.keystore"
    key.chmod(0o644)
    words = ("assess", "--config", assessed.directory / "holdfast.toml")
    try:
        failing, asked = holdfast(*words), holdfast(*words, "--exit-zero")
    finally:
        key.chmod(0o600)
    assert (failing.code, asked.code) == (1, 0)
    assert "[secret-exposed]" in failing.out
    assert Severity.HIGH in FAILING
    assert "the last was" in failing.out


def test_hostile_names_stay_text(assessed: Assessed) -> None:
    from dataclasses import replace

    done = assess(assessed.good, 3600)
    evil = replace(done.findings[0], what='<img src=x onerror="alert(1)"> | x')
    page = report.page(replace(done, findings=[evil]))
    assert "<img" not in page
    assert "\\| x" in report.markdown(replace(done, findings=[evil]))
    assert timedelta(0) <= done.at - assessed.good.at
