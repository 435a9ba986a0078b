"""How fast the bulk engine is, from what is stored to the answer, beside other engines in the same run."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from holdfast.faces.bench import trace_chain

ENGINE = ("fifo", "haircut", "clusters", "index", "reach")
PEERS_MOST = 10_000_000
"""Others are not measured beyond: they take minutes or more memory than there is."""
PEERS = (
    "python_fifo", "python_haircut", "networkx_clusters", "networkx_reach", "rustworkx_clusters", "rustworkx_reach",
    "duckdb_clusters", "duckdb_reach",
)  # fmt: skip
SECONDS_MOST = 170.0
"""A task that takes longer is stopped, and said to be stopped."""
GOALS = {"fifo": 15, "haircut": 6, "clusters": 12, "reach": 2}
"""Seconds for a hundred million transfers."""
GOAL_ROWS = 100_000_000
GOAL_FIFO_BYTES = 6_000_000_000


async def speed(directory: Path, sizes: Sequence[int]) -> dict[str, object]:
    """By size and task: seconds on the clock and on the processor, peak memory, and the answer, by which they agree.

    Each in a process of its own that has its code compiled already. FIFO and haircut include reading all columns from
    Parquet; clusters both ends of each; `reach` maps the look-up that `index` builds once.
    """
    found: dict[str, object] = {"goals_seconds": dict(GOALS), "goal_rows": GOAL_ROWS}
    found["load_average"] = [round(each, 1) for each in os.getloadavg()]
    for rows in sizes:
        chain = directory / f"chain-{rows}"
        stored = trace_chain.made(chain, rows)
        tasks = [*ENGINE, *(PEERS if rows <= PEERS_MOST else ())]
        figures: dict[str, object] = {}
        for task in tasks:
            figures[task] = await measured(task, chain)
        found[f"{rows:,}".replace(",", "_")] = {"stored_bytes": sum(p.stat().st_size for p in stored.files), **figures}
        for path in chain.iterdir():
            path.unlink()
    return found


async def measured(task: str, chain: Path) -> dict[str, object]:
    """One task, in a process of its own."""
    command = (sys.executable, "-m", "holdfast.faces.bench.trace_task", task, str(chain))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        out, _ = await asyncio.wait_for(process.communicate(), SECONDS_MOST)
    except TimeoutError:
        process.kill()
        await process.wait()
        return {"stopped_after_seconds": SECONDS_MOST}
    if process.returncode:
        return {"failed_with_status": process.returncode}
    figures: dict[str, object] = msgspec.json.decode(out)
    return figures
