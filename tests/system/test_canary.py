"""`holdfast canary` against a platform that really runs: it pays itself, compares every address, and tells of a swap.

What it reads comes over HTTP from the platform alone, what it pays goes to a node: as from a host outside.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio
from aiohttp import web

from fixtures_cli import Done, holdfast
from fixtures_money_out import EVM, LTC, Town, fresh_address, town
from holdfast.chains.local_process import LocalRpc
from holdfast.core.tower_status import TowerStatus
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone
from holdfast.drill.scenarios.address_swap import swap
from holdfast.drill.tower import status
from holdfast.drill.waiting import until
from holdfast.faces.cli.serve import ZoneName
from holdfast.faces.cli.zones import plain_text
from holdfast.runtime.secret_files import read_secret, write_secret

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("money-out")]

PAYER_KEY = "59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d"
"""Of anvil's second account: every anvil has it."""
ASSETS = 3


@dataclass
class Host:
    """Where the canary lives: its own directory, and nothing of the platform's."""

    made: Town
    directory: Path
    payer: str
    facts: dict[str, object]

    async def round(self, **changed: object) -> tuple[Done, dict[str, Any]]:
        """`holdfast canary --rounds 1`, while blocks are made: how it ended, and what it played."""
        config, node, told = self.directory / "canary.toml", self.made.evm.rpc_url, self.facts | changed
        config.write_text(
            plain_text("# As the guide says.", {name: one for name, one in told.items() if one is not None}, {})
            + f'[payers."{EVM.id}"]\nurl = "{node}"\nkey_file = "payer.key"\nunits_max = {10**18}\n'
        )
        running = asyncio.create_task(
            asyncio.to_thread(holdfast, "canary", "--config", config, "--rounds", "1", "--json")
        )
        while not running.done():
            await asyncio.gather(self.made.litecoin.mine(), self.made.evm.mine())
            await asyncio.sleep(0.3)
        done = await running
        return done, json.loads(done.out)

    async def purse(self) -> int:
        """What the canary still has to pay with, in wei."""
        return int(await LocalRpc(self.made.evm.rpc_url, "test").call(str, "eth_getBalance", self.payer, "latest"), 16)

    async def told(self) -> TowerStatus:
        """The watchtower's status line."""

        async def answers() -> bool:
            return await asyncio.to_thread(status, self.made.port + 6) is not None

        await until(answers, "the watchtower answers")
        found = await asyncio.to_thread(status, self.made.port + 6)
        assert found is not None
        return found


async def enrolled(made: Town) -> dict[str, str]:
    """The canary's own merchant."""
    said: dict[str, str] = {}

    async def is_there() -> bool:
        words = ("merchant", "enrol", "canary", "--config", made.directory / "holdfast.toml", "--json")
        done = await asyncio.to_thread(holdfast, *words)
        said.update(json.loads(done.out) if done.code == 0 else {})
        return done.code == 0

    await until(is_there, "the canary's merchant is enrolled")
    return said


async def may_freeze(made: Town, directory: Path) -> None:
    """A freeze key for the canary, which the watchtower is told when it starts again."""
    passphrase = directory / "freeze.passphrase"
    write_secret(passphrase, "a canary sings")
    made_by = ("--out", directory, "--passphrase-file", passphrase, "--json")
    done = await asyncio.to_thread(holdfast, "vault", "key", "freeze", "canary", *made_by)
    assert done.code == 0, done.err
    tower, key = made.directory / "watchtower" / "tower.toml", json.loads(done.out)["key"]
    tower.write_text(tower.read_text().replace("\n[", f'\nfreeze_keys = ["{key}"]\n\n[', 1))
    made.zones[ZoneName.WATCHTOWER].kill(Random(0))  # noqa: S311  it has one process


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    directory = tmp_path / "outside"
    directory.mkdir()
    async with town(tmp_path / "town", Random(11), {}) as made:  # noqa: S311  names no secret
        told = await enrolled(made)
        write_secret(directory / "api.key", read_secret(Path(told["api_key_file"])))
        write_secret(directory / "payer.key", PAYER_KEY)
        await may_freeze(made, directory)
        facts: dict[str, object] = {
            "platform_url": f"http://127.0.0.1:{made.port}", "api_key_file": "api.key", "version_file": "version",
            "root_fingerprint": told["root_fingerprint"], "merchant_key": told["key"], "credited_seconds": 60,
            "freeze_keystore_file": "canary.freeze.keystore", "freeze_passphrase_file": "freeze.passphrase",
            "watchtower": f"127.0.0.1:{made.port + 6}",
        }  # fmt: skip
        yield Host(made, directory, (await made.evm.accounts())[1], facts)


@asynccontextmanager
async def pages_changed(url: str, thief: dict[str, str]) -> AsyncIterator[str]:
    """The same platform, whose pages show the thief's address in place of the one that its API gives out."""
    shown: dict[str, str] = {}
    async with httpx.AsyncClient(base_url=url, trust_env=False) as there:

        async def pass_on(request: web.Request) -> web.Response:
            headers = {name: text for name, text in request.headers.items() if name.lower() != "host"}
            body = await request.read()
            answer = await there.request(request.method, request.path_qs, content=body, headers=headers)
            text, kind = answer.text, answer.headers["content-type"].partition(";")[0]
            if kind == "application/json":
                said = answer.json()
                for quote in said.get("quotes", [said] if "address" in said else []):
                    shown[quote["address"]] = thief["rLTC" if quote["network"] == LTC.id else "ETH"]
            else:
                for ours, his in shown.items():
                    text = text.replace(ours, his)
            return web.Response(status=answer.status_code, text=text, content_type=kind)

        application = web.Application()
        application.router.add_route("*", "/{rest:.*}", pass_on)
        runner = web.AppRunner(application)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def test_a_canary_pays_itself_and_a_swapped_address_is_told_and_freezes_within_one_round(host: Host) -> None:
    purse = await host.purse()
    done, played = await host.round()
    assert (done.code, played["findings"]) == (0, []), done.err
    assert (len(played["compared"]), len(played["paid"])) == (ASSETS, 1)
    assert (rest := await host.purse()) < purse
    assert "*" not in (await host.told()).frozen

    draw = Random(12)  # noqa: S311  addresses, no secrets
    thief = {"rLTC": fresh_address(LTC.id, draw), "ETH": fresh_address(EVM.id, draw)}
    async with pages_changed(str(host.facts["platform_url"]), thief) as url:
        done, played = await host.round(platform_url=url, freeze_keystore_file=None)
    assert done.code == 1
    assert {one["kind"] for one in played["findings"]} == {"address"}
    assert all(his in done.out for his in thief.values())
    assert "freeze by hand" in done.err
    assert "*" not in (await host.told()).frozen

    # As the drill's attacker does it: only where merchants' programs do not look again.
    await swap(Hand(TrustZone.PLATFORM, host.made.directory, 12, {"thief": thief, "is_all": False}))
    done, played = await host.round()
    assert done.code == 1
    assert {one["kind"] for one in played["findings"]} == {"address"}
    details = [one["detail"] for one in played["findings"]]
    assert len(details) >= ASSETS
    assert any(thief["ETH"] in one and "is not index" in one for one in details), "what the API says is derived again"
    assert any(f"shows {thief['rLTC']}" in one for one in details), "what the page says is compared"
    assert all(his in done.out for his in thief.values())
    assert played["paid"] == []
    assert await host.purse() == rest
    told = await host.told()
    assert "*" in told.frozen
    assert [one.reason[:7] for one in told.stops if one.scope == "*"] == ["canary:"]
