"""`holdfast serve` as people and accidents end it: real processes, real signals, nothing left behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from fixtures_cli import SetUp, access, network
from holdfast.chains.localnet import RegtestNode, free_port
from holdfast.runtime.secret_files import write_secret
from holdfast.runtime.settings import NodeSettings

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("cli")]

WEBHOOK_KEY = "5ec2e7" * 10 + "beef"
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

    def __init__(self, set_up: SetUp) -> None:
        self.directory = set_up.directory
        self.ports = {name: set_up.sections[name]["metrics_port"] for name in ("follower", "courier")}
        self.log = self.directory / "serve.log"
        argv = [sys.executable, "-m", "holdfast", "serve", "--config", str(set_up.write())]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(argv, stderr=log, stdout=log, cwd=self.directory)  # noqa: S603  our own

    def lives(self, zone: str) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[zone]}/health").is_success
        except httpx.TransportError:
            return False

    def pid(self, zone: str) -> int:
        """The newest process of a zone, from the log."""
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if '"zone_started"' in line]
        return int([line["pid"] for line in lines if line["name"] == zone][-1])


@pytest.fixture
def set_up(tmp_path: Path) -> SetUp:
    (tmp_path / "quorum.json").write_text("{}")
    write_secret(tmp_path / "secrets" / "webhook.key", WEBHOOK_KEY)
    write_secret(tmp_path / "secrets" / "rpc", RPC_PASSWORD)
    sections: dict[str, dict[str, object]] = {
        "rates": {"sources": [], "fixed": {"LTC/EUR": "85.00"}},
        "api": {"port": free_port()},
        "follower": {"metrics_port": free_port()},
        "courier": {"metrics_port": free_port()},
    }
    node = NodeSettings(
        url=f"http://127.0.0.1:{free_port()}", rpc_user="holdfast", rpc_password_file=Path("secrets/rpc")
    )
    return SetUp(tmp_path, sections=sections, networks={"litecoin-regtest": network(node)})


@pytest.fixture
def served(set_up: SetUp) -> Iterator[Served]:
    running = Served(set_up)
    try:
        until(lambda: running.lives("follower") and running.lives("courier"))
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


@pytest.mark.parametrize("zone", ["follower", "courier", "database"])
def test_a_zone_that_was_killed_comes_back(served: Served, zone: str) -> None:
    before = served.pid(zone)
    os.kill(before, signal.SIGKILL)
    until(lambda: served.pid(zone) != before)

    def ready() -> bool:
        answer = httpx.get(f"http://127.0.0.1:{served.ports['courier']}/ready") if served.lives("courier") else None
        return answer is not None and answer.is_success

    until(ready)
    until(lambda: served.lives("follower"))


def test_nothing_outlives_a_serve_that_was_killed(served: Served) -> None:
    served.process.kill()
    served.process.wait()
    until(lambda: not processes(served.directory), 20)
    assert not (served.directory / "data" / "database" / "cluster" / "postmaster.pid").exists()


def test_no_secret_is_in_a_log_an_argument_or_an_environment(served: Served) -> None:
    passwords = (served.directory / "data" / "database" / "passwords").read_text().split()
    secrets = [WEBHOOK_KEY, RPC_PASSWORD, *(line.rpartition(":")[2] for line in passwords)]
    assert len(secrets) == 5
    until(lambda: "node-unreachable" in httpx.get(f"http://127.0.0.1:{served.ports['follower']}/ready").text)
    for pid in processes(served.directory):
        seen = b"".join(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("cmdline", "environ"))
        assert not [secret for secret in secrets if secret.encode() in seen], processes(served.directory)[pid]
    written = [served.log, served.directory / "data" / "database" / "postgres.log", served.directory / "holdfast.toml"]
    for path in written:
        assert not [secret for secret in secrets if secret in path.read_text(errors="replace")], path


def test_one_zone_runs_alone_and_ends_alone(set_up: SetUp, litecoin: RegtestNode) -> None:
    set_up.networks["litecoin-regtest"] = network(access(litecoin))
    argv = [sys.executable, "-m", "holdfast", "serve", "database", "--config", str(set_up.write())]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)  # noqa: S603  our own
    assert process.stderr is not None
    until(lambda: "database_ready" in process.stderr.readline())
    process.send_signal(signal.SIGTERM)
    assert process.wait(15) == 0
    process.stderr.close()
    assert processes(set_up.directory) == {}
