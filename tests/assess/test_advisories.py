"""Known vulnerabilities: OSV's rules for versions, CVSS's formula, and a database that is whole or the old one."""

import http.server
import json
import threading
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from holdfast.faces.assess import advisory_files
from holdfast.faces.assess.advisories import OsvEntry, matches
from holdfast.faces.assess.advisory_files import AdvisoriesUnreachable, AdvisoriesUnusable
from holdfast.faces.assess.cvss import score_of_vector, severity_of_vector
from holdfast.faces.assess.severities import Severity

NOW = datetime(2030, 1, 1, tzinfo=UTC)


def entry(events: list[dict[str, str]], **more: object) -> OsvEntry:
    affected = {
        "package": {"ecosystem": "PyPI", "name": "Some.Thing"},
        "ranges": [{"type": "ECOSYSTEM", "events": events}],
    }
    return msgspec.convert({"id": "GHSA-1", "affected": [affected], **more}, OsvEntry)


def is_hit(version: str, *events: dict[str, str]) -> bool:
    return bool(matches([entry(list(events))], [("PyPI", "some-thing", version)]))


@pytest.mark.parametrize(
    ("version", "hit"),
    [("0.9", False), ("1.0", True), ("1.4.9", True), ("1.5rc1", True), ("1.5", False), ("1.10", False), ("2.0", True),
     ("2.1", True), ("2.1.1", False)],
)  # fmt: skip
def test_a_range_begins_and_ends_as_the_schema_says(version: str, hit: bool) -> None:
    events = ({"introduced": "2.0"}, {"introduced": "1.0"}, {"fixed": "1.5"}, {"last_affected": "2.1"})
    assert is_hit(version, *events) is hit


def test_a_range_from_zero_has_every_version_before_the_fix_and_pre_releases_too() -> None:
    assert is_hit("0.0.1a1", {"introduced": "0"}, {"fixed": "1"})
    assert not is_hit("1.0.0", {"introduced": "0"}, {"fixed": "1"})


def test_a_version_that_is_listed_counts_without_a_range() -> None:
    listed = {"package": {"ecosystem": "PyPI", "name": "some_thing"}, "versions": ["1.0"]}
    one = msgspec.convert({"id": "PYSEC-1", "affected": [listed]}, OsvEntry)
    assert matches([one], [("PyPI", "some-thing", "1.0.0")])
    assert not matches([one], [("PyPI", "some-thing", "1.0.1")])
    assert not matches([one], [("npm", "some-thing", "1.0")])


def test_a_hole_under_two_names_is_told_once_and_a_withdrawn_one_not_at_all() -> None:
    events = [{"introduced": "0"}]
    twice = [entry(events), entry(events, id="PYSEC-1", aliases=["GHSA-1", "CVE-1"])]
    assert [one.advisory for one in matches(twice, [("PyPI", "some-thing", "1")])] == ["GHSA-1"]
    assert not matches([entry(events, withdrawn="2029-01-01T00:00:00Z")], [("PyPI", "some-thing", "1")])


# Scores as FIRST's own calculator gives them.
@pytest.mark.parametrize(
    ("vector", "tenths"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 98),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 100),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 61),
        ("CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N", 25),
        ("CVSS:3.0/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N", 59),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 75),
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 99),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None),
        ("CVSS:3.1/AV:N", None),
        ("", None),
    ],
)
def test_a_vector_has_the_score_of_the_standard(vector: str, tenths: int | None) -> None:
    assert score_of_vector(vector) == tenths


def test_the_severity_is_the_vectors_else_the_databases_word_else_none() -> None:
    assert severity_of_vector("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:H/I:N/A:N") is Severity.MEDIUM
    events = [{"introduced": "0"}]
    words = entry(
        events, database_specific={"severity": "MODERATE"}, severity=[{"type": "CVSS_V4", "score": "CVSS:4.0/"}]
    )
    [by_word] = matches([words], [("PyPI", "some-thing", "1")])
    [unsaid] = matches([entry(events)], [("PyPI", "some-thing", "1")])
    assert (by_word.severity, unsaid.severity) == (Severity.MEDIUM, None)


def archive(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(f"{name}.json", json.dumps({"id": name, "unknown_field": [1]}))
    return path


def test_an_update_that_is_no_database_leaves_the_old_one(tmp_path: Path) -> None:
    place = tmp_path / "advisories"
    advisory_files.update(place, str(archive(tmp_path / "all.zip", "A", "B")), NOW)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_bytes(b"no archive")
    for source in (tmp_path / "empty", tmp_path / "broken.zip", tmp_path / "nowhere"):
        with pytest.raises(AdvisoriesUnusable):
            advisory_files.update(place, str(source), NOW + timedelta(days=1))
    kept = advisory_files.read(place)
    assert kept is not None
    assert ([one.id for one in kept.entries], kept.updated_at) == (["A", "B"], NOW)


def test_a_newer_database_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    place = tmp_path / "advisories"
    for day, name in enumerate(("A", "B")):
        advisory_files.update(place, str(archive(tmp_path / f"{name}.zip", name)), NOW + timedelta(days=day))
    kept = advisory_files.read(place)
    assert kept is not None
    assert ([one.id for one in kept.entries], kept.updated_at) == (["B"], NOW + timedelta(days=1))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["A.zip", "B.zip", "advisories"]


def test_a_directory_that_was_filled_by_hand_is_as_old_as_its_newest_file(tmp_path: Path) -> None:
    (tmp_path / "A.json").write_text('{"id": "A"}')
    found = advisory_files.read(tmp_path)
    assert found is not None
    assert found.updated_at.timestamp() == pytest.approx((tmp_path / "A.json").stat().st_mtime, abs=1)
    assert advisory_files.read(tmp_path / "nowhere") is None


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A web server with an archive on it."""
    archive(tmp_path / "all.zip", "A")

    class Files(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(tmp_path))  # type: ignore[arg-type]  # as the server gives them

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is its own."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_database_is_fetched_where_a_network_exists(mirror: str, tmp_path: Path) -> None:
    found = advisory_files.update(tmp_path / "advisories", f"{mirror}/all.zip", NOW)
    assert [one.id for one in found.entries] == ["A"]
    with pytest.raises(AdvisoriesUnreachable):
        advisory_files.update(tmp_path / "advisories", f"{mirror}/gone.zip", NOW)
    assert advisory_files.read(tmp_path / "advisories") == found
