"""Asks the watchtower how things stand: one line there, one back. It needs no key, and keeps nothing."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from holdfast.core.errors import BadInput, Unavailable
from holdfast.core.tower_status import STATUS_REQUEST, TowerStatus

ANSWER_BYTES_MAX = 4_000_000
SECONDS_MAX = 5


class WatchtowerSilent(Unavailable):
    """The watchtower does not say how things stand. Payouts wait while it is down; start it, or check the address."""

    code = "watchtower-silent"


class WatchtowerAddressWrong(BadInput):
    """The watchtower's address is no HOST:PORT. Correct it in the settings or on the command line."""

    code = "watchtower-address-wrong"


def place_of(address: str) -> tuple[str, int]:
    """Host and port of `HOST:PORT`. Raises `WatchtowerAddressWrong`."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65_535:
        raise WatchtowerAddressWrong(address[:80])
    return host, int(port)


async def ask_status(address: str, seconds_max: int = SECONDS_MAX) -> TowerStatus:
    """How things stand, as the watchtower at `HOST:PORT` says. Raises `WatchtowerSilent`, `WatchtowerAddressWrong`."""
    host, port = place_of(address)
    try:
        async with asyncio.timeout(seconds_max):
            reader, writer = await asyncio.open_connection(host, port, limit=ANSWER_BYTES_MAX)
            try:
                writer.write(STATUS_REQUEST)
                await writer.drain()
                line = await reader.readuntil(b"\n")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        return msgspec.json.decode(line, type=TowerStatus)
    except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError, msgspec.DecodeError) as error:
        raise WatchtowerSilent(f"{address}: {type(error).__name__} {error}"[:200]) from None
