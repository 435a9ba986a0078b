"""How many invoices a second are made over HTTP, deposit address and durable commit included, and what bounds it."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from holdfast.core.descriptors import VaultDescriptor
from holdfast.core.networks import BitcoinNetwork, known_network
from holdfast.faces.bench.front import ASSET, NETWORK, Front, free_port, fresh_descriptor, front, running
from holdfast.faces.bench.load import measure, request

CONNECTIONS = 64
WARM_SECONDS = 2.0


async def run(directory: Path, seconds: float) -> dict[str, object]:
    """Invoices made per second by 64 callers, each waiting for each of his; and the bare parts beside it."""
    figures: dict[str, object] = {"callers": CONNECTIONS}
    for workers, name in ((1, "one_worker"), (2, "two_workers")):
        place = directory / name
        place.mkdir(parents=True)
        async with front(place, workers) as there:
            await _measure(there, WARM_SECONDS)
            figures[name] = await _measure(there, seconds)
            if workers == 1:
                figures["one_worker_bare_insert_limit"] = await _bare(there, seconds)
    figures["derivations_per_second_limit"] = await asyncio.to_thread(derivations, seconds / 4)
    return figures


async def _measure(there: Front, seconds: float) -> dict[str, object]:
    answers = await asyncio.to_thread(
        measure, there.port, lambda number: _orders(there.key, number), connections=CONNECTIONS, seconds=seconds
    )
    return answers.figures()


def _orders(key: str, number: int) -> Iterator[bytes]:
    """Requests for invoices with an asset preselected, each with a key of its own."""
    run_id = secrets.token_hex(6)
    body = msgspec.json.encode({"price": {"amount": "12.50", "currency": "EUR"}, "asset": ASSET})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    count = 0
    while True:
        yield request("POST", "/v1/invoices", {**headers, "Idempotency-Key": f"{run_id}-{number}-{count}"}, body)
        count += 1


async def _bare(there: Front, seconds: float) -> dict[str, object]:
    """The same callers against a handler that does one durable insert and nothing else."""
    port = free_port()
    argv = [sys.executable, "-m", "holdfast.faces.bench.bare_server", str(port), there.database.owner_url]
    plain = request("POST", "/", {"Content-Type": "application/json"}, b"{}")
    async with running(argv, port):
        answers = await asyncio.to_thread(
            measure, port, lambda _: iter(lambda: plain, None), connections=CONNECTIONS, seconds=seconds
        )
    return answers.figures()


def derivations(seconds: float) -> int:
    """Addresses of a 2-of-3 vault that one core derives a second."""
    network = known_network(NETWORK)
    assert isinstance(network, BitcoinNetwork)  # noqa: S101  a constant of ours
    descriptor = VaultDescriptor.parse(fresh_descriptor())
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        descriptor.address(count, network)
        count += 1
    return round(count / (time.perf_counter() - started))
