"""The watchtower as a process: killed, flooded, frozen from the command line while nothing else of Holdfast runs."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

from fixtures_cli import Done, holdfast
from fixtures_watchtower import PASSPHRASE, Book, House, RunningTower, tower_process, write_tower
from holdfast.core.journal import Started
from holdfast.core.leases import LeaseRefused, SignedLease
from holdfast.vault import keystore
from holdfast.vault.freezes import OFFICER
from holdfast.vault.officers import OfficerSecret

COMMAND = [sys.executable, "-m", "holdfast.watchtower.main", "--config"]


@pytest.fixture
def house() -> House:
    return House()


@pytest.fixture
def book(house: House) -> Book:
    book = Book(house)
    book.begin()
    return book


@pytest.fixture
def tower(tmp_path: Path, house: House) -> Iterator[RunningTower]:
    config = write_tower(tmp_path / "tower", house, connections_max=4, request_seconds_max=1, line_bytes_max=20_000)
    with tower_process(config, house) as running:
        yield running


def officer_files(directory: Path, house: House) -> list[Path]:
    """Keystores of the house's officers, and the passphrase beside them."""
    passphrase = directory / "passphrase"
    passphrase.write_text(PASSPHRASE)
    passphrase.chmod(0o600)
    paths = []
    for officer, key in zip(house.quorum.officers, house.officers, strict=True):
        secret = OfficerSecret(key.private_bytes_raw(), bytes(32)).pack()
        path = directory / f"{officer.name}.keystore"
        keystore.write(path, keystore.seal(OFFICER, {"name": officer.name}, secret, PASSPHRASE, keystore.COST_MIN))
        paths.append(path)
    return paths


def run_freeze(directory: Path, tower: RunningTower, keyfile: Path, *words: str) -> Done:
    return holdfast(
        "freeze", "--why", "malware on a laptop", "--keystore", keyfile, "--passphrase-file",
        directory / "passphrase", "--watchtower", f"127.0.0.1:{tower.port}", "--json", *words,
    )  # fmt: skip


def granted(answer: SignedLease | LeaseRefused) -> SignedLease:
    assert isinstance(answer, SignedLease), answer
    return answer


def test_what_was_answered_survives_kill_9(tmp_path: Path, house: House, book: Book) -> None:
    config = write_tower(tmp_path / "tower", house)
    for _ in range(3):
        with tower_process(config, house) as running:
            after = book.head.seq
            book.add(Started("boot", "0"))
            granted(running.lease(book.ask(0 if after == 1 else after)))
            running.process.send_signal(signal.SIGKILL)
    with tower_process(config, house) as running:
        assert granted(running.lease(book.ask(book.head.seq))).lease.witnessed == book.head
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(20) == 0


def test_one_officer_freezes_from_the_command_line_while_nothing_else_runs(
    tmp_path: Path, tower: RunningTower, house: House, book: Book
) -> None:
    granted(tower.lease(book.ask(0)))
    files = officer_files(tmp_path, house)
    done = run_freeze(tmp_path, tower, files[1])
    assert json.loads(done.out) == {"frozen": ["*"], "is_news": True}, done.err
    assert granted(tower.lease(book.ask(1))).lease.is_frozen("eip155:1")
    again = run_freeze(
        tmp_path, tower, files[2], "--network", "eip155:1", "--merchant", "mer_1", "--asset", "eip155:1/slip44:60"
    )
    assert json.loads(again.out)["frozen"] == ["*", "eip155:1", "eip155:1/slip44:60", "mer_1"]


def test_a_freeze_is_in_the_next_lease_within_a_second_of_being_sent(
    tower: RunningTower, house: House, book: Book
) -> None:
    granted(tower.lease(book.ask(0)))
    began = time.monotonic()
    tower.say(msgspec.json.encode({"freeze": house.freeze()}))
    assert granted(tower.lease(book.ask(1))).lease.frozen == ("*",)
    assert time.monotonic() - began < 1


def test_a_freeze_by_somebody_else_is_refused_and_so_is_a_keystore_of_another_kind(
    tmp_path: Path, tower: RunningTower, book: Book
) -> None:
    granted(tower.lease(book.ask(0)))
    done = run_freeze(tmp_path, tower, officer_files(tmp_path, House())[0])
    assert done.code == 5
    assert "freeze-not-allowed" in done.err
    done = run_freeze(tmp_path, tower, tower.config.parent / "lease.keystore")
    assert "keystore-of-another-kind" in done.err


def test_a_watchtower_that_is_down_is_named(tmp_path: Path, tower: RunningTower, house: House) -> None:
    files = officer_files(tmp_path, house)
    tower.process.kill()
    tower.process.wait()
    done = run_freeze(tmp_path, tower, files[0])
    assert done.code == 7
    assert "watchtower-unreachable" in done.err


def test_a_freeze_gets_through_when_somebody_holds_every_connection(
    tower: RunningTower, house: House, book: Book
) -> None:
    granted(tower.lease(book.ask(0)))
    holders = [socket.create_connection(("127.0.0.1", tower.port)) for _ in range(12)]
    for holder in holders[6:]:
        holder.sendall(b'{"ask":')
    assert b'"frozen":["*"]' in tower.say(msgspec.json.encode({"freeze": house.freeze()}))
    holders[0].settimeout(0.5)
    with suppress(ConnectionResetError):
        assert holders[0].recv(1) == b"", "the one that was silent longest made room"
    for holder in holders:
        holder.close()


def test_a_line_that_is_too_slow_ends_its_connection_and_no_other(tower: RunningTower, book: Book) -> None:
    with socket.create_connection(("127.0.0.1", tower.port), timeout=20) as slow:
        slow.sendall(b"{")
        granted(tower.lease(book.ask(0)))
        assert slow.recv(10) == b""


def test_a_line_that_is_too_long_ends_its_connection_at_once(tmp_path: Path, house: House) -> None:
    config = write_tower(tmp_path, house, line_bytes_max=20_000, request_seconds_max=600)
    with (
        tower_process(config, house) as running,
        socket.create_connection(("127.0.0.1", running.port), timeout=20) as long,
        suppress(ConnectionResetError, BrokenPipeError),
    ):
        long.sendall(b"x" * 1_000_000)
        assert long.recv(10) == b""


def test_many_requests_on_one_connection_are_answered_in_turn(tower: RunningTower, book: Book) -> None:
    with socket.create_connection(("127.0.0.1", tower.port), timeout=20) as connection:
        answers = connection.makefile("rb")
        connection.sendall(b"".join(msgspec.json.encode(book.ask(after)) + b"\n" for after in (0, 1, 1)))
        for _ in range(3):
            assert msgspec.json.decode(answers.readline(), type=SignedLease).lease.seq == 1


def refusal(config: Path) -> dict[str, str]:
    """What a watchtower that does not start says."""
    done = subprocess.run(  # noqa: S603  our own command
        [*COMMAND, str(config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    found: dict[str, str] = json.loads(done.stderr.splitlines()[-1])
    return found


def test_it_says_why_it_does_not_start(tmp_path: Path, house: House) -> None:
    config = write_tower(tmp_path, house)
    good = config.read_text()
    for bad in (
        "",
        "nonsense",
        good + 'surplus = "1"',
        good.replace(house.quorum.fingerprint(), "abc"),
        good + "freeze_keys = ['x']",
    ):
        config.write_text(bad)
        assert refusal(config)["code"] == "tower-settings-wrong"
    config.write_text(good)
    (tmp_path / "lease.passphrase").chmod(0o644)
    assert refusal(config)["code"] == "keystore-exposed"
    (tmp_path / "lease.passphrase").chmod(0o600)
    (tmp_path / "lease.passphrase").write_text("another passphrase")
    assert refusal(config)["code"] == "passphrase-wrong"
    (tmp_path / "lease.passphrase").unlink()
    assert refusal(config)["code"] == "keystore-missing"
    assert refusal(tmp_path / "nowhere.toml")["code"] == "tower-settings-wrong"


def test_two_watchtowers_do_not_share_a_store_nor_a_port(tmp_path: Path, house: House) -> None:
    config = write_tower(tmp_path, house)
    with tower_process(config, house) as running:
        assert refusal(config)["code"] == "tower-store-in-use"
        other = tmp_path / "other.toml"
        other.write_text(
            config.read_text().replace("port = 0", f"port = {running.port}").replace("tower.sqlite", "b.sqlite")
        )
        assert refusal(other)["code"] == "tower-unable"


def test_a_store_that_was_edited_does_not_open(tmp_path: Path, house: House, book: Book) -> None:
    config = write_tower(tmp_path, house)
    book.add(Started("boot", "0"))
    with tower_process(config, house) as running:
        granted(running.lease(book.ask(0)))
    with sqlite3.connect(tmp_path / "tower.sqlite") as database:
        database.execute("DROP TRIGGER entries_no_update")
        database.execute("UPDATE entries SET document = replace(document, 'boot', 'toob') WHERE seq = 2")
    database.close()
    assert refusal(config)["code"] == "journal-broken"


def test_it_refuses_to_run_without_assertions(tmp_path: Path) -> None:
    done = subprocess.run(  # noqa: S603  our own command
        [sys.executable, "-O", *COMMAND[1:], str(tmp_path / "tower.toml")],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ},
    )  # fmt: skip
    assert done.returncode == 1
    assert "python -O" in done.stderr


def test_its_process_holds_nothing_of_the_other_zones() -> None:
    script = (
        "import sys, holdfast.watchtower.main\n"
        "print(sorted(n for n in sys.modules if n.startswith('holdfast.') and n.count('.') == 1))\n"
        "print([n for n in ('psycopg', 'litestar', 'httpx', 'structlog', 'typer') if n in sys.modules])"
    )
    done = subprocess.run(  # noqa: S603  our own words
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    own = ["holdfast.chains", "holdfast.core", "holdfast.policy", "holdfast.watchtower"]
    assert done.stdout.splitlines() == [str(own), "[]"]
