"""The attacker as the drill's process sees him: it starts his code as the owned zone's user, and waits for it."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from holdfast.core.errors import Unavailable
from holdfast.drill.hands import Hand
from holdfast.drill.places import TrustZone, as_zone
from holdfast.drill.world import World

Attack = Callable[[Hand], Awaitable[object]]
SECONDS_MAX = 50


class AttackBroken(Unavailable):
    """The attacker's own code failed, so nothing was shown. Mend the scenario; his last words are in the detail."""

    code = "drill-attack-broken"
    retry = False


@dataclass(frozen=True, slots=True)
class Attacker:
    """Who owns what."""

    world: World
    owns: tuple[TrustZone, ...]

    async def run(self, attack: Attack, *, zone: TrustZone | None = None, **facts: object) -> Any:
        """Run a scenario's function as an owned zone's user (the first of them); what it returned.

        Raises `AttackBroken`.
        """
        where = zone or self.owns[0]
        assert where in self.owns, f"{where} is not his"  # noqa: S101  a scenario's own mistake
        world = self.world
        home = world.places.merchant("mallory") if where is TrustZone.MERCHANT else world.places.of(where)
        told = {"zone": where.value, "home": str(home), "seed": world.seed, "facts": facts}
        module, name = attack.__module__, getattr(attack, "__name__", "")
        world.event("attacker", f"{name.replace('_', ' ')}, as {where.value}")
        argv = (*as_zone(where), sys.executable, "-m", "holdfast.drill.hands", module, name)
        process = await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd="/")
        try:
            async with asyncio.timeout(SECONDS_MAX):
                out, said = await process.communicate(json.dumps(told).encode())
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AttackBroken(f"{name}: not done after {SECONDS_MAX} s") from None
        if process.returncode != 0:
            raise AttackBroken(f"{name}: {said.decode(errors='replace').strip()[-1500:]}")
        return json.loads(out)
