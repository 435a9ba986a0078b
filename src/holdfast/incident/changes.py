"""What an incident's timeline is told: what the zones show now that they did not show before. Pure.

A stop or an alarm is named, so that it is written down once, however often it is seen and whoever was started anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from holdfast.core import journal as j
from holdfast.core.canonical import DocumentNotCanonical
from holdfast.core.journal import Entry
from holdfast.core.orders import Restore, read_order
from holdfast.core.tower_status import Alarm, StopShown, TowerStatus
from holdfast.incident.record import ALARM, STOP_ENDED, STOPPED, Seen, Touched

TEXT_LENGTH_MAX = 1_000
NAMES_MAX = 1_000
"""Transactions that one alarm may name."""
SIGNER, WATCHTOWER, INCIDENT, OFFICERS, MERCHANT = "signer", "watchtower", "incident", "officers", "merchant"
SILENT_MS = 20_000
"""A signer that has had no lease for so long does not work: it asks several times a second."""


@dataclass(frozen=True, slots=True)
class View:
    """What all zones showed at one moment."""

    now_ms: int
    tower: TowerStatus | None = None
    """None: it does not answer."""
    tower_trouble: str = ""
    zones: Mapping[str, str] = field(default_factory=dict)
    """By name: empty where it is ready, else why not, in words."""


def touched(scope: str, name: str) -> Touched:
    """The transaction that an alarm names: `id`, `id:output`, or either behind `network/`.

    Without a network of its own it is on the one that the scope names.
    """
    network, _, rest = name.rpartition("/")
    transaction, _, place = rest.partition(":")
    return Touched(
        network=network or ("" if scope == "*" else scope.partition("/")[0]),
        transaction=transaction,
        output=int(place) if place.isdecimal() else None,
    )


def stop_ref(stop: StopShown) -> str:
    """What names a stop for ever."""
    return f"stop:{hashlib.sha256(stop.id.encode()).hexdigest()}"


def alarm_ref(alarm: Alarm) -> str:
    """What names an alarm for ever: by its transactions, where it has any, since the same ones are found again by a
    watchtower that was started anew; else by its moment.
    """
    moment = alarm.transactions or (str(alarm.at_ms), alarm.detail)
    facts = "\0".join((alarm.kind, alarm.scope, *moment))
    return f"alarm:{hashlib.sha256(facts.encode('utf-8', 'replace')).hexdigest()}"


def alarms_in(status: TowerStatus) -> list[Seen]:
    """Every stop and every alarm that the watchtower shows, and the ends of stops, oldest first."""
    found = []
    for stop in status.stops:
        found.append(_stop_seen(stop))
        if stop.ended:
            text, ref = f"a freeze of {stop.scope} ended", f"{stop_ref(stop)}:ended"
            found.append(_seen(WATCHTOWER, STOP_ENDED, text, happened_ms=status.now_ms, scope=stop.scope, ref=ref))
    for alarm in status.alarms:
        text, names = f"{alarm.kind}: {alarm.detail}", alarm.transactions[:NAMES_MAX]
        seen = _seen(WATCHTOWER, ALARM, text, happened_ms=alarm.at_ms, scope=alarm.scope, ref=alarm_ref(alarm))
        transactions = tuple(touched(alarm.scope, one) for one in names)
        found.append(msgspec.structs.replace(seen, transactions=transactions, by=WATCHTOWER))
    return sorted(found, key=lambda one: one.happened_ms)


def news(seen: Sequence[Seen], known: frozenset[str]) -> list[Seen]:
    """Those that are not written down anywhere; of a stop that was never written down, its end is none."""
    return [
        one
        for one in seen
        if one.ref not in known
        and not (one.kind == STOP_ENDED and one.ref.removesuffix(":ended") not in known)
        and not (one.kind == STOPPED and any(f"{one.ref}:ended" == other.ref for other in seen))
    ]


def differences(before: View, now: View) -> list[Seen]:
    """What changed between two looks, besides stops and alarms."""
    return [*_tower_changes(before, now), *_zone_changes(before, now)]


def journal_seen(entry: Entry) -> Seen | None:
    """What the timeline is told of a journal's entry; None for the signer's daily work."""
    found = _told(entry.body)
    if found is None:
        return None
    zone, kind, text = found
    return _seen(
        zone, kind, f"entry {entry.seq}: {text}", happened_ms=entry.written_at, ref=f"entry:{entry.stored.hash}"
    )


def silence(since_ms: int, seconds: int) -> Seen:
    """The alarm that the watchtower itself is silent."""
    text = f"watchtower-silent: the watchtower has not answered for {seconds} s; nothing is paid out meanwhile"
    return _seen(INCIDENT, ALARM, text, scope="*", happened_ms=since_ms, ref=f"silent:{since_ms}")


def _told(body: j.Body) -> tuple[str, str, str] | None:  # noqa: C901  one branch a kind of entry
    """Zone, kind and text."""
    match body:
        case j.Ordered():
            return OFFICERS, "ordered", _order_in_words(body)
        case j.PolicyTaken():
            return OFFICERS, "policy", f"policy {hashlib.sha256(body.document.encode()).hexdigest()} was taken"
        case j.CertificateTaken():
            return OFFICERS, "certificate", "a merchant's certificate was taken"
        case j.VetoTaken() | j.RecoveryTaken():
            return MERCHANT, "key-change", "a merchant's word about his key was taken"
        case j.Started():
            return SIGNER, "started", f"the signer {body.version} started, boot {body.boot}"
        case j.Stopped():
            return SIGNER, "signer-stopped", f"{body.scope}: {body.reason}"
        case j.DepositGone():
            return SIGNER, "deposit-gone", f"a deposit left the chain: {body.network} {body.key}"
        case j.FundingGone():
            return SIGNER, "funding-gone", f"money of the float's left the chain: {body.network} {body.key}"
        case _:
            return None


def _order_in_words(body: j.Ordered) -> str:
    try:
        order = read_order(body.order.document.encode())
    except DocumentNotCanonical:
        return "an order that cannot be read"
    name = type(order).__name__
    if isinstance(order, Restore):
        return f"{', '.join(order.scopes)} to {order.stage}; checked: {', '.join(order.checked)}"
    return f"the quorum's order {name}"


def _stop_seen(stop: StopShown) -> Seen:
    zone = {SIGNER: SIGNER, WATCHTOWER: WATCHTOWER}.get(stop.by, OFFICERS)
    text = f"{stop.scope} is frozen: {stop.reason}"
    seen = _seen(zone, STOPPED, text, happened_ms=stop.received_ms, scope=stop.scope, ref=stop_ref(stop))
    return msgspec.structs.replace(seen, by=stop.by)


def _tower_changes(before: View, now: View) -> list[Seen]:
    old, new = before.tower, now.tower
    if new is None:
        is_news = old is not None
        return [_seen(WATCHTOWER, "not-answering", now.tower_trouble, happened_ms=now.now_ms)] if is_news else []
    if old is None:
        return [_seen(WATCHTOWER, "answering", f"it stands at entry {new.seq}", happened_ms=now.now_ms)]
    found = [*_stage_changes(old, new, now.now_ms), *_node_changes(old, new, now.now_ms)]
    if old.policy != new.policy:
        found.append(_seen(WATCHTOWER, "policy", f"policy {new.policy} counts", happened_ms=now.now_ms))
    if _is_silent(old) != _is_silent(new):
        text = "it asks for no lease any more" if _is_silent(new) else "it asks for leases again"
        found.append(_seen(SIGNER, "leases", text, happened_ms=now.now_ms))
    return found


def _stage_changes(old: TowerStatus, new: TowerStatus, now_ms: int) -> list[Seen]:
    stages = [(one, old.stages.get(one, "normal"), new.stages.get(one, "normal")) for one in {*old.stages, *new.stages}]
    return [
        _seen(WATCHTOWER, "stage", f"{then} → {here}", scope=scope, happened_ms=now_ms)
        for scope, then, here in sorted(stages)
        if then != here
    ]


def _node_changes(old: TowerStatus, new: TowerStatus, now_ms: int) -> list[Seen]:
    faults = {one.network: one.fault for one in old.networks}
    return [
        _seen(WATCHTOWER, "nodes", one.fault or "its nodes are well again", scope=one.network, happened_ms=now_ms)
        for one in new.networks
        if faults.get(one.network, "") != one.fault
    ]


def _zone_changes(before: View, now: View) -> list[Seen]:
    return [
        _seen(zone, "readiness", trouble or "it is ready", happened_ms=now.now_ms)
        for zone, trouble in sorted(now.zones.items())
        if zone in before.zones and before.zones[zone] != trouble
    ]


def _is_silent(status: TowerStatus) -> bool:
    return status.now_ms - status.lease_ms > SILENT_MS


def _seen(zone: str, kind: str, text: str, *, happened_ms: int, scope: str = "", ref: str = "") -> Seen:  # noqa: PLR0913  a line's columns
    return Seen(zone=zone, kind=kind, scope=scope, text=_line(text), happened_ms=happened_ms, ref=ref)


def _line(text: str) -> str:
    """One line of bounded length that can be written down whatever a node or a person put into it."""
    plain = text.encode("utf-8", "replace").decode()
    return "".join(one if one.isprintable() else " " for one in plain)[:TEXT_LENGTH_MAX]
