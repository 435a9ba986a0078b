"""What a newcomer does in his first ten minutes, command by command, on real nodes."""

import json
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fixtures_cli import holdfast
from holdfast.chains.localnet import free_ports
from holdfast.faces.cli.local_setup import ANVIL_KEY
from holdfast.runtime.secret_files import write_secret

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("cli")]


def until(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)
    return found


@contextmanager
def running(log: Path, *words: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command that runs until it is interrupted."""
    with log.open("wb") as out:
        process = subprocess.Popen(  # noqa: S603  our own command
            [sys.executable, "-m", "holdfast", *map(str, words)], stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(30) == 0, log.read_text()[-2000:]
        finally:
            process.kill()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A local set-up with its networks and all zones running, and one merchant."""
    directory = tmp_path_factory.mktemp("first") / "shop"
    port = free_ports(7)
    assert holdfast("init", "--local", directory, "--port", str(port)).code == 0
    with ExitStack() as stack:
        localnet = directory / "localnet.log"
        stack.enter_context(running(localnet, "localnet", "--dir", directory, "--block-seconds", "0.5"))
        until(lambda: "Ctrl-C stops both" in localnet.read_text())
        stack.enter_context(running(directory / "serve.log", "serve", "--config", directory / "holdfast.toml"))
        until(lambda: _is_ready(port))
        done = holdfast("merchant", "enrol", "shop", "--config", directory / "holdfast.toml", "--json")
        assert done.code == 0, done.err
        yield directory


def _is_ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready").is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def api(shop: Path) -> Iterator[httpx.Client]:
    """The merchant's view of the API."""
    key = (shop / "merchants" / "shop" / "api.key").read_text().strip()
    port = json.loads((shop / "localnet.json").read_text())["litecoin_port"] - 3
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"Authorization": f"Bearer {key}"}) as client:
        yield client


@pytest.mark.parametrize("symbol", ["rLTC", "ETH", "USDT"])
def test_an_invoice_is_paid_and_settled(shop: Path, api: httpx.Client, symbol: str) -> None:
    networks = api.get("/v1/networks").raise_for_status().json()["items"]
    assets = {asset["symbol"]: asset["id"] for one in networks for asset in one["assets"]}
    wanted = {"price": {"amount": "12.50", "currency": "EUR"}, "asset": assets[symbol]}
    made = api.post("/v1/invoices", json=wanted, headers={"Idempotency-Key": secrets.token_hex(8)})
    invoice = made.raise_for_status().json()
    done = holdfast("pay", invoice["quotes"][0]["uri"], "--dir", shop, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["transaction"]

    def settled() -> bool:
        answer = api.get(f"/v1/invoices/{invoice['id']}").raise_for_status().json()
        return bool(answer["state"] == "settled")

    until(settled)


def test_the_tutorials_program_makes_an_invoice(shop: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "start.md").read_text()
    program = page.partition("```python\n")[2].partition("```")[0]
    port = json.loads((shop / "localnet.json").read_text())["litecoin_port"] - 3
    for shown, here in (("127.0.0.1:8480", f"127.0.0.1:{port}"), ('"books"', '"shop"')):
        assert shown in program
        program = program.replace(shown, here)
    done = subprocess.run(  # noqa: S603  our own page
        [sys.executable, "-c", program], cwd=shop.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    checkout, uri = done.stdout.split()
    assert uri.startswith("litecoin:rltc1")
    assert uri.partition(":")[2].partition("?")[0] in httpx.get(checkout).text


def test_one_request_id_is_in_the_log_of_every_zone_that_worked_for_it(shop: Path, api: httpx.Client) -> None:
    networks = api.get("/v1/networks").raise_for_status().json()["items"]
    asset = next(one["id"] for network in networks for one in network["assets"] if one["symbol"] == "rLTC")
    nowhere = {"url": "http://127.0.0.1:1/", "allow_private": True}
    api.post("/v1/webhook-endpoints", json=nowhere, headers={"Idempotency-Key": "nowhere"}).raise_for_status()
    headers = {"Idempotency-Key": "traced", "X-Request-Id": "traced-through-all-zones"}
    wanted = {"price": {"amount": "1.00", "currency": "EUR"}, "asset": asset}
    invoice = api.post("/v1/invoices", json=wanted, headers=headers).raise_for_status().json()
    assert holdfast("pay", invoice["quotes"][0]["uri"], "--dir", shop).code == 0

    def zones() -> set[str]:
        lines = (shop / "serve.log").read_text().splitlines()
        return {json.loads(line)["zone"] for line in lines if "traced-through-all-zones" in line}

    until(lambda: zones() == {"api", "follower", "courier"})


def test_doctor_finds_nothing_wrong_with_it(shop: Path) -> None:
    done = holdfast("doctor", "--config", shop / "holdfast.toml", "--json")
    assert json.loads(done.out)["ok"], done.out


def test_the_vaults_contracts_are_deployed_once_and_only_for_their_own_officers(shop: Path, tmp_path: Path) -> None:
    write_secret(tmp_path / "gas.key", ANVIL_KEY.hex())
    files = [shop / "officers" / f"officer-{number}.json" for number in (1, 2, 3)]
    given = ("--gas-key-file", tmp_path / "gas.key", "--config", shop / "holdfast.toml")
    done = holdfast("deploy", "anvil", *files, *given, "--json")
    assert json.loads(done.out)["made"] == [], "localnet has deployed them"
    assert "not-deployable" in holdfast("deploy", "anvil", *reversed(files), *given).err
    assert "not-deployable" in holdfast("deploy", "litecoin-regtest", *files, *given).err


def test_it_is_backed_up_and_restored_elsewhere(shop: Path, tmp_path: Path) -> None:
    made = holdfast("backup", "--config", shop / "holdfast.toml", "--to", tmp_path / "backups", "--json")
    facts = json.loads(made.out)
    assert (made.code, facts["proven"]) == (0, True), made.err
    new = tmp_path / "new" / "shop"
    shutil.copytree(shop, new, ignore=shutil.ignore_patterns("data", "localnet", "*.log"))
    restored = holdfast("restore-backup", facts["file"], "--config", new / "holdfast.toml", "--json")
    assert restored.code == 0, restored.err
    assert json.loads(restored.out)["sha256"] == facts["sha256"]
    again = holdfast("restore-backup", facts["file"], "--config", new / "holdfast.toml")
    assert "database-not-empty" in again.err


def test_api_keys_are_made_listed_and_revoked_by_hand(shop: Path, api: httpx.Client) -> None:
    config = ("--config", shop / "holdfast.toml")
    made = json.loads(holdfast("keys", "make", "till", "--days", "1", *config, "--json").out)
    listed = json.loads(holdfast("keys", "list", *config, "--json").out)
    assert made["id"] in {one["id"] for one in listed}
    assert not any("secret" in one for one in listed)
    headers = {"Authorization": f"Bearer {made['secret']}"}
    assert httpx.get(api.base_url.join("/v1/merchants"), headers=headers).is_success
    assert holdfast("keys", "revoke", made["id"], *config).code == 0
    until(lambda: httpx.get(api.base_url.join("/v1/merchants"), headers=headers).status_code in {401, 403}, 10)
    assert "no scope" in holdfast("keys", "make", "x", "--scope", "everything", *config).err


def test_no_secret_of_the_set_up_is_in_a_log_an_argument_or_an_environment(shop: Path, api: httpx.Client) -> None:
    files = [*(shop / "secrets").iterdir(), shop / "merchants" / "shop" / "api.key"]
    files += [shop / zone / "passphrase" for zone in ("officers", "signer", "watchtower")]
    planted = [path.read_text().strip() for path in files]
    passwords = (shop / "data" / "database" / "passwords").read_text().split()
    planted += [line.rpartition(":")[2] for line in passwords]
    assert len(planted) == 10
    api.get("/v1/invoices").raise_for_status()
    mine = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and _is_of(entry, shop)]
    assert len(mine) > 5
    seen = [entry / name for entry in mine for name in ("cmdline", "environ")]
    logs = [*shop.glob("*.log"), shop / "data" / "database" / "postgres.log", shop / "holdfast.toml"]
    for path in (*seen, *logs):
        content = path.read_bytes() if path.exists() else b""
        assert not [secret for secret in planted if secret.encode() in content], path


def _is_of(entry: Path, directory: Path) -> bool:
    try:
        return str(directory).encode() in (entry / "cmdline").read_bytes()
    except OSError:
        return False
