"""Following stolen money, measured: how fast the bulk engine is, and what is found of a theft whose truth is known."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from holdfast.core.errors import Unavailable
from holdfast.faces.bench import trace_checks, trace_replay, trace_speed

QUICK_ROWS, QUICK_NOISE = 1_000_000, 100_000
_HEIST = ("heists", "atomic-wallet-2023")
_POISONED = ("bybit-poisoning", "hop2.csv")


class ReplayFailed(Unavailable):
    """The replay of a theft ended without figures. Read what it wrote to standard error."""

    code = "bench-replay-failed"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be measured."""

    rows: tuple[int, ...] = (QUICK_ROWS,)
    """Transfers that the bulk engine passes over."""
    noise_rows: int = QUICK_NOISE
    data: Path | None = None
    """Folder of public data on thefts and labels; without it only what needs none is measured."""
    heist: Path | None = None
    """True edges, a CSV or a folder; else the one in `data`."""
    seed: int = trace_replay.SEED


async def run(directory: Path, seconds: float, wish: Wish = Wish()) -> dict[str, object]:
    """The figures. `seconds` bounds nothing here: each task is done once, whole. Raises `ReplayFailed`."""
    found: dict[str, object] = {"speed": await trace_speed.speed(directory, wish.rows)}
    heist = wish.heist or _part(wish.data, *_HEIST)
    if heist is None:
        found["replay_left_out"] = "no true edges of a theft: name them with --heist, or their folder with --data"
    else:
        found["replay"] = await _replayed(heist, wish, directory)
    hop = _part(wish.data, *_POISONED)
    if hop is not None:
        found["poison"] = await trace_checks.poison(hop)
    found["links"] = await asyncio.to_thread(trace_checks.links)
    found["admission"] = trace_checks.admission()
    return found


async def _replayed(heist: Path, wish: Wish, directory: Path) -> dict[str, object]:
    feeds = trace_replay.feeds_in(wish.data) if wish.data is not None else ()
    asked = trace_replay.Replay(str(heist), wish.noise_rows, feeds, wish.seed)
    command = (sys.executable, "-m", trace_replay.__name__, msgspec.json.encode(asked).decode(), str(directory))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    if process.returncode:
        raise ReplayFailed(f"status {process.returncode}")
    figures: dict[str, object] = msgspec.json.decode(out)
    return figures


def _part(data: Path | None, *names: str) -> Path | None:
    path = data.joinpath(*names) if data is not None else None
    return path if path is not None and path.exists() else None
