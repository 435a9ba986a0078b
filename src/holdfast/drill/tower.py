"""What the watchtower tells the drill: asked as anybody may ask it, over its own port."""

from __future__ import annotations

import socket

import msgspec

from holdfast.core.tower_status import STATUS_REQUEST, TowerStatus

ANSWER_BYTES_MAX = 4_000_000
SECONDS_MAX = 2


def status(port: int) -> TowerStatus | None:
    """Its status now; None where it does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS_MAX) as connection:
            connection.sendall(STATUS_REQUEST)
            line = connection.makefile("rb").readline(ANSWER_BYTES_MAX)
        return msgspec.json.decode(line, type=TowerStatus)
    except (OSError, msgspec.DecodeError):
        return None
