"""`holdfast doctor` on a good set-up, and on each kind of broken one: every fault shows what to do."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from aiohttp import web

from fixtures_cli import SetUp, access, holdfast, network
from holdfast.chains.localnet import RegtestNode, free_port, litecoin_regtest
from holdfast.chains.port import Header
from holdfast.core.networks import known_network
from holdfast.faces.cli import doctor, doctor_checks, doctor_database, doctor_nodes, doctor_rates
from holdfast.faces.cli.findings import Finding
from holdfast.payments import rate_sources
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.config import load
from holdfast.runtime.embedded_database import SUPERUSER, EmbeddedDatabase
from holdfast.runtime.settings import NetworkSettings, NodeSettings, Settings

pytestmark = [pytest.mark.node, pytest.mark.xdist_group("cli")]


async def examined(set_up: SetUp) -> dict[str, Finding]:
    """What doctor finds, by check."""
    findings = await doctor._examine(set_up.write())
    assert all(one.remedy for one in findings if one.level != "ok")
    return {one.check: one for one in findings}


async def test_a_good_set_up_has_no_fault(set_up: SetUp, litecoin: RegtestNode) -> None:
    set_up.networks["litecoin-regtest"] = network(access(litecoin), access(litecoin))
    done = holdfast("doctor", "--config", set_up.write(), "--json")
    report = json.loads(done.out)
    found = {one["check"]: one["level"] for one in report["findings"]}
    assert (done.code, report["ok"]) == (0, True), done.out
    for check in ("database tables", "database durability", "litecoin-regtest node 2", "litecoin-regtest agreement"):
        assert found[check] == "ok"


async def test_it_reads_well_too(set_up: SetUp, litecoin: RegtestNode) -> None:
    set_up.networks["litecoin-regtest"] = network(access(litecoin), NodeSettings(url=f"http://127.0.0.1:{free_port()}"))
    done = holdfast("doctor", "--config", set_up.write())
    assert done.code == 1
    assert "FAIL  litecoin-regtest node 2" in done.out
    assert "      → " in done.out
    assert "Traceback" not in done.err


async def test_a_wrong_configuration_is_the_one_finding(set_up: SetUp) -> None:
    set_up.networks["litecoin-regtest"] = {"nodes": []}
    found = await examined(set_up)
    assert list(found) == ["configuration"]
    assert "setting-malformed" in found["configuration"].detail


async def test_nodes_that_are_away_or_on_another_network_are_named(set_up: SetUp, litecoin: RegtestNode) -> None:
    set_up.networks["litecoin-regtest"] = network(access(litecoin), NodeSettings(url=f"http://127.0.0.1:{free_port()}"))
    set_up.networks["bitcoin-regtest"] = network(access(litecoin))
    found = await examined(set_up)
    assert found["litecoin-regtest node 1"].level == "ok"
    assert "node-unreachable" in found["litecoin-regtest node 2"].detail
    assert "node-on-wrong-network" in found["bitcoin-regtest node 1"].detail


async def test_nodes_that_disagree_are_named(set_up: SetUp, litecoin: RegtestNode, tmp_path: Path) -> None:
    async with litecoin_regtest(tmp_path / "other") as other:
        set_up.networks["litecoin-regtest"] = network(access(litecoin), access(other))
        found = (await examined(set_up))["litecoin-regtest agreement"]
    assert found.level == "fail"
    assert "different blocks at height" in found.detail


async def test_a_quorum_document_that_is_none_is_named(set_up: SetUp) -> None:
    (set_up.directory / "quorum.json").write_text("{}")
    found = (await examined(set_up))["quorum"]
    assert (found.level, "quorum-malformed" in found.detail) == ("fail", True)


async def test_a_database_without_a_proven_backup_is_named(set_up: SetUp) -> None:
    assert "holdfast backup" in (await examined(set_up))["backup"].remedy


@pytest.mark.parametrize(
    ("secret", "said"), [("zz" * 32, "not hexadecimal"), ("ab" * 16, "16 bytes"), ("", "secret-file-missing")]
)
async def test_a_webhook_key_that_is_none_is_named(set_up: SetUp, secret: str, said: str) -> None:
    (set_up.directory / "secrets" / "webhook.key").write_text(secret)
    found = (await examined(set_up))["webhook key"]
    assert found.level == "fail"
    assert said in found.detail


async def test_a_directory_that_others_may_write_to_is_named(set_up: SetUp) -> None:
    set_up.directory.chmod(0o777)
    assert "chmod go-w" in (await examined(set_up))["files"].remedy


async def test_officers_keys_on_a_server_are_named(set_up: SetUp) -> None:
    (set_up.directory / "officers" / "alice").mkdir(parents=True)
    (set_up.directory / "officers" / "alice" / "alice.keystore").touch()
    found = (await examined(set_up))["officers' keys"]
    assert (found.level, "offline machine" in found.remedy) == ("warn", True)


async def test_a_database_that_is_away_is_named(set_up: SetUp) -> None:
    set_up.sections["database"] = {"url": f"postgresql://holdfast_platform@127.0.0.1:{free_port()}/holdfast"}
    assert "database-unreachable" in (await examined(set_up))["database"].detail
    set_up.sections["database"] = {"data_dir": "nothing-runs-here"}
    assert "holdfast serve" in (await examined(set_up))["database"].remedy


async def test_tables_that_are_missing_and_a_superuser_are_named(set_up: SetUp, durable: EmbeddedDatabase) -> None:
    set_up.sections["database"] = {"url": durable.url_of(SUPERUSER, "postgres")}
    found = await examined(set_up)
    assert found["database tables"].remedy == "Run `holdfast migrate`."
    assert "superuser" in found["database role"].detail


async def test_a_database_that_may_forget_is_named(set_up: SetUp, durable: EmbeddedDatabase) -> None:
    with psycopg.connect(durable.url_of(SUPERUSER, "postgres"), autocommit=True) as connection:
        connection.execute("ALTER ROLE holdfast_platform SET synchronous_commit = off")
        try:
            found = (await examined(set_up))["database durability"]
        finally:
            connection.execute("ALTER ROLE holdfast_platform RESET synchronous_commit")
    assert found.level == "fail"
    assert "synchronous_commit" in found.remedy


@asynccontextmanager
async def price_server(prices: dict[str, str]) -> AsyncIterator[str]:
    """Answers as Bitstamp does, under each of these paths."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"last": prices[request.path.split("/")[1]]})

    application = web.Application()
    application.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("prices", "level", "said"),
    [
        ({"one": "85.00", "two": "85.10"}, "ok", "2 of 2 sources agree"),
        ({"one": "85.00", "two": "120"}, "fail", "rates-disagree"),
        ({"one": "85.00"}, "fail", "rate-unavailable"),
    ],
)
async def test_sources_of_rates_are_asked_and_compared(
    set_up: SetUp, monkeypatch: pytest.MonkeyPatch, prices: dict[str, str], level: str, said: str
) -> None:
    set_up.sections["rates"] = {"sources": ["bitstamp", "bitfinex"], "sources_min": 2, "symbols": {"rLTC": "LTC"}}
    monkeypatch.setitem(rate_sources.ADAPTERS, "bitfinex", rate_sources.ADAPTERS["bitstamp"])
    async with price_server(prices) as url:
        bases = {"bitstamp": f"{url}/one", "bitfinex": f"{url}/two"}
        monkeypatch.setattr(doctor_rates, "open_sources", partial(rate_sources.open_sources, bases=bases))
        found = await examined(set_up)
    assert (found["rates"].level, said in found["rates"].detail) == (level, True), found["rates"]
    assert found["rates from bitstamp"].level == "ok"


async def test_a_source_of_rates_that_does_not_exist_is_named(set_up: SetUp) -> None:
    set_up.sections["rates"] = {"sources": ["crakken", "coinbase", "kraken"]}
    assert "rate-source-unknown" in (await examined(set_up))["rates"].detail


@pytest.mark.parametrize(("seconds", "level"), [(0.5, "ok"), (3, "warn"), (60, "fail")])
def test_a_clock_apart_from_the_databases_is_named(seconds: float, level: str) -> None:
    assert doctor_database._skew(seconds).level == level


@pytest.mark.parametrize(
    ("network_name", "age_seconds", "level"),
    [("litecoin", 600, "ok"), ("litecoin", 3 * 3600, "fail"), ("ethereum", 600, "fail"), ("litecoin", -3600, "fail"),
     ("litecoin-regtest", 3 * 3600, "ok")],
)  # fmt: skip
def test_a_node_that_is_behind_or_ahead_of_the_clock_is_named(network_name: str, age_seconds: int, level: str) -> None:
    time = int((SYSTEM_CLOCK.now() - timedelta(seconds=age_seconds)).timestamp())
    finding = doctor_nodes._tip("node", known_network(network_name), Header(1, "a", "b", time))
    assert finding.level == level


async def test_a_full_or_slow_disk_is_named(set_up: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(set_up.write())
    monkeypatch.setattr(doctor_checks, "DISK_FREE_BYTES_FAIL", 10**18)
    monkeypatch.setattr(doctor_checks, "FSYNC_SECONDS_WARN", 0)
    space, writes = await doctor_checks._disk(settings)
    assert (space.level, writes.level) == ("fail", "warn")
    assert not list(set_up.directory.glob(".holdfast-doctor*"))


async def test_one_believed_node_with_real_money_is_named() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    litecoin = NetworkSettings(name="litecoin", nodes=[NodeSettings(url=url)])
    settings = Settings(path=Path("x"), networks={"litecoin": litecoin})
    found = await doctor_nodes.check_network(settings, litecoin)
    assert {one.check: one.level for one in found} == {"litecoin node 1": "fail", "litecoin nodes": "warn"}
