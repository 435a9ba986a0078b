"""When the last assessment was: a small file beside the configuration, with counts. No finding's text is in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from holdfast.faces.assess.severities import Finding, Severity

NAME = "assessment.json"


class LastTime(Struct, frozen=True):
    """What is kept."""

    made_at: datetime
    counts: dict[str, int]
    """Findings by severity."""


def read(directory: Path) -> LastTime | None:
    """The last one; None where there was none, or the file cannot be read (the next run writes it anew)."""
    try:
        return msgspec.json.decode((directory / NAME).read_bytes(), type=LastTime)
    except (OSError, msgspec.DecodeError):
        return None


def keep(directory: Path, at: datetime, findings: Sequence[Finding]) -> None:
    """Write it; a reader sees the old one or the new one."""
    counts = {severity.value: sum(one.severity is severity for one in findings) for severity in Severity}
    data = msgspec.json.format(msgspec.json.encode(LastTime(at.astimezone(UTC), counts))) + b"\n"
    fresh = directory / f".{NAME}.{os.getpid()}"
    fresh.write_bytes(data)
    fresh.replace(directory / NAME)
