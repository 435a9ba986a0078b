"""The incident process' loop: look at all zones, write down what changed, tell people, have evidence sealed.

It trusts nobody and stops nothing: stopping is the watchtower's and the officers'. What it cannot write it still tells.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.core.errors import HoldfastError
from holdfast.core.journal import Head, read_entries
from holdfast.core.states import IncidentState
from holdfast.core.tower_status import TowerStatus
from holdfast.incident import changes
from holdfast.incident.alerts import TYPE, Alert, Outbox, alert_id
from holdfast.incident.changes import View, alarms_in, differences, journal_seen, news, silence
from holdfast.incident.gather import SourceSilent, http_get, seal
from holdfast.incident.record import ALARM, STOP_ENDED, STOPPED, Body, Incident, Moved, Seen, state_for
from holdfast.incident.settings import IncidentSettings
from holdfast.incident.store import IncidentStoreFailed, Store
from holdfast.incident.tower import JournalWithheld, TowerLine, TowerSilent

BEFORE_MAX = 200
"""Changes from before an incident that its timeline begins with."""
BEFORE_MS = 3_600_000
JOURNAL_BEFORE = 200
"""Journal entries from before an incident that its timeline is told of."""
READY_SECONDS = 2
OPENING = frozenset({ALARM, STOPPED})
TELLING = frozenset({ALARM, STOPPED, STOP_ENDED})
UNRECORDED = "unrecorded"
"""Stands for the incident in an alert when none could be written."""


class Trouble(msgspec.Struct):
    """A check that a zone's `/ready` says has failed."""

    check: str
    code: str


class Ready(msgspec.Struct):
    """A zone's answer at `/ready`."""

    ready: bool
    troubles: list[Trouble] = []


@dataclass(slots=True)
class Watch:
    """What the loop knows."""

    settings: IncidentSettings
    store: Store
    outbox: Outbox
    log: Callable[..., None]
    view: View = View(0)  # noqa: RUF009  a frozen value
    answered_ms: int = 0
    """When the watchtower answered last, or the process started."""
    zones: dict[str, str] = field(default_factory=dict)
    known: frozenset[str] = frozenset()
    """Refs that some timeline has."""
    followed: Head | None = None
    """Up to where the timeline was told of the journal."""
    _before: deque[Seen] = field(default_factory=lambda: deque(maxlen=BEFORE_MAX))
    _current: Incident | None = None
    _size: tuple[str, int] = ("", 0)
    _sealing: set[asyncio.Task[None]] = field(default_factory=set)
    _is_withheld: bool = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Look again and again until told to stop."""
        tower = TowerLine(self.settings.tower_host, self.settings.tower_port)
        self.answered_ms = self.store.now_ms()
        await asyncio.to_thread(self._remember)
        zones = asyncio.create_task(self._watch_zones())
        try:
            while not stopping.is_set():
                try:
                    await self.look(tower)
                except HoldfastError as error:
                    self.log("not_written", level="error", code=error.code, detail=error.detail)
                await _pause(stopping, self.settings.poll_milliseconds / 1_000)
        finally:
            for task in (zones, *self._sealing):
                task.cancel()
            await asyncio.gather(zones, *self._sealing, return_exceptions=True)
            await tower.close()

    async def look(self, tower: TowerLine) -> None:
        """One look at everything. Raises `IncidentStoreFailed` where it could not be written; it is told then."""
        view = await self._view(tower)
        before, self.view = self.view, view
        changed = differences(before, view) if before.now_ms else []
        found = self._alarms(view)
        self._before += changed
        incident = await asyncio.to_thread(self._open_incident)
        if incident is None and not any(one.kind in OPENING for one in found):
            return
        try:
            if incident is None:
                incident = await self._opened(found, view.now_ms)
            elif found or changed:
                incident = await self._written(incident, *found, *changed)
                self._tell_all(incident, found)
            incident = await self._moved(incident, found)
        except IncidentStoreFailed:
            self.view = before
            for one in found:
                self._tell(UNRECORDED, one.kind, one)
            raise
        if view.tower is not None:
            await self._follow_journal(tower, incident, view.tower)

    async def sealed(self) -> None:
        """Until nothing is being sealed."""
        while self._sealing:
            await asyncio.gather(*self._sealing, return_exceptions=True)

    def _alarms(self, view: View) -> list[Seen]:
        found = alarms_in(view.tower) if view.tower is not None else []
        if view.now_ms - self.answered_ms > self.settings.silence_seconds * 1_000:
            found.append(silence(self.answered_ms, self.settings.silence_seconds))
        return news(found, self.known)

    async def _view(self, tower: TowerLine) -> View:
        try:
            status = await tower.status()
        except TowerSilent as error:
            return View(self.store.now_ms(), None, error.detail, dict(self.zones))
        self.answered_ms = self.store.now_ms()
        return View(self.answered_ms, status, "", dict(self.zones))

    def _remember(self) -> None:
        """What all timelines have; whatever cannot be read counts as unknown, so it is written down once more."""
        for incident_id in self.store.ids():
            try:
                self.known |= self.store.read(incident_id).refs
            except HoldfastError as error:
                self._broken(incident_id, error)

    def _open_incident(self) -> Incident | None:
        """The newest incident, if it is not closed; read again when somebody wrote to it."""
        ids = self.store.ids()
        if not ids:
            return None
        size = (ids[-1], (self.store.path(ids[-1]) / "timeline.jsonl").stat().st_size)
        if size != self._size:
            try:
                self._current = self.store.read(ids[-1])
            except HoldfastError as error:
                self._current = None
                self._broken(ids[-1], error)
            self._size = size
        return self._current if self._current is not None and self._current.is_open else None

    def _broken(self, incident_id: str, error: HoldfastError) -> None:
        self.log("timeline_broken", level="error", incident=incident_id, code=error.code, detail=error.detail)
        now_ms = self.store.now_ms()
        seen = Seen(zone=changes.INCIDENT, kind="timeline-broken", text=str(error)[:500], happened_ms=now_ms)
        self._tell(incident_id, seen.kind, seen)

    async def _opened(self, found: Sequence[Seen], now_ms: int) -> Incident:
        first = next(one for one in found if one.kind in OPENING)
        before = [one for one in self._before if one.happened_ms > now_ms - BEFORE_MS]
        incident = await asyncio.to_thread(self.store.open, first.text, *before, *found)
        self._before.clear()
        self.followed, self._is_withheld = None, False
        self._took(incident)
        self.log("incident_opened", level="error", incident=incident.id, why=first.text)
        self._tell(incident.id, f"opened: {first.text.partition(':')[0]}", first, incident.head)
        self._tell_all(incident, [one for one in found if one is not first])
        self._seal_soon(incident.id)
        return incident

    async def _written(self, incident: Incident, *bodies: Body) -> Incident:
        after = await asyncio.to_thread(self.store.append, incident.id, *bodies)
        self._took(after)
        return after

    def _took(self, incident: Incident) -> None:
        self._current, self.known = incident, self.known | incident.refs

    async def _moved(self, incident: Incident, found: Sequence[Seen]) -> Incident:
        """Contained where everything that it is about stands still; open again at an alarm about what does not."""
        if self.view.tower is None:
            return incident
        state = state_for(incident, self.view.tower.frozen, [one.scope for one in found if one.kind in OPENING])
        if state is incident.state:
            return incident
        after = await self._written(incident, Moved(state, changes.INCIDENT))
        self.log("incident_moved", level="warning", incident=incident.id, state=state.value)
        text = f"the incident is {state.value}: frozen are {', '.join(self.view.tower.frozen) or 'none'}"
        kind = f"{state.value} {len(after.of(Moved))}"
        self._tell(
            after.id, kind, Seen(zone=changes.INCIDENT, kind=kind, text=text, happened_ms=self.view.now_ms), after.head
        )
        if state is IncidentState.CONTAINED:
            self._seal_soon(after.id)
        return after

    async def _follow_journal(self, tower: TowerLine, incident: Incident, status: TowerStatus) -> None:
        """Tell the timeline what officers, merchants and the signer did, by the signer's journal."""
        done = self.followed.seq if self.followed is not None else 0
        if self._is_withheld or status.seq <= done:
            return
        try:
            after = self.followed or Head(max(0, status.seq - JOURNAL_BEFORE))
            stored = await tower.journal(after.seq, self.store.key)
            if stored and self.followed is None and after.seq:
                # What came before is not at hand: the first entry is the one to stand on.
                after, stored = Head(after.seq + 1, stored[0].hash), stored[1:]
            entries = read_entries(after, stored)
        except HoldfastError as error:
            self._is_withheld = isinstance(error, JournalWithheld)
            self.log("journal_not_followed", level="warning", code=error.code, detail=error.detail)
            return
        self.followed = Head(entries[-1].seq, entries[-1].stored.hash) if entries else after
        told = [one for entry in entries if (one := journal_seen(entry)) is not None and one.ref not in self.known]
        if told:
            await self._written(incident, *told)

    def _tell_all(self, incident: Incident, found: Sequence[Seen]) -> None:
        for one in found:
            if one.kind in TELLING:
                kind = one.text.partition(":")[0] if one.kind == ALARM else one.kind
                self._tell(incident.id, kind, one, incident.head)

    def _tell(self, incident_id: str, kind: str, seen: Seen, head: str = "") -> None:
        name = alert_id(incident_id, kind if seen.kind != STOP_ENDED else seen.ref, seen.scope)
        facts = (incident_id, kind, seen.scope, seen.text, seen.happened_ms, head)
        self.outbox.put(Alert(name, TYPE, *facts))

    def _seal_soon(self, incident_id: str) -> None:
        if self._sealing:
            return
        task = asyncio.create_task(self._seal(incident_id))
        self._sealing.add(task)
        task.add_done_callback(self._sealing.discard)

    async def _seal(self, incident_id: str) -> None:
        try:
            _, manifest = await seal(self.settings, self.store, incident_id)
            self.log("evidence_sealed", incident=incident_id, number=manifest.number, missing=len(manifest.missing))
        except HoldfastError as error:
            self.log("evidence_not_sealed", level="error", incident=incident_id, code=error.code, detail=error.detail)
            text = f"evidence could not be sealed: {error}"[:500]
            seen = Seen(zone=changes.INCIDENT, kind="seal-failed", text=text, happened_ms=self.store.now_ms(), ref="")
            self._tell(incident_id, seen.kind, seen)

    async def _watch_zones(self) -> None:
        while True:
            for name, url in self.settings.zones.items():
                self.zones[name] = await readiness(url)
            await asyncio.sleep(READY_SECONDS)


async def readiness(url: str) -> str:
    """Empty where a zone is ready, else why not, in words."""
    try:
        said = await http_get(url, {}, any_status=True)
        ready = msgspec.json.decode(said, type=Ready)
    except SourceSilent as error:
        return f"it does not answer: {error.detail}"
    except msgspec.DecodeError:
        return "it answers, but not as a zone does"
    failed = ", ".join(sorted(f"{one.check} ({one.code})" for one in ready.troubles))
    return "" if ready.ready else f"it is not ready: {failed[:400]}"


async def _pause(stopping: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return
