"""One drill from beginning to end: bound, balances, attack, adversary, balances, verdict."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
from httpx import HTTPError

from holdfast.core.errors import HoldfastError
from holdfast.core.money import format_units
from holdfast.drill import measure
from holdfast.drill.adversary import pester
from holdfast.drill.attacker import Attacker
from holdfast.drill.faults import Fault, breaking
from holdfast.drill.measure import DECIMALS, SYMBOLS, Losses
from holdfast.drill.opening import CommandOf, default_command, opened
from holdfast.drill.payers import Payers, paying
from holdfast.drill.restoring import restore
from holdfast.drill.scenario import Scenario, predicted
from holdfast.drill.template import Template
from holdfast.drill.world import Event, World, now_ms

FIAT = "EUR"
ADVERSARY_SECONDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How drills are played."""

    out: Path
    """Where worlds and reports go."""
    seed: int
    keep: bool = False
    """Keep each world's directory, with its logs."""
    command_of: CommandOf = default_command
    fault: Fault | None = None
    tell: Callable[[Event], None] = lambda _: None
    """Hears every line of the timeline as it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a drill has shown. Units are smallest ones by symbol; fiat is hundredths of a euro."""

    name: str
    title: str
    owns: tuple[str, ...]
    seed: int
    bound_key: str
    bound: dict[str, int]
    losses: Losses
    seconds_to_freeze: float | None
    """From the first malicious transaction that a node saw; None: there was none, or nothing froze."""
    invoices_accepted_during: int
    invoices_refused_during: int
    restored_seconds: float | None
    """From the freeze until everything was normal again; None: nothing froze, or it was not restored."""
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def is_held(self) -> bool:
        """Whether the promise held."""
        return not self.failures

    def facts(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "name": self.name, "title": self.title, "owns": list(self.owns), "currency": FIAT,
            "merchant_loss": _fiat(self.losses.merchants), "company_loss": _fiat(self.losses.company),
            "redirected_inflow": _fiat(self.losses.redirected), "bound": _fiat(self.bound),
            "bound_key": self.bound_key, "seconds_to_freeze": self.seconds_to_freeze,
            "invoices_accepted_during": self.invoices_accepted_during,
            "invoices_refused_during": self.invoices_refused_during, "restored": self.restored_seconds,
            "held": self.is_held, "seed": self.seed, "seconds": self.seconds, "notes": self.notes,
            "failures": self.failures,
            "assets": {
                symbol: {
                    "merchant_loss": _whole(symbol, self.losses.merchants),
                    "company_loss": _whole(symbol, self.losses.company),
                    "redirected_inflow": _whole(symbol, self.losses.redirected),
                    "bound": _whole(symbol, self.bound),
                }
                for symbol in SYMBOLS
            },
        }  # fmt: skip


async def play(one: Scenario, template: Template, options: Options) -> Verdict:
    """Play one scenario on a fresh copy of the platform.

    Raises `DrillStuck`, `AttackBroken` and what nodes and zones raise: then nothing was shown.
    """
    started, root = now_ms(), options.out / one.name
    shutil.rmtree(root, ignore_errors=True)
    fault = options.fault if options.fault is None or not options.fault.not_run else None
    async with opened(template, root, seed=options.seed, command_of=options.command_of, fault=fault) as world:
        world.tell = options.tell
        if options.fault is not None and fault is None:
            world.note(f"NOT RUN: fault {options.fault.name}: {options.fault.not_run}")
        bound = await predicted(world, one.bound)
        _write_bound(options.out / f"{one.name}.bound.json", one, bound)
        world.event("drill", f"the bound is written down: {one.bound}, {_fiat(bound)} {FIAT}")
        verdict = await _attacked(one, world, bound, fault)
    if not options.keep:
        await asyncio.to_thread(shutil.rmtree, root, ignore_errors=True)
    return replace(verdict, seconds=round((now_ms() - started) / 1000, 1))


async def _attacked(one: Scenario, world: World, bound: dict[str, int], fault: Fault | None) -> Verdict:
    async with world.blocks:  # no block in between, and nobody has paid yet
        before = await measure.stand(world.outside, world.purses)
    async with paying(world) as payers:
        attacker = Attacker(world, one.owns)
        began = now_ms()
        try:
            async with breaking(world, fault):
                await one.play(world, attacker)
                await pester(world, attacker, ADVERSARY_SECONDS)
            if fault is not None:
                await _goes_on(world, payers)
        except HoldfastError as error:
            world.failures.append(f"the drill did not go to its end: {error}")
        world.event("drill", "the attack is over")
    await world.settle()
    async with world.blocks:
        losses = await measure.losses(
            world.outside, world.purses, before, world.flows, fees_are_loss=one.fees_are_loss
        )  # fmt: skip
    if one.falls_on_merchant:
        both = {symbol: losses.merchants[symbol] + losses.company[symbol] for symbol in SYMBOLS}
        losses = Losses(both, dict.fromkeys(SYMBOLS, 0), losses.redirected, losses.stolen)
    world.event("drill", "losses are measured")
    restored = await _restored(world)
    accepted = await payers.accepted()
    world.event("drill", f"{accepted} invoices were accepted")
    _judge(one, world, losses, bound)
    if accepted == 0:
        world.failures.append("no invoice was accepted meanwhile")
    return Verdict(
        name=one.name, title=one.title, owns=tuple(zone.value for zone in one.owns), seed=world.seed,
        bound_key=one.bound.value, bound=bound, losses=losses,
        seconds_to_freeze=_seconds_to_freeze(world, losses, began), invoices_accepted_during=accepted,
        invoices_refused_during=payers.refused, restored_seconds=restored, notes=world.notes,
        failures=world.failures, events=world.events,
    )  # fmt: skip


async def _goes_on(world: World, payers: Payers) -> None:
    """After a fault: an invoice made now is paid and accepted. Fails the drill otherwise."""
    paid = len(payers.paid)

    async def is_one_more() -> bool:
        return len(payers.paid) > paid and await payers.is_accepted(payers.paid[-1])

    await world.until(is_one_more, "an invoice that was made after the fault was mended is accepted")


async def _restored(world: World) -> float | None:
    """Everything back to normal, and how long that took from the freeze; a failure where it does not come back."""
    try:
        return await restore(world)
    except (HoldfastError, HTTPError) as error:
        world.failures.append(f"it was not restored: {error}")
        return None


def _judge(one: Scenario, world: World, losses: Losses, bound: Mapping[str, int]) -> None:
    """Every loss against its bound."""
    for symbol in SYMBOLS:
        most = bound[symbol] if one.falls_on_merchant else 0
        if losses.merchants[symbol] > most:
            world.failures.append(f"merchants lost {_whole(symbol, losses.merchants)} {symbol}")
        if losses.company[symbol] > bound[symbol]:
            lost = _whole(symbol, losses.company)
            world.failures.append(f"the company lost {lost} {symbol}, above {_whole(symbol, bound)}")
    if one.is_frozen and not world.stops:
        world.failures.append("nothing froze")


def _seconds_to_freeze(world: World, losses: Losses, began: int) -> float | None:
    first = min((world.seen[one] for one in losses.stolen if one in world.seen), default=None)
    stops = [stop.received_ms for stop in world.stops if stop.received_ms >= began]
    return None if first is None or not stops else round(max(0, min(stops) - first) / 1000, 3)


def _write_bound(path: Path, one: Scenario, bound: Mapping[str, int]) -> None:
    said = {symbol: _whole(symbol, bound) for symbol in SYMBOLS}
    facts = {"name": one.name, "bound": one.bound.value, "at_ms": now_ms(), "assets": said, FIAT: _fiat(bound)}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(facts)) + b"\n")


def _whole(symbol: str, units: Mapping[str, int]) -> str:
    return format_units(units[symbol], DECIMALS[symbol])


def _fiat(units: Mapping[str, int]) -> str:
    return format_units(measure.fiat(units), 2)
