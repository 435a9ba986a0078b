"""Everything is frozen, signer and watchtower are killed: invoices are made, paid and settled all the same.

And `holdfast restore`, typed as the runbook says it, brings payouts back, step by step.
"""

import asyncio
import json
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest
import pytest_asyncio

from fixtures_cli import Done, holdfast_here
from fixtures_money_out import LTC, Town, town
from holdfast.faces.cli.serve import ZoneName
from holdfast.runtime.config import read_secret

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("money-out")]

COIN = 10**8
SECONDS_MAX = 240


async def until(is_so: Callable[[], Awaitable[Any]], what: str) -> Any:
    """Ask again until it is so."""
    async with asyncio.timeout(SECONDS_MAX):
        while True:
            with suppress(httpx.TransportError, KeyError):
                if found := await is_so():
                    return found
            await asyncio.sleep(0.2)
    raise AssertionError(what)


class Desk:
    """An operator at a terminal, and a shop."""

    def __init__(self, made: Town, api_key: str) -> None:
        self.town = made
        self.config = made.directory / "holdfast.toml"
        self.tower = f"127.0.0.1:{made.port + 6}"
        self.http = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{made.port}", headers={"Authorization": f"Bearer {api_key}"}, trust_env=False
        )

    async def type(self, *words: str | Path) -> Done:
        done = await asyncio.to_thread(holdfast_here, *words)
        assert done.code == 0, done.err
        return done

    async def freeze(self) -> None:
        await self.type(
            "freeze", "--why", "a drill", "--watchtower", self.tower, "--keystore", self._officers()[0],
            "--passphrase-file", self._passphrase,
        )  # fmt: skip

    async def status(self) -> dict[str, Any]:
        return dict((await self.http.get("/v1/status")).json())

    async def stages(self) -> set[str]:
        return {one["stage"] for one in (await self.status())["payouts"]}

    async def plan(self) -> dict[str, Any]:
        """The runbook's first scope, once the watchtower answers."""

        async def asked() -> dict[str, Any] | None:
            words = ("restore", "--watchtower", self.tower, "--config", self.config, "--json")
            done = await asyncio.to_thread(holdfast_here, *words)
            return None if done.code else dict(json.loads(done.out)["scopes"][0])

        return dict(await until(asked, "the runbook"))

    async def step(self, stage: str) -> None:
        """The runbook's own commands, by the officers that it asks for."""

        async def ready() -> dict[str, Any] | None:
            plan = await self.plan()
            open_ones = {one["name"] for one in plan["checks"] if one["state"] == "open"}
            is_due = plan["next"] == stage and plan["due_at"] is None
            return plan if is_due and open_ones <= {"credentials-rotated", "reconciled"} else None

        plan = await until(ready, stage)
        names = [word for one in plan["checks"] for word in ("--checked", one["name"])]
        await self.type("vault", "order", "restore", stage, "*", *names, "--out", self._step(stage, 0))
        for number, keystore in enumerate(self._officers()[:2]):
            await self.type(
                "vault", "order", "sign", self._step(stage, number), "--keystore", keystore, "--yes",
                "--passphrase-file", self._passphrase, "--out", self._step(stage, number + 1),
            )  # fmt: skip
        await self.type("restore", "--hand-in", self._step(stage, 2), "--config", self.config)
        await until(lambda: self._is(stage), f"{stage} is told")

    async def invoice_is_settled(self) -> None:
        """Made, paid on the chain, settled."""
        body = {"price": {"amount": "12.50", "currency": "EUR"}, "asset": LTC.coin.id}
        made = await self.http.post("/v1/invoices", json=body, headers={"Idempotency-Key": str(id(body))})
        assert made.status_code == 201, made.text
        invoice = made.json()
        (quote,) = invoice["quotes"]
        await self.town.litecoin.send(quote["address"], int(quote["due_units"]))

        async def settled() -> bool:
            await self.town.litecoin.mine(1)
            return bool((await self.http.get(f"/v1/invoices/{invoice['id']}")).json()["state"] == "settled")

        await until(settled, "settled")

    async def _is(self, stage: str) -> bool:
        return await self.stages() == {stage}

    @property
    def _passphrase(self) -> Path:
        return self.town.directory / "officers" / "passphrase"

    def _step(self, stage: str, number: int) -> Path:
        return self.town.directory / f"{stage}.{number}.json"

    def _officers(self) -> list[Path]:
        return sorted((self.town.directory / "officers").glob("*.keystore"))


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    directory = tmp_path / "town"
    async with town(directory, Random(4), {}) as made:  # noqa: S311  names no secret
        words = ("merchant", "enrol", "shop", "--config", directory / "holdfast.toml", "--json")

        async def enrolled() -> Done | None:
            done = await asyncio.to_thread(holdfast_here, *words)
            return done if done.code == 0 else None

        done: Done = await until(enrolled, "a merchant")
        found = Desk(made, read_secret(Path(json.loads(done.out)["api_key_file"])))
        await made.litecoin.mine(10)
        await until(lambda: found._is("normal"), "the watchtower is heard")
        yield found
        await found.http.aclose()


async def kill_for_ever(town: Town) -> None:
    """However often they are started again."""
    while True:
        for name in (ZoneName.SIGNER, ZoneName.WATCHTOWER):
            town.zones[name].kill(town.draw)
        await asyncio.sleep(0.05)


async def test_payments_in_go_on_while_all_is_frozen_and_both_zones_dead_and_the_runbook_leads_back(desk: Desk) -> None:
    await desk.freeze()
    await until(lambda: desk._is("frozen"), "told")
    plan = await desk.plan()
    assert (plan["stage"], plan["next"], plan["why"][0][:7]) == ("frozen", "allowlisted", "a drill")
    assert shlex.split(plan["commands"][-1])[0] == "holdfast"

    killing = asyncio.create_task(kill_for_ever(desk.town))
    await desk.invoice_is_settled()
    page = await desk.http.get("/status")
    assert "Not everything works now" in page.text
    assert all(one["works"] for one in (await desk.status())["payments_in"])
    killing.cancel()

    for stage in ("allowlisted", "limited", "normal"):
        await desk.step(stage)
    events = (await desk.http.get("/v1/events")).json()["items"]
    told = [(one["type"], one["data"]["stage"]) for one in events if one["type"].startswith("payouts.")]
    assert told == [
        ("payouts.frozen", "frozen"), ("payouts.restored", "allowlisted"), ("payouts.restored", "limited"),
        ("payouts.restored", "normal"),
    ]  # fmt: skip
    done = await desk.type("restore", "--watchtower", desk.tower, "--config", desk.config)
    assert "Nothing is frozen" in done.out
