"""The drills' process: `python -m holdfast.drill.main NAME… | --all`. `holdfast drill` becomes it."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import traceback
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from pathlib import Path

from holdfast.core.errors import HoldfastError
from holdfast.drill import report
from holdfast.drill.faults import fault
from holdfast.drill.playing import Options, Verdict, play
from holdfast.drill.scenario import Scenario, all_scenarios, scenario
from holdfast.drill.template import FACTS_FILE, made, make
from holdfast.drill.world import Event
from holdfast.faces.cli.terminal import Exit, emit, report as report_error, say

SEED = 20_230_722


def main(words: Sequence[str] | None = None) -> int:
    """Play; the exit code: 1 where any loss was above its bound, or something required was not so."""
    options = _parser().parse_args(words)
    try:
        chosen = all_scenarios() if options.all or options.list or options.quick else []
        chosen = [one for one in chosen if one.is_quick or not options.quick]
        chosen += [scenario(name) for name in options.names]
        if options.list or not chosen:
            emit([one.name for one in chosen], "\n".join(f"{one.name:22} {one.title}" for one in chosen),
                 as_json=options.json)  # fmt: skip
            return Exit.DONE if chosen else Exit.USAGE
        with tempfile.TemporaryDirectory(prefix="hf-") as temporary:
            work = Path(temporary)
            work.chmod(0o711)  # every zone's user must pass
            if options.out is not None:
                options.out.mkdir(parents=True, exist_ok=True)
            return asyncio.run(_until_told(_run(chosen, options, work)))
    except HoldfastError as error:
        return report_error(error, as_json=options.json)


async def _until_told(work: Coroutine[None, None, int]) -> int:
    """Do it; told to end, leave nothing running behind."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return Exit.INTERRUPTED


async def _run(chosen: Sequence[Scenario], options: argparse.Namespace, work: Path) -> int:
    say("drill: making the platform that every drill begins with")
    place = options.template or work / "template"
    template = made(place) if (place / FACTS_FILE).exists() else await make(place)
    broken = fault(options.fault) if options.fault is not None else None
    verdicts: list[Verdict] = []
    for one in chosen:
        say(f"drill: {one.name}: {one.title}")
        try:
            tell = _tell if options.verbose else _silent
            chosen_options = Options(
                out=options.out or work, seed=options.seed, keep=options.keep, fault=broken, tell=tell
            )
            verdict = await play(one, template, chosen_options)
        except HoldfastError as error:
            say(f"drill: {one.name}: nothing was shown: {error}")
            say("".join(traceback.format_exception(error)[-3:]))
            continue
        verdicts.append(verdict)
        say(f"drill: {one.name}: {'held' if verdict.is_held else 'NOT HELD'} after {verdict.seconds} s")
    return _shown(verdicts, len(chosen) - len(verdicts), options)


def _tell(event: Event) -> None:
    at = datetime.fromtimestamp(event.at_ms / 1000, UTC)
    say(f"  {at:%H:%M:%S} {event.who[:12]:12} {event.what[:200]}")


def _silent(_: Event) -> None:
    """Only the report is wanted."""


def _shown(verdicts: Sequence[Verdict], broken: int, options: argparse.Namespace) -> int:
    """The report in every form that was asked for; the exit code."""
    if options.html is not None:
        options.html.write_text(report.page(verdicts), encoding="utf-8")
    told = report.facts(verdicts) | {"broken": broken}
    emit(told if options.json else None, json.dumps(told) if options.json else report.table(verdicts), as_json=False)
    return Exit.DONE if verdicts and told["held"] and not broken else Exit.FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="holdfast drill", description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--html", type=Path)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--fault")
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--template", type=Path)
    return parser


if __name__ == "__main__":
    sys.exit(main())
