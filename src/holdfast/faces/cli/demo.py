"""`holdfast demo`: the whole job on real nodes and real processes, from an empty directory to signed webhooks.

It uses the same commands and the same SDK as anybody else. Nothing in it is prepared, and nothing is pretended.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import HoldfastError
from holdfast.faces.cli.terminal import Exit, emit, progress, say

if TYPE_CHECKING:
    from holdfast.faces.cli.demo_story import Outcome

STEPS = 14
DRILLS = ("followed-theft", "coinspaid-2023")
REPORT = "followed-theft.report"


def demo(
    *,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep the set-up there, to go on with `localnet` and `serve`.")
    ] = None,
    report: Annotated[Path, typer.Option(metavar="DIR", help="Leave the report of the staged theft there.")] = Path(
        "demo-report"
    ),
) -> None:
    """Take real payments on real nodes, from invoice to signed webhook; the last line is a JSON object.

    Starts litecoind (regtest), anvil, PostgreSQL and all zones of Holdfast, enrols a merchant, and lets payers pay.
    It ends with two attacks on such a platform. In the drill `followed-theft` the float is stolen, followed over both
    networks and written up for the police; in `coinspaid-2023` its night of 2023 is played.

    Example: `holdfast demo`
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as temporary:
        directory = Path(temporary) / "shop"
        outcome = asyncio.run(_play(directory))
        if keep is not None:
            shutil.copytree(directory, keep, ignore=shutil.ignore_patterns("lock", "socket"))
            say(f"kept in {keep}: holdfast localnet --dir {keep}, holdfast serve --config {keep}/holdfast.toml")
    say("demo: and now the platform is attacked: its float is stolen, and then as CoinsPaid was on 22 July 2023")
    shown = asyncio.run(_attacked(report))
    facts = {
        **outcome.facts(), "drills": shown, "report": str(report / "report.pdf"),
        "seconds": round(time.monotonic() - started, 1),
    }  # fmt: skip
    emit(None, json.dumps(facts), as_json=False)
    if not outcome.is_whole or len(shown) != len(DRILLS) or not all(one["held"] for one in shown):
        raise typer.Exit(Exit.FAILED)


async def _play(directory: Path) -> Outcome:
    from holdfast.chains.localnet import anvil, free_ports, litecoin_regtest
    from holdfast.faces.cli.demo_story import Scene, play
    from holdfast.faces.cli.local_setup import read_localnet
    from holdfast.faces.cli.localnet import prepare
    from holdfast.faces.cli.policy import loss_bound
    from holdfast.runtime.config import load

    with progress("demo") as advance:
        advance("writing a set-up: officers, vault, keys, database", 0, STEPS)
        port = free_ports(7)
        await command("init", "--local", str(directory), "--port", str(port))
        plan = read_localnet(directory)
        advance("starting litecoind and anvil", 1, STEPS)
        data = directory / "localnet"
        async with (
            litecoin_regtest(data / "litecoin", plan.litecoin_port) as litecoin,
            anvil(data / "anvil", plan.anvil_port) as evm,
        ):
            advance("deploying the vault's contracts", 2, STEPS)
            await prepare(litecoin, evm, plan)
            advance("starting Holdfast", 3, STEPS)
            async with serving(directory, port):
                advance("enrolling a merchant", 4, STEPS)
                enrolled = await command("merchant", "enrol", "shop", "--config", str(directory / "holdfast.toml"))
                scene = Scene(directory, f"http://127.0.0.1:{port}", litecoin, evm, plan, json.loads(enrolled))
                outcome = await play(scene, lambda what, step: advance(what, 5 + step, STEPS))
                outcome.loss_bound = await loss_bound(load(directory / "holdfast.toml"))
                return outcome


async def _attacked(report: Path) -> list[dict[str, object]]:
    """Drills on a platform of their own, told as they happen; what they have shown. The theft's report is kept."""
    with tempfile.TemporaryDirectory(prefix="holdfast-demo-") as temporary:
        Path(temporary).chmod(0o711)  # noqa: ASYNC240  a moment, so that every zone's user can pass
        argv = (sys.executable, "-m", "holdfast.drill.main", *DRILLS, "--json", "--verbose", "--out", temporary)
        process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE)
        out, _ = await process.communicate()
        made = Path(temporary) / REPORT
        if made.is_dir():
            shutil.copytree(made, report, dirs_exist_ok=True)
    drills = json.loads(out)["drills"] if out.strip().startswith(b"{") else []
    names = ("name", "held", "merchant_loss", "company_loss", "bound", "currency", "invoices_accepted_during")
    return [{name: one[name] for name in names} for one in drills]


async def command(*words: str) -> str:
    """Run one of our own commands to its end; what it printed."""
    argv = (sys.executable, "-m", "holdfast", *words, "--json")
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, stderr=PIPE)
    out, said = await process.communicate()
    if process.returncode != 0:
        say(said.decode(errors="replace"))
        raise typer.Exit(process.returncode or Exit.FAILED)
    return out.decode()


@asynccontextmanager
async def serving(directory: Path, port: int) -> AsyncIterator[None]:
    """All zones, as `holdfast serve` runs them; their log is shown if they do not come up."""
    import httpx

    log = directory / "serve.log"
    with log.open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "holdfast", "serve", "--config", str(directory / "holdfast.toml")),
            stdout=out,
            stderr=out,
        )
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(600):
                if process.returncode is not None:
                    break
                try:
                    if (await http.get(f"http://127.0.0.1:{port}/ready")).is_success:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        if process.returncode is not None:
            say(log.read_text(errors="replace")[-3000:])
            raise typer.Exit(Exit.FAILED)
        yield
    except HoldfastError:
        say(log.read_text(errors="replace")[-3000:])
        raise
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
