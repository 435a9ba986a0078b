"""Zones, settings, dependencies: each test breaks exactly one thing of a good set-up, and exactly that is found."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from fixtures_assess import Assessed
from holdfast.core.tower_status import NetworkSeen, TowerStatus
from holdfast.faces.assess import advisory_files, last_time
from holdfast.faces.assess.inventory import Inventory, Packages
from holdfast.faces.assess.severities import Severity
from holdfast.runtime.config import load
from holdfast.runtime.settings import (
    ApiSettings,
    ConfirmationRule,
    LogLevel,
    LogsSettings,
    NodeSettings,
    RatesSettings,
    Settings,
    SignerSettings,
    WebhooksSettings,
)

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("assess")]

Change = Callable[[Settings], Settings]


def setting(**changes: object) -> Change:
    return lambda settings: msgspec.structs.replace(settings, **changes)


def on_network(name: str, **changes: object) -> Change:
    def change(settings: Settings) -> Settings:
        networks = {**settings.networks, name: msgspec.structs.replace(settings.networks[name], **changes)}
        return msgspec.structs.replace(settings, networks=networks)

    return change


def changed(good: Inventory, change: Change) -> Inventory:
    return replace(good, settings=change(good.settings))


OPEN = ApiSettings(host="0.0.0.0", public_url="https://pay.example.org")  # noqa: S104  that is what is found
PLAIN = ApiSettings(public_url="http://pay.example.org")


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (setting(api=PLAIN), {"api-unencrypted"}),
        (setting(api=OPEN), {"api-open"}),
        (setting(api=ApiSettings(requests_per_minute=0)), {"rate-limit-off"}),
        (setting(logs=LogsSettings(level=LogLevel.DEBUG)), {"debug-logs"}),
        (setting(rates=RatesSettings(sources_min=2)), {"rate-sources-few"}),
        (setting(signer=SignerSettings()), {"signer-missing"}),
        (on_network("litecoin-regtest", confirmations=[ConfirmationRule(count=2)]), {"confirmations-few"}),
    ],
)
def test_a_setting_that_opens_something(assessed: Assessed, change: Change, kinds: set[str]) -> None:
    assert set(assessed.added(changed(assessed.good, change))) == kinds


@pytest.mark.parametrize(
    ("change", "gone"),
    [
        (setting(rates=RatesSettings()), {"fixed-rates"}),
        (setting(webhooks=WebhooksSettings()), {"private-webhooks"}),
    ],
)
def test_what_a_local_set_up_may_and_a_real_one_should_not(assessed: Assessed, change: Change, gone: set[str]) -> None:
    mended = changed(assessed.good, change)
    assert set(assessed.added_to(mended, assessed.good)) == gone
    assert not assessed.added(mended)


def test_a_platform_with_one_node_and_zones_that_ask_the_same(assessed: Assessed) -> None:
    evm, tower = "eip155:31337", assessed.good.files.tower
    assert tower is not None
    of_their_own = [NodeSettings(url="http://one.example"), NodeSettings(url="http://two.example")]
    mended = changed(assessed.good, on_network("anvil", nodes=of_their_own))
    assert not assessed.added(mended)
    assert set(assessed.added_to(mended, assessed.good)) == {"node-single"}  # signer and watchtower still share one
    [node] = tower.networks[evm].nodes
    apart = msgspec.structs.replace(tower.networks[evm], nodes=(msgspec.structs.replace(node, url="http://three"),))
    tower = msgspec.structs.replace(tower, networks={**tower.networks, evm: apart})
    mended = replace(mended, files=replace(mended.files, tower=tower))
    assert not assessed.added(mended)
    assert set(assessed.added_to(mended, assessed.good)) == {"node-single", "node-shared"}


def test_zones_of_one_user_and_zones_of_one_host(assessed: Assessed) -> None:
    platform, signer, tower = assessed.good.files.zones
    apart = (platform, replace(signer, owner=1001), replace(tower, owner=1002))
    mended = replace(assessed.good, files=replace(assessed.good.files, zones=apart))
    assert set(assessed.added_to(mended, assessed.good)) == {"zones-share-a-user"}
    alone = replace(assessed.good, files=replace(assessed.good.files, zones=(platform,)))
    assert set(assessed.added_to(alone, assessed.good)) == {"zones-share-a-user", "zones-share-a-host"}


def test_a_lease_that_outlives_the_word_stop(assessed: Assessed) -> None:
    tower = msgspec.structs.replace(assessed.good.files.tower, lease_milliseconds=10_001)
    assert set(assessed.added(replace(assessed.good, files=replace(assessed.good.files, tower=tower)))) == {
        "lease-long"
    }


def status(*, fault: str = "", stages: dict[str, str] | None = None) -> TowerStatus:
    seen = NetworkSeen("eip155:31337", 1, 1, fault)
    return TowerStatus(1, 0, "", "", (), stages or {}, (), (seen,), 0, ())


def test_a_watchtower_that_does_not_see_and_payouts_that_are_not_back(assessed: Assessed) -> None:
    assert not assessed.added(replace(assessed.good, tower=status()))
    assert set(assessed.added(replace(assessed.good, tower=status(fault="node-down")))) == {"watchtower-blind"}
    frozen = assessed.added(replace(assessed.good, tower=status(stages={"*": "limited"})))
    assert (set(frozen), frozen["payouts-not-normal"].subject) == ({"payouts-not-normal"}, "*")


def test_a_watchtower_without_nodes_of_its_own(assessed: Assessed) -> None:
    signer = assessed.good.files.signer
    assert signer is not None
    more = {**signer.networks, "eip155:1": signer.networks["eip155:31337"]}
    broken = msgspec.structs.replace(signer, networks=more)
    added = assessed.added(replace(assessed.good, files=replace(assessed.good.files, signer=broken)))
    assert added["watchtower-without-nodes"].subject == "eip155:1"


@pytest.mark.parametrize(("days", "kind"), [(3, "backup-old"), (1, None)])
def test_a_backup_that_is_missing_or_old(assessed: Assessed, days: int, kind: str | None) -> None:
    made = replace(assessed.good.files, backup_at=assessed.good.at - timedelta(days=days))
    mended = replace(assessed.good, files=made)
    assert set(assessed.added(mended)) == ({kind} if kind else set())
    assert "backup-missing" in assessed.added_to(mended, assessed.good)


ENTRY = {
    "id": "PYSEC-2099-1", "modified": "2099-01-01T00:00:00Z", "summary": "Signatures are not checked",
    "affected": [{
        "package": {"ecosystem": "PyPI", "name": "MsgSpec"},
        "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "999.0"}]}],
    }],
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
}  # fmt: skip
HARMLESS = {**ENTRY, "id": "PYSEC-2099-2", "affected": [{"package": {"ecosystem": "PyPI", "name": "nobody-has-this"}}]}


async def with_advisories(assessed: Assessed, tmp_path: Path, *entries: object, days: int = 0) -> Inventory:
    """The good set-up with an advisory database that was fetched so many days ago."""
    given = tmp_path / "given"
    given.mkdir()
    for number, entry in enumerate(entries):
        (given / f"{number}.json").write_text(json.dumps(entry))
    found = advisory_files.update(tmp_path / "advisories", str(given), assessed.good.at - timedelta(days=days))
    return replace(assessed.good, advisories=found)


async def test_a_machine_without_an_advisory_database(assessed: Assessed, tmp_path: Path) -> None:
    mended = await with_advisories(assessed, tmp_path, HARMLESS)
    assert not assessed.added(mended)
    assert "advisories-missing" in assessed.added_to(mended, assessed.good)


async def test_an_advisory_database_that_nobody_has_updated(assessed: Assessed, tmp_path: Path) -> None:
    assert set(assessed.added(await with_advisories(assessed, tmp_path, HARMLESS, days=8))) == {"advisories-old"}


async def test_a_dependency_with_a_known_hole_weighs_what_the_advisory_says(assessed: Assessed, tmp_path: Path) -> None:
    found = assessed.added(await with_advisories(assessed, tmp_path, HARMLESS, ENTRY))
    assert set(found) == {"dependency-vulnerable"}
    one = found["dependency-vulnerable"]
    assert (one.subject, one.severity) == ("msgspec/PYSEC-2099-1", Severity.CRITICAL)
    assert "999.0" in one.mend


async def test_a_file_that_is_no_advisory_is_named(assessed: Assessed, tmp_path: Path) -> None:
    found = assessed.added(await with_advisories(assessed, tmp_path, HARMLESS, ["no entry"]))
    assert found["part-not-looked-at"].subject == "advisory 1.json"


def test_a_package_that_is_not_the_locked_one(assessed: Assessed) -> None:
    installed = (("PyPI", "msgspec", "1.0"), ("PyPI", "aiohttp", "3.0"))
    same = Packages(installed, installed, (Path("lock"),))
    mended = replace(assessed.good, packages=same)
    assert "lock-file-missing" in assessed.added_to(mended, assessed.good)
    broken = replace(same, locked=(("PyPI", "msgspec", "1.1"), installed[1]))
    found = assessed.added_to(mended, replace(mended, packages=broken))
    assert (set(found), found["dependency-not-locked"].subject) == ({"dependency-not-locked"}, "msgspec")


@pytest.mark.parametrize(("days", "kinds"), [(29, set()), (31, {"assessment-overdue"})])
def test_an_assessment_that_is_overdue(assessed: Assessed, tmp_path: Path, days: int, kinds: set[str]) -> None:
    last_time.keep(tmp_path, assessed.good.at - timedelta(days=days), [])
    kept = last_time.read(tmp_path)
    assert kept is not None
    later = replace(assessed.good, last_at=kept.made_at)
    assert set(assessed.added(later)) == kinds
    assert "assessment-first" in assessed.added_to(later, assessed.good)


async def test_what_does_not_answer_or_is_not_here_is_said(assessed: Assessed) -> None:
    settings = load(assessed.directory / "holdfast.toml")
    down = msgspec.structs.replace(settings.database, url="postgresql://nobody@127.0.0.1:1/holdfast")
    aside = assessed.directory / "aside"
    (assessed.directory / "signer").rename(aside)
    try:
        found = await assessed.read(msgspec.structs.replace(settings, database=down))
    finally:
        aside.rename(assessed.directory / "signer")
    unseen = {one.part for one in (*found.files.not_looked_at, *found.not_looked_at)}
    assert unseen == {"database", "signer's settings", "watchtower"}
    assert "part-not-looked-at" in assessed.added(found)
