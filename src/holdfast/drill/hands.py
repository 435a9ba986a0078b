"""What an attacker has in his hands: `python -m holdfast.drill.hands MODULE FUNCTION`, run as the owned zone's user.

It reads what the scenario tells him as JSON from standard input and prints what the attack returned as JSON. It has the
zone's real files and nothing else: where zones have users of their own, the system sees to that.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random  # noqa: TID251  seeded: a drill must be repeatable
from typing import Any

from holdfast.drill.places import TrustZone
from holdfast.drill.waiting import connection


@dataclass(frozen=True, slots=True)
class Hand:
    """The attacker inside of one zone."""

    zone: TrustZone
    home: Path
    """The zone's directory: its keys, its settings, its data."""
    seed: int
    facts: dict[str, Any]
    """What the scenario told him."""

    @property
    def draw(self) -> Random:
        """The same dice for the same seed, from the beginning."""
        return Random(self.seed)  # noqa: S311  an attack must be repeatable

    def text(self, name: str) -> str:
        """A fact that is a text."""
        return str(self.facts[name])

    async def database(self) -> Any:
        """The platform's database as its superuser, each statement at once in effect.

        One that is dead just then is waited for. Raises `DrillStuck`.
        """
        from holdfast.runtime.embedded_database import SUPERUSER, EmbeddedDatabase

        return await connection(EmbeddedDatabase(self.home / "data" / "database").url_of(SUPERUSER))


def main() -> int:
    """Run the attack; the exit code."""
    told = json.load(sys.stdin)
    attack = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])
    hand = Hand(TrustZone(told["zone"]), Path(told["home"]), told["seed"], told["facts"])
    json.dump(asyncio.run(attack(hand)), sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
