"""What sources may use beside what they read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from holdfast.trace.evidence import Keep
from holdfast.trace.reading import Transfers


@dataclass(frozen=True, slots=True)
class Beside:
    """A case's own parts, lent to a source."""

    evidence: Keep | None = None
    """Where raw answers go; None: nowhere."""
    known: Transfers | None = None
    """What is stored already: outputs that earlier runs have read."""
    clock: Callable[[], int] = lambda: 0
    """Seconds since 1970, for the manifest."""


ALONE = Beside()
"""Nothing kept, nothing known."""
