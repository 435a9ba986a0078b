"""Liveness, readiness and figures over a real socket."""

import asyncio
from http import HTTPStatus

import httpx
import pytest

from holdfast.core.errors import Unavailable
from holdfast.runtime import health, metrics
from holdfast.runtime.health import Health, health_server, listening


class NodeAway(Unavailable):
    """The node is away. Start it."""

    code = "node-away"


async def fetch(port: int, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.request(method, f"http://127.0.0.1:{port}{path}")


async def well() -> None:
    pass


async def unwell() -> None:
    raise NodeAway("litecoin")


async def test_a_process_is_ready_when_every_check_passes() -> None:
    async with listening(Health("follower", {"database": well}), 0) as port:
        answer = await fetch(port, "/ready")
        assert (answer.status_code, answer.json()["ready"]) == (HTTPStatus.OK, True)


async def test_a_failing_check_is_named_with_its_remedy_while_the_process_stays_alive() -> None:
    async with listening(Health("follower", {"database": well, "node": unwell}), 0) as port:
        ready, alive = await asyncio.gather(fetch(port, "/ready"), fetch(port, "/health"))
    assert ready.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    trouble = {"check": "node", "code": "node-away", "detail": "litecoin", "remedy": "Start it."}
    assert ready.json()["troubles"] == [trouble]
    assert alive.status_code == HTTPStatus.OK


async def test_a_check_that_hangs_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "CHECK_SECONDS_MAX", 0.05)
    found = await Health("api", {"node": asyncio.Event().wait}).troubles()
    assert [trouble.code for trouble in found] == ["check-timed-out"]


async def test_figures_are_published() -> None:
    metrics.set_trouble("litecoin", "nodes-disagree")
    metrics.set_trouble("litecoin", "node-unreachable")
    async with listening(Health("follower"), 0) as port:
        page = (await fetch(port, "/metrics")).text
        assert 'holdfast_network_trouble{code="node-unreachable",network="litecoin"} 1.0' in page
        assert 'code="nodes-disagree",network="litecoin"}' not in page
        metrics.set_trouble("litecoin", None)
        assert 'network="litecoin"' not in (await fetch(port, "/metrics")).text


async def test_other_paths_and_methods_are_refused() -> None:
    async with listening(Health("follower"), 0) as port:
        assert (await fetch(port, "/")).status_code == HTTPStatus.NOT_FOUND
        assert (await fetch(port, "/health", "POST")).status_code == HTTPStatus.METHOD_NOT_ALLOWED
        assert (await fetch(port, "/health", "HEAD")).content == b""


async def test_garbage_and_oversize_requests_close_the_connection_and_nothing_else() -> None:
    async with listening(Health("follower"), 0) as port:
        for garbage in (b"\x00" * 100 + b"\r\n\r\n", b"G" * 100_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(garbage)
            writer.write_eof()
            await reader.read()
            writer.close()
        assert (await fetch(port, "/health")).status_code == HTTPStatus.OK


async def test_port_zero_means_not_to_listen() -> None:
    async with health_server(Health("courier"), 0) as port:
        assert port == 0
