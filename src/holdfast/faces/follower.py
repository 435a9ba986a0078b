"""The follower's process with screening: payments does not know labels, so what joins both is here.

python -m holdfast.faces.follower follower --config holdfast.toml
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from holdfast.payments import main as payments_main
from holdfast.payments.steps import Screen, hold_nothing
from holdfast.runtime.clock import Clock
from holdfast.runtime.settings import Settings


@asynccontextmanager
async def open_screen(settings: Settings, clock: Clock) -> AsyncIterator[Screen]:
    """What deposits are held against, as the settings have it. Raises `ScreeningMisconfigured`."""
    if not settings.screening.check_deposits:
        yield hold_nothing
        return
    from holdfast.faces.screening import open_screening  # only who screens loads it

    screening = open_screening(settings, clock)
    try:
        yield screening.deposit
    finally:
        if screening.close is not None:
            await screening.close()


if __name__ == "__main__":
    sys.exit(payments_main.main(open_screen))
