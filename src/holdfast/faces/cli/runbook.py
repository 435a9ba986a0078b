"""The way back from a freeze as a plan: where each scope is, who must do what now, what is done, what is next. Pure.

It decides nothing: signer and watchtower refuse a step that is not due, whatever is written here.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct

from holdfast.core.orders import CHECKS, EVERYTHING, STEPS, Stage
from holdfast.core.tower_status import TowerStatus


class CheckState(StrEnum):
    """What is known of a check."""

    DONE = "done"
    """The program looked, and it is so."""
    OPEN = "open"
    """The program looked, and it is not."""
    PERSON = "person"
    """The program cannot look, or not alone: officers affirm it by signing."""


class Checked(Struct, frozen=True):
    """One check, looked at now."""

    name: str
    state: CheckState
    detail: str
    who: str
    """Who does it, where it is not done."""
    command: str = ""


class ScopePlan(Struct, frozen=True):
    """One scope's way back."""

    scope: str
    stage: Stage
    since: datetime
    why: list[str]
    next: Stage
    checks: list[Checked]
    """Those that the next step needs."""
    due_at: datetime | None
    """The stage lasts until then at the least; None: the next step is due."""
    commands: list[str]
    """What is typed now, in order."""
    is_ready: bool
    """Whether nothing that the program can see stands against the next step."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was read besides the watchtower's status."""

    officers: Sequence[str] = ()
    threshold: int = 0
    soak_seconds: int = 0
    stages: Mapping[str, tuple[Stage, int]] | None = None
    """By the journal: how far, and since when."""
    checks: Mapping[str, Checked] | None = None


WHO = {
    "journal-verified": ("staff", "holdfast restore --evidence FILE"),
    "reconciled": ("staff, then an officer at the checking machine", "holdfast vault check ASSET --evidence FILE"),
    "float-rotated": ("staff and officers", "holdfast rotate float NETWORK"),
    "credentials-rotated": ("staff", "holdfast keys list"),
    "dependencies-clean": ("staff", "holdfast assess"),
}
"""Who does each check, and by what."""


def plans(status: TowerStatus, known: Known, now: datetime) -> list[ScopePlan]:
    """The way back of every scope that is not normal, the widest first."""
    return [_plan(scope, Stage(stage), status, known, now) for scope, stage in sorted(status.stages.items())]


def _plan(scope: str, stage: Stage, status: TowerStatus, known: Known, now: datetime) -> ScopePlan:
    step = next(step for step, (before, _) in STEPS.items() if before is stage)
    stops = [one for one in status.stops if one.scope == scope and not one.ended]
    since = _since(scope, stage, [one.received_ms for one in stops], known, now)
    due = since.timestamp() + known.soak_seconds if stage is not Stage.FROZEN else 0
    due_at = datetime.fromtimestamp(due, UTC) if due > now.timestamp() else None
    checks = [_check(name, known) for name in CHECKS if name in STEPS[step][1]]
    is_ready = due_at is None and all(one.state is not CheckState.OPEN for one in checks)
    why = [f"{one.reason} (by {one.by[:16]})" for one in stops]
    commands = _commands(scope, step, known) if is_ready else [one.command for one in checks if _is_to_do(one)]
    return ScopePlan(scope, stage, since, why, step, checks, due_at, commands, is_ready)


def _since(scope: str, stage: Stage, stops: Sequence[int], known: Known, now: datetime) -> datetime:
    if stage is Stage.FROZEN and stops:
        return datetime.fromtimestamp(max(stops) // 1_000, UTC)
    journaled = (known.stages or {}).get(scope)
    return datetime.fromtimestamp(journaled[1], UTC) if journaled and journaled[0] is stage else now


def _check(name: str, known: Known) -> Checked:
    who, command = WHO[name]
    found = (known.checks or {}).get(name)
    return found or Checked(name, CheckState.PERSON, "not looked at here", who, command)


def _is_to_do(one: Checked) -> bool:
    return one.state is not CheckState.DONE and bool(one.command)


def _commands(scope: str, step: Stage, known: Known) -> list[str]:
    """Make the order, sign it one after the other, hand it in."""
    names = [name for name in CHECKS if name in STEPS[step][1]]
    checked = " ".join(f"--checked {name}" for name in names)
    file = f"{step.value}-{'everything' if scope == EVERYTHING else scope.replace(':', '-').replace('/', '-')}"
    lines = [f"holdfast vault order restore {step.value} {shlex.quote(scope)} {checked} --out {file}.json"]
    signed = f"{file}.json"
    for number in range(max(1, known.threshold)):
        out = f"{file}.{number + 1}.json"
        lines.append(f"holdfast vault order sign {signed} --keystore OFFICER.keystore --out {out}")
        signed = out
    return [*lines, f"holdfast restore --hand-in {signed}"]


def words(found: Sequence[ScopePlan], known: Known) -> list[str]:
    """The plans for people."""
    if not found:
        return ["Nothing is frozen and nothing is being restored: payouts are normal everywhere."]
    lines = []
    for one in found:
        scope = "everything" if one.scope == EVERYTHING else one.scope
        lines += [
            f"{scope}: {one.stage.value} since {one.since:%Y-%m-%d %H:%M:%S UTC}",
            *(f"  {why}" for why in one.why),
        ]
        lines.append(f"  next: {one.next.value}")
        for check in one.checks:
            mark = {CheckState.DONE: "done", CheckState.OPEN: "OPEN", CheckState.PERSON: "a person's word"}[check.state]
            who = "" if check.state is CheckState.DONE else f"; {check.who}"
            lines.append(f"    {check.name}: {mark} - {check.detail}{who}")
        if one.due_at is not None:
            lines.append(f"  wait: sign after {one.due_at:%Y-%m-%d %H:%M:%S UTC}, this stage must last until then")
        if one.is_ready:
            people = ", ".join(known.officers) or "the officers"
            lines.append(f"  now: {known.threshold or 'enough'} of {people} look at the checks themselves, and sign:")
        elif one.commands:
            lines.append("  now:")
        lines += [f"    {command}" for command in one.commands]
        lines.append("  way back: `holdfast freeze`, at any moment, by one person")
    return lines
