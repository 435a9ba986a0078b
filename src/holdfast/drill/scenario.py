"""What a scenario is, how scenarios are found, and what each one's loss is measured against."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType

from holdfast.core.errors import NotFound
from holdfast.core.money import parse_units
from holdfast.drill import scenarios
from holdfast.drill.attacker import Attacker
from holdfast.drill.bounds import Bound
from holdfast.drill.measure import DECIMALS, SYMBOLS
from holdfast.drill.places import TrustZone
from holdfast.drill.world import World
from holdfast.faces.cli.policy import loss_bound
from holdfast.policy.document import read_policy
from holdfast.runtime.config import load

BOUND_SECONDS = 60
"""The time that the bound is computed for: no drill takes longer."""


class ScenarioUnknown(NotFound):
    """There is no drill of that name. `holdfast drill --list` names them all."""

    code = "drill-unknown"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One drill."""

    name: str
    title: str
    owns: tuple[TrustZone, ...]
    bound: Bound
    play: Callable[[World, Attacker], Awaitable[None]]
    is_frozen: bool = False
    fees_are_loss: bool = False
    falls_on_merchant: bool = False
    is_quick: bool = False


def all_scenarios() -> list[Scenario]:
    """Every scenario, by name."""
    names = [one.name for one in pkgutil.iter_modules(scenarios.__path__)]
    found = [_scenario(importlib.import_module(f"{scenarios.__name__}.{name}")) for name in names]
    return sorted(found, key=lambda one: one.name)


def scenario(name: str) -> Scenario:
    """The scenario of that name. Raises `ScenarioUnknown`."""
    for one in all_scenarios():
        if one.name == name:
            return one
    raise ScenarioUnknown(name)


def _scenario(module: ModuleType) -> Scenario:
    return Scenario(
        name=module.NAME,
        title=module.TITLE,
        owns=tuple(module.OWNS),
        bound=module.BOUND,
        play=module.play,
        is_frozen=getattr(module, "FROZEN", False),
        fees_are_loss=getattr(module, "FEES_ARE_LOSS", False),
        falls_on_merchant=getattr(module, "FALLS_ON", "company") == "merchant",
        is_quick=getattr(module, "QUICK", False),
    )


async def predicted(world: World, bound: Bound) -> dict[str, int]:
    """The bound in smallest units by symbol, as `holdfast policy explain` prints it for this platform now."""
    if bound is Bound.NOTHING:
        return dict.fromkeys(SYMBOLS, 0)
    if bound is Bound.MERCHANT_LIMIT:
        policy = read_policy((world.places.officers / "policy.toml").read_bytes())
        return {
            symbol: policy.assets[world.facts.assets[symbol]].merchant.bound_units(BOUND_SECONDS) for symbol in SYMBOLS
        }
    if bound is Bound.FEES:
        policy = read_policy((world.places.officers / "policy.toml").read_bytes())
        fees = {f"{name}/slip44:1": one.fees.bound_units(BOUND_SECONDS) for name, one in policy.networks.items()}
        return {symbol: fees.get(world.facts.assets[symbol], 0) for symbol in SYMBOLS}
    assets = (await loss_bound(load(world.places.config), BOUND_SECONDS))["assets"]
    assert isinstance(assets, dict)  # noqa: S101  as it is made
    name = "signer_owned" if bound is Bound.SIGNER_OWNED else "signer_honest"
    return {symbol: parse_units(assets[symbol][name], DECIMALS[symbol]) for symbol in SYMBOLS}
