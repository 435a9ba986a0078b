"""A zone in a build from which one guard is missing: `python weakened_zone.py GUARD MODULE ARGUMENT…`.

Everything else is the real thing. A drill against such a build must show the loss, or it shows nothing at all.
"""

import runpy
import sys
from collections.abc import Callable
from typing import Any


def without_merchants_signature() -> None:
    """Whoever asks is believed: as where the system that asks is the system that is allowed to ask."""
    from holdfast.policy import decide

    vars(decide)["_signer"] = lambda person, _intent, _document: person.newest.key


def without_memory_of_payouts() -> None:
    """What was paid may be paid again."""
    from holdfast.policy import decide
    from holdfast.policy.record import Record

    def never(*_: Any) -> bool:
        return False

    vars(decide)["_is_number_used"] = never
    Record.is_known = never  # type: ignore[method-assign]  that is what is taken away


def without_eyes() -> None:
    """Nobody looks at what leaves the float."""
    from holdfast.signer import loop

    async def blind(*_: Any) -> None:
        return None

    vars(loop)["watch_float"] = blind


GUARDS: dict[str, Callable[[], None]] = {
    "merchants-signature": without_merchants_signature,
    "memory-of-payouts": without_memory_of_payouts,
    "eyes": without_eyes,
}


if __name__ == "__main__":
    guard, module, *words = sys.argv[1:]
    GUARDS[guard]()
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__")
