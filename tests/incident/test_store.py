"""Timelines and seals on a real disk: whole or not at all, and every change, loss and addition is found."""

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_incident import Tick, seen
from fixtures_watchtower import key_hex
from holdfast.incident.evidence import Finding, verify
from holdfast.incident.record import Incident, Noted, Sealed
from holdfast.incident.store import IncidentNotFound, IncidentStoreFailed, Piece, Store, Taking


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "incidents", Ed25519PrivateKey.generate(), Tick())


def taking(*pieces: Piece) -> Taking:
    return Taking(pieces, (), {"holdfast": "0"}, "a test")


def piece(name: str = "tower/status.json", content: bytes | Path = b"{}") -> Piece:
    return Piece(name, "the watchtower", "asked", content)


def findings(store: Store, incident: Incident, head: str = "") -> list[Finding]:
    return verify(store.found(incident.id), store.public_key, head)[1]


@contextmanager
def disk_full_after(size: int) -> Iterator[None]:
    """No file can grow beyond this: what a full disk does to the one who writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_incident_outlives_its_process(store: Store) -> None:
    incident = store.open("a theft", seen())
    again = Store(store.directory, store.key, Tick())
    assert again.ids() == [incident.id]
    assert again.read(incident.id) == incident
    assert again.append(incident.id, Noted("ada", "hm")).lines[:2] == incident.lines


def test_no_id_leads_out_of_the_directory(store: Store) -> None:
    store.open("a theft")
    for name in ("..", "inc_/../..", "/etc", "inc_..", ".lock", "alerts", ""):
        with pytest.raises(IncidentNotFound):
            store.read(name)


def test_a_full_disk_leaves_the_timeline_as_it_was(store: Store) -> None:
    incident = store.open("a theft")
    size = (store.path(incident.id) / "timeline.jsonl").stat().st_size
    with disk_full_after(size + 100), pytest.raises(IncidentStoreFailed):
        store.append(incident.id, Noted("ada", "x" * 400))
    assert store.read(incident.id) == incident
    assert store.append(incident.id, Noted("ada", "y")).lines[:1] == incident.lines


def test_of_lines_that_belong_together_a_full_disk_leaves_none(store: Store) -> None:
    incident = store.open("a theft")
    size = (store.path(incident.id) / "timeline.jsonl").stat().st_size
    with disk_full_after(size + 1_000), pytest.raises(IncidentStoreFailed):
        store.append(incident.id, Noted("ada", "short"), Noted("ada", "x" * 2_000))
    assert store.read(incident.id) == incident


def test_a_full_disk_leaves_no_half_incident(store: Store) -> None:
    with disk_full_after(100), pytest.raises(IncidentStoreFailed):
        store.open("a theft")
    assert [one.name for one in store.directory.iterdir()] == [".lock"]


def test_a_full_disk_leaves_no_half_seal(store: Store) -> None:
    incident = store.open("a theft")
    with disk_full_after(10_000), pytest.raises(IncidentStoreFailed):
        store.seal(incident.id, taking(piece(), piece("logs/big", b"x" * 20_000)))
    assert list((store.path(incident.id) / "evidence").iterdir()) == []
    assert findings(store, incident) == []
    assert store.seal(incident.id, taking(piece()))[1].number == 1


def test_a_seal_that_the_timeline_has_no_room_for_is_undone(store: Store) -> None:
    incident = store.open("a theft", *(Noted("ada", "x" * 900) for _ in range(8)))
    size = (store.path(incident.id) / "timeline.jsonl").stat().st_size
    with disk_full_after(size + 10), pytest.raises(IncidentStoreFailed):
        store.seal(incident.id, taking(piece()))
    assert list((store.path(incident.id) / "evidence").iterdir()) == []
    assert store.read(incident.id) == incident


def test_what_cannot_be_read_is_named_and_costs_nothing_else(store: Store, tmp_path: Path) -> None:
    incident = store.open("a theft")
    os.mkfifo(tmp_path / "pipe")
    pieces = [piece(f"logs/{n}", tmp_path / name) for n, name in enumerate(("gone", "pipe", ".", "incidents"))]
    after, manifest = store.seal(incident.id, taking(piece(), *pieces))
    assert [one.path for one in manifest.files] == ["tower/status.json"]
    assert len(manifest.missing) == 4
    assert after.of(Sealed)[0].missing == 4
    assert findings(store, after) == []


def test_of_a_long_log_the_newest_bytes_are_taken(store: Store, tmp_path: Path) -> None:
    incident = store.open("a theft")
    (tmp_path / "log").write_bytes(b"old" * 1_000 + b"the end")
    store.seal(incident.id, taking(Piece("logs/1", "log", "newest", tmp_path / "log", 7)))
    assert (store.path(incident.id) / "evidence" / "0001" / "logs" / "1").read_bytes() == b"the end"


def test_every_change_loss_and_addition_is_found(store: Store) -> None:
    incident = store.open("a theft", seen())
    incident, _ = store.seal(incident.id, taking(piece(), piece("logs/a", b"1"), piece("logs/b", b"2")))
    root = store.path(incident.id)
    seal = root / "evidence" / "0001"
    assert findings(store, incident) == []
    (seal / "logs" / "a").chmod(0o600)
    (seal / "logs" / "a").write_bytes(b"3")
    (seal / "logs" / "b").unlink()
    (seal / "logs" / "c").write_bytes(b"4")
    (root / "stray").write_bytes(b"5")
    assert {(one.path, one.what.partition(":")[0]) for one in findings(store, incident)} == {
        ("evidence/0001/logs/a", "changed"),
        ("evidence/0001/logs/b", "lost"),
        ("evidence/0001/logs/c", "added"),
        ("stray", "added"),
    }


def test_a_manifest_made_anew_under_the_same_key_is_not_the_sealed_one(store: Store) -> None:
    incident = store.open("a theft")
    incident, _ = store.seal(incident.id, taking(piece()))
    other = store.open("another")
    store.seal(other.id, taking(piece("tower/status.json", b"[]")))
    target, source = (store.path(one.id) / "evidence" / "0001" for one in (incident, other))
    for name in ("manifest.json", "tower/status.json"):
        (target / name).unlink()
        (target / name).write_bytes((source / name).read_bytes())
    assert [one.path for one in findings(store, incident)][:1] == ["evidence/0001/manifest.json"]


def test_a_lost_manifest_and_a_cut_timeline_are_found(store: Store) -> None:
    incident = store.open("a theft")
    incident, _ = store.seal(incident.id, taking(piece()))
    noted = store.append(incident.id, Noted("ada", "an awkward fact"))
    path = store.path(incident.id) / "timeline.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))
    assert findings(store, incident) == [], "nothing in the files says how long it was"
    assert [one.path for one in findings(store, incident, noted.head)] == ["timeline.jsonl"]
    (store.path(incident.id) / "evidence" / "0001" / "manifest.json").unlink()
    assert findings(store, incident)[0] == Finding("evidence/0001/manifest.json", findings(store, incident)[0].what)


def test_nobody_else_can_have_sealed_it(store: Store) -> None:
    incident = store.open("a theft")
    stranger = key_hex(Ed25519PrivateKey.generate())
    found, wrong = verify(store.found(incident.id), stranger)
    assert found is None
    assert [one.path for one in wrong] == ["timeline.jsonl"]


WRITER = """
import sys; from pathlib import Path
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from holdfast.incident.record import Noted; from holdfast.incident.store import Store
store = Store(Path(sys.argv[1]), Ed25519PrivateKey.from_private_bytes(bytes.fromhex(sys.argv[2])), lambda: 1)
for n in range(int(sys.argv[4])): store.append(sys.argv[3], Noted("w", "n" * 200)); print(n, flush=True)
"""


def writer(store: Store, incident: Incident, count: int) -> "subprocess.Popen[str]":
    key = store.key.private_bytes_raw().hex()
    command = [sys.executable, "-c", WRITER, str(store.directory), key, incident.id, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603  our own command


def test_process_and_command_write_at_the_same_time_and_no_line_is_lost(store: Store) -> None:
    incident = store.open("a theft")
    writers = [writer(store, incident, 15) for _ in range(3)]
    for one in writers:
        assert one.communicate()[0]
        assert one.returncode == 0
    assert len(store.read(incident.id).lines) == 46


def test_a_writer_that_is_killed_leaves_a_timeline_that_goes_on(store: Store) -> None:
    incident = store.open("a theft")
    one = writer(store, incident, 10_000)
    assert one.stdout is not None
    told = sum(1 for _ in zip(one.stdout, range(5), strict=False))
    one.kill()
    one.wait()
    one.stdout.close()
    path = store.path(incident.id) / "timeline.jsonl"
    with path.open("ab") as file:
        file.write(b'{"document":"half a li')
    assert len(store.read(incident.id).lines) >= told + 1, "what was told to be written is there"
    after = store.append(incident.id, Noted("ada", "on"))
    assert store.read(incident.id) == after
