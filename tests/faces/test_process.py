"""The API as a process: how it starts, what it refuses, how it ends."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg

from fixtures_faces import RLTC, Member, Served, own_database, serve, write_config
from holdfast.faces.bench.front import free_port

MODULE = "holdfast.faces.api.main"


def _run(*words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)  # noqa: S603  our own command


def test_it_refuses_to_run_without_its_assertions(tmp_path: Path) -> None:
    ended = _run("-O", "-m", MODULE, "--config", str(tmp_path / "holdfast.toml"))
    assert ended.returncode != 0
    assert "python -O" in ended.stderr


def test_a_wrong_configuration_is_named_in_one_line(tmp_path: Path) -> None:
    config = tmp_path / "holdfast.toml"
    config.write_text("[api]\nprot = 1\n[networks.litecoin]\nnodes = [{url = 'http://127.0.0.1:1/'}]\n")
    ended = _run("-m", MODULE, "--config", str(config))
    assert ended.returncode == 1
    assert f"{config}:2" in ended.stderr
    assert "did you mean `port`?" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_workers_share_the_port_and_a_key_is_good_for_one_invoice_whichever_answers(
    server: Any, tmp_path: Path
) -> None:
    with own_database(server) as url, serve(tmp_path, url, workers=2) as served:
        member = served.enrol()
        keys = [f"order-{number}" for number in range(12)] * 4
        with ThreadPoolExecutor(16) as callers:
            answers = list(callers.map(lambda key: _order(served, member, key), keys))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.content for answer in answers}) == 12
        with psycopg.connect(url) as conn:
            row = conn.execute("SELECT count(*), count(DISTINCT index) FROM payments.addresses").fetchone()
    assert row == (12, 12)


def _order(served: Served, member: Member, key: str) -> httpx.Response:
    order = {"price": {"amount": "12.50", "currency": "EUR"}, "asset": RLTC}
    headers = {"Authorization": f"Bearer {member.key}", "Idempotency-Key": key}
    return httpx.post(f"{served.url}/v1/invoices", json=order, headers=headers, timeout=20)


def test_it_stops_when_told_and_answers_what_it_had_begun(server: Any, tmp_path: Path) -> None:
    with own_database(server) as url, serve(tmp_path, url) as served:
        member = served.enrol()
        with ThreadPoolExecutor(8) as callers:
            begun = [callers.submit(_order, served, member, f"order-{number}") for number in range(40)]
            begun[0].result()
            served.process.terminate()
            assert served.process.wait(timeout=20) == 0
        answered = [call.result() for call in begun if call.exception() is None]
        assert {answer.status_code for answer in answered} <= {201, 503}
        made = {answer.json()["id"] for answer in answered if answer.status_code == 201}
        with psycopg.connect(url) as conn:
            stored = {row[0] for row in conn.execute("SELECT id FROM payments.invoices")}
    assert made <= stored


def test_it_waits_for_a_database_that_is_not_there_yet_and_does_not_listen_meanwhile(tmp_path: Path) -> None:
    port = free_port()
    _, _, config = write_config(tmp_path, f"postgresql://holdfast_platform@/holdfast?host={tmp_path}", port)
    argv = [sys.executable, "-m", MODULE, "--config", str(config)]
    with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:  # noqa: S603  our own module
        try:
            process.wait(timeout=4)
        except subprocess.TimeoutExpired:
            with socket.socket() as probe:
                assert probe.connect_ex(("127.0.0.1", port)) != 0
            process.terminate()
            process.wait(timeout=20)
        else:
            raise AssertionError(f"it ended: {process.stderr.read() if process.stderr else None!r}")
