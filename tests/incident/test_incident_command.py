"""`holdfast incident`: what an operator types from the first alarm to the hand-over; what no stranger can forge."""

import io
import json
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from fixtures_incident import Tick, seen, write_incident
from fixtures_watchtower import PASSPHRASE, House, key_hex
from holdfast.core.states import IncidentState
from holdfast.faces.cli import main as command
from holdfast.incident.record import Decision, HandedOver, Incident, Sealed, Touched
from holdfast.incident.store import Piece, Store, Taking
from holdfast.vault import keystore
from holdfast.vault.freezes import SingleKey, make_key

Say = Callable[..., tuple[int, str]]
ETH = "eip155:31337"


class Desk:
    """An incident process' directory without a process, and somebody who may decide."""

    def __init__(self, directory: Path) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.config = write_incident(directory / "incident", House(), self.key, 1)
        made = make_key(SingleKey.FREEZE, "ada", PASSPHRASE, keystore.COST_MIN)
        keystore.write(directory / "ada.keystore", made)
        self.ada = directory / "ada.keystore"
        self.passphrase = self.config.parent / "passphrase"
        self.config.write_text(self.config.read_text() + f'[people]\nada = "{made.public["key"]}"\n')
        self.store = Store(self.config.parent / "incidents", self.key, Tick())

    def open(self) -> Incident:
        incident = self.store.open("a theft", seen("alarm", ETH, "alarm:1", "0xaa"))
        piece = Piece("watchtower/status.json", "the watchtower", "asked", b"{}")
        return self.store.seal(incident.id, Taking([piece], (), {}, "a test"))[0]

    @property
    def newest(self) -> Incident:
        return self.store.read(self.store.ids()[-1])


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture
def say(desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Type a command; its exit code and what it prints."""

    def typed(name: str, *words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["holdfast", "incident", name, *words, "--config", str(desk.config)])
        try:
            code = int(command.main())
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, capsys.readouterr().out

    return typed


def signing(desk: Desk) -> tuple[str, ...]:
    return ("--keystore", str(desk.ada), "--passphrase-file", str(desk.passphrase))


def test_list_and_show_say_what_happened(desk: Desk, say: Say) -> None:
    assert say("list") == (0, "no incident\n")
    assert say("show")[0] == 3
    incident = desk.open()
    assert incident.id in say("list")[1]
    _, text = say("show")
    assert "alarm of eip155:31337" in text
    assert "transaction eip155:31337 0xaa" in text
    shown = json.loads(say("show", "--json")[1])
    assert shown["transactions"] == [{"network": ETH, "transaction": "0xaa", "output": None}]
    assert [one["line"] for one in shown["timeline"]] == ["opened", "seen", "sealed"]


def test_a_note_names_transactions_so_that_a_program_can_follow_them(desk: Desk, say: Say) -> None:
    desk.open()
    assert say("note", "it went on", "--by", "ada", "--transaction", f"{ETH}/0xbb:3")[0] == 0
    assert desk.newest.transactions == (Touched(ETH, "0xaa"), Touched(ETH, "0xbb", 3))
    assert say("note", "where?", "--by", "ada", "--transaction", "0xbb")[0] == 2


def test_a_decision_is_signed_by_one_who_may(desk: Desk, say: Say, tmp_path: Path) -> None:
    incident = desk.open()
    assert say("decide", "rotate the float", "--why", "it was spent", *signing(desk))[0] == 0
    [decision] = desk.newest.decisions
    assert isinstance(decision, Decision)
    assert (decision.name, decision.what, decision.head) == ("ada", "rotate the float", incident.head)
    keystore.write(tmp_path / "eve.keystore", make_key(SingleKey.FREEZE, "ada", PASSPHRASE, keystore.COST_MIN))
    words = ("--keystore", str(tmp_path / "eve.keystore"), "--passphrase-file", str(desk.passphrase))
    assert say("decide", "pay everybody", "--why", "fun", *words)[0] == 3
    assert len(desk.newest.decisions) == 1


def test_closing_takes_a_decision_and_waits_until_all_is_restored(desk: Desk, say: Say) -> None:
    incident = desk.store.open("a theft", seen("stopped", ETH, "stop:1"))
    assert say("close", "--why", "over", *signing(desk))[0] == 6
    assert desk.newest == incident
    desk.store.append(incident.id, seen("stop-ended", ETH, "stop:1:ended"))
    assert say("close", "--why", "over", *signing(desk))[0] == 0
    assert desk.newest.state is IncidentState.CLOSED


def test_sealing_by_hand_names_what_does_not_answer(desk: Desk, say: Say) -> None:
    desk.store.open("a theft")
    code, text = say("seal")
    assert code == 0
    assert "not taken: watchtower: journal" in text
    assert len(desk.newest.of(Sealed)) == 1


def test_every_hand_over_is_in_the_chain_of_custody(desk: Desk, say: Say) -> None:
    [seal] = desk.open().of(Sealed)
    assert say("hand-over", "--from", "ada", "--to", "police", "--why", "case 12/26")[0] == 0
    assert desk.newest.of(HandedOver) == [HandedOver(seal.manifest, "ada", "police", "case 12/26")]
    assert say("hand-over", "--from", "ada", "--to", "x", "--why", "y", "--seal", "7")[0] == 2


def test_an_export_is_verified_on_another_machine_with_nothing_but_the_key(
    desk: Desk, say: Say, tmp_path: Path
) -> None:
    incident, out = desk.open(), tmp_path / "inc.tar"
    assert say("export", "--out", str(out))[0] == 0
    assert say("export", "--out", str(out))[0] == 7, "never over a file that is there"
    words = ("verify", str(out), "--key", desk.store.public_key)
    assert say(*words)[0] == 0
    assert say(*words, "--head", incident.head)[0] == 0
    assert say(*words, "--head", "00" * 32)[0] == 6
    assert say("verify", str(out))[0] == 2, "a file does not bring its own key"
    assert say("verify", str(out), "--key", key_hex(Ed25519PrivateKey.generate()))[0] == 6


def repacked(source: Path, target: Path, change: Callable[[str, bytes], bytes | None]) -> None:
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = change(member.name, content.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))


@pytest.mark.parametrize("name", ["timeline.jsonl", "export.json", "evidence/0001/manifest.json", "status.json"])
@pytest.mark.parametrize("how", ["changed", "lost"])
def test_no_file_of_an_export_can_be_changed_or_left_out(
    desk: Desk, say: Say, tmp_path: Path, name: str, how: str
) -> None:
    desk.open()
    say("export", "--out", str(tmp_path / "inc.tar"))

    def change(member: str, data: bytes) -> bytes | None:
        if not member.endswith(name):
            return data
        return None if how == "lost" else data.replace(b"e", b"f", 1) if b"e" in data else b"[]"

    repacked(tmp_path / "inc.tar", tmp_path / "other.tar", change)
    code, text = say("verify", str(tmp_path / "other.tar"), "--key", desk.store.public_key)
    assert code == (3 if (name, how) == ("export.json", "lost") else 6), text


def test_a_timeline_cut_after_its_export_is_found(desk: Desk, say: Say, tmp_path: Path) -> None:
    desk.open()
    say("note", "an awkward fact", "--by", "ada")
    say("export", "--out", str(tmp_path / "inc.tar"))
    repacked(
        tmp_path / "inc.tar",
        tmp_path / "cut.tar",
        lambda name, data: b"".join(data.splitlines(True)[:3]) if name == "timeline.jsonl" else data,
    )
    assert say("verify", str(tmp_path / "cut.tar"), "--key", desk.store.public_key)[0] == 6


@pytest.mark.parametrize("kind", ["link", "outside", "double", "no tar"])
def test_a_hostile_archive_is_refused_and_nothing_is_unpacked(desk: Desk, say: Say, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "evil.tar"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("../timeline.jsonl" if kind == "outside" else "timeline.jsonl")
        if kind == "link":
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
        if kind == "double":
            archive.addfile(member)
    if kind == "no tar":
        path.write_bytes(b"x" * 2_000)
    assert say("verify", str(path), "--key", desk.store.public_key)[0] == 3
    assert not (tmp_path.parent / "timeline.jsonl").exists()
