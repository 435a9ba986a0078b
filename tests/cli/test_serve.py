"""`holdfast serve` as people and accidents end it: real processes, real signals, nothing left behind."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fixtures_cli import holdfast
from holdfast.runtime.config import load
from holdfast.runtime.secret_files import write_secret

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("cli")]

RPC_PASSWORD = "correct-horse-battery-staple"


def processes(directory: Path) -> dict[int, str]:
    """Living processes that have the directory in their command line or in a file they hold open, by id."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                place = str((entry / "cwd").readlink())
                state = (entry / "stat").read_text().rpartition(") ")[2][0]
            except OSError:
                continue
            if (str(directory) in command or str(directory) in place) and state != "Z":
                found[int(entry.name)] = command
    return found


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


class Served:
    """A running `holdfast serve`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        settings = load(directory / "holdfast.toml")
        self.ports = {
            "api": settings.api.port,
            "follower": settings.follower.metrics_port,
            "courier": settings.courier.metrics_port,
        }
        self.log = self.directory / "serve.log"
        argv = [sys.executable, "-m", "holdfast", "serve", "--config", str(settings.path)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, stderr=log, stdout=log, cwd=self.directory)  # noqa: S603  our own command

    def lives(self, zone: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[zone]}/health").is_success
        except httpx.TransportError:
            return False

    def troubles(self, zone: str) -> set[str]:
        """The checks of a zone that fail; here nodes are away, and everything else is well."""
        try:
            report = httpx.get(f"http://127.0.0.1:{self.ports[zone]}/ready").json()
        except httpx.TransportError:
            return {"unreachable"}
        return {trouble["check"] for trouble in report["troubles"]}

    def pid(self, zone: str) -> int:
        """The newest process of a zone, from the log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if '"zone_started"' in line]
        return int([line["pid"] for line in lines if line["name"] == zone][-1])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A local set-up, to be copied."""
    directory = tmp_path_factory.mktemp("serve") / "made"
    done = holdfast("init", "--local", directory, "--port", str(20_000 + os.getpid() % 2_000 * 5))
    assert done.code == 0, done.err
    return directory


@pytest.fixture
def directory(made: Path, tmp_path: Path) -> Path:
    """A set-up of this test's own, whose node's password is a secret that can be looked for."""
    place = tmp_path / "shop"
    shutil.copytree(made, place)
    write_secret(place / "secrets" / "rpc", RPC_PASSWORD)
    config = place / "holdfast.toml"
    with_password = 'rpcuser = "holdfast", rpcpassword_file = "secrets/rpc"'
    config.write_text(re.sub(r'cookie_file = "[^"]+"', with_password, config.read_text()))
    return place


@pytest.fixture
def served(directory: Path) -> Iterator[Served]:
    running = Served(directory)
    try:
        until(lambda: all(running.lives(zone) for zone in running.ports))
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        until(lambda: not processes(running.directory))


def test_one_interrupt_stops_everything(served: Served) -> None:
    assert len(processes(served.directory)) > 4
    served.process.send_signal(signal.SIGINT)
    assert served.process.wait(15) == 0
    assert processes(served.directory) == {}
    stopped = [json.loads(line)["name"] for line in served.log.read_text().splitlines() if '"zone_stopped"' in line]
    assert stopped[-1] == "database"
    assert "database_stopped" in served.log.read_text(), "PostgreSQL was not shut down in order"


@pytest.mark.parametrize("zone", ["api", "follower", "courier", "database"])
def test_a_zone_that_was_killed_comes_back(served: Served, zone: str) -> None:
    before = served.pid(zone)
    os.kill(before, signal.SIGKILL)
    until(lambda: served.pid(zone) != before)

    until(lambda: all(served.lives(zone) for zone in served.ports))
    until(lambda: served.troubles("api") <= {"networks"} and served.troubles("follower") <= {"networks"})


def test_nothing_outlives_a_serve_that_was_killed(served: Served) -> None:
    served.process.kill()
    served.process.wait()
    until(lambda: not processes(served.directory), 20)
    assert not (served.directory / "data" / "database" / "cluster" / "postmaster.pid").exists()


def test_no_secret_is_in_a_log_an_argument_or_an_environment(served: Served) -> None:
    passwords = (served.directory / "data" / "database" / "passwords").read_text().split()
    files = [*(served.directory / "secrets").iterdir(), *served.directory.glob("*/passphrase")]
    secrets = [path.read_text().strip() for path in files] + [line.rpartition(":")[2] for line in passwords]
    assert len(secrets) == 11
    until(lambda: "node-unreachable" in httpx.get(f"http://127.0.0.1:{served.ports['follower']}/ready").text)
    for pid in processes(served.directory):
        seen = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        assert not [secret for secret in secrets if secret.encode() in seen], processes(served.directory)[pid]
    written = [served.log, served.directory / "data" / "database" / "postgres.log", served.directory / "holdfast.toml"]
    for path in written:
        assert not [secret for secret in secrets if secret in path.read_text(errors="replace")], path


def test_one_zone_runs_alone_and_ends_alone(directory: Path) -> None:
    argv = [sys.executable, "-m", "holdfast", "serve", "database", "--config", str(directory / "holdfast.toml")]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)  # noqa: S603  our own command
    assert process.stderr is not None
    until(lambda: "database_ready" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    process.stderr.close()
    until(lambda: not processes(directory), 5)
