"""Tells people: by webhook, by e-mail, by a program of the operator's. An alert is stored before it is sent.

Every way has a queue of its own, so that one that hangs delays no other and never the watch. What was not delivered is
tried again, also after a restart, with the same id: receivers that see an id twice have seen one alert.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
import smtplib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol

import aiohttp
import msgspec

from holdfast.core.errors import BadInput, HoldfastError, Unavailable
from holdfast.incident.settings import CommandTo, EmailTo, IncidentSettings, WebhookTo
from holdfast.runtime.secret_files import read_secret
from holdfast.runtime.standard_webhooks import signed_headers

PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 1.0, 300.0
"""Between two tries of one alert, doubled each time."""
SEND_SECONDS_MAX = 15
OK_MIN, OK_MAX = 200, 299
TYPE = "incident.alert"


class AlertNotDelivered(Unavailable):
    """A way of telling people did not take an alert. It is tried again; correct the address or the receiver."""

    code = "alert-not-delivered"


class AlertSecretMalformed(BadInput):
    """The file with the webhook's secret does not hold `whsec_` and base64. Copy it from the receiver once more."""

    code = "alert-secret-malformed"


class Alert(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people are told."""

    id: str
    """The same for the same thing, however often it is told."""
    type: str
    incident: str
    kind: str
    scope: str
    text: str
    at_ms: int
    head: str
    """Hash of the timeline's newest line: whoever keeps it can show later that nothing before it was changed."""


class Way(Protocol):
    """A way of telling people."""

    @property
    def name(self) -> str:
        """Of its files: letters, digits and `-`."""

    async def send(self, alert: Alert, now: datetime) -> None:
        """Hand it over. Raises `AlertNotDelivered` and what its settings raise."""


def alert_id(incident: str, kind: str, scope: str) -> str:
    """Of one thing: an incident, what happened, and where."""
    return "alr_" + hashlib.sha256("\0".join((incident, kind, scope)).encode()).hexdigest()[:40]


@dataclass(frozen=True, slots=True)
class ByWebhook:
    """Standard Webhooks (https://www.standardwebhooks.com), at a URL of the operator's own choice."""

    name: str
    to: WebhookTo

    async def send(self, alert: Alert, now: datetime) -> None:
        """See `Way`."""
        payload = msgspec.json.encode(alert)
        headers = signed_headers(alert.id, payload, [_secret(self.to.secret_file)], now)
        headers["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=SEND_SECONDS_MAX)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.post(self.to.url, data=payload, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise AlertNotDelivered(f"{self.name}: {type(error).__name__}") from None
        if not OK_MIN <= status <= OK_MAX:
            raise AlertNotDelivered(f"{self.name}: HTTP {status}")


@dataclass(frozen=True, slots=True)
class ByEmail:
    """SMTP (RFC 5321), in a thread: the library waits."""

    name: str
    to: EmailTo

    async def send(self, alert: Alert, now: datetime) -> None:
        """See `Way`."""
        password = None if self.to.password_file is None else read_secret(self.to.password_file)
        try:
            await asyncio.to_thread(self._send, _email(self.to, alert, now), password)
        except (smtplib.SMTPException, OSError) as error:
            raise AlertNotDelivered(f"{self.name}: {type(error).__name__}") from None

    def _send(self, message: EmailMessage, password: str | None) -> None:
        with smtplib.SMTP(self.to.host, self.to.port, timeout=SEND_SECONDS_MAX) as smtp:
            if self.to.starttls:
                import ssl

                smtp.starttls(context=ssl.create_default_context())
            if self.to.user is not None and password is not None:
                smtp.login(self.to.user, password)
            smtp.send_message(message)


@dataclass(frozen=True, slots=True)
class ByCommand:
    """A program, run without a shell and with an empty environment but for its path; it reads the alert as JSON."""

    name: str
    to: CommandTo

    async def send(self, alert: Alert, now: datetime) -> None:
        """See `Way`."""
        try:
            process = await asyncio.create_subprocess_exec(
                *self.to.argv,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env={"PATH": os.defpath},
            )
        except OSError as error:
            raise AlertNotDelivered(f"{self.name}: {error.strerror}") from None
        try:
            async with asyncio.timeout(self.to.seconds_max):
                await process.communicate(msgspec.json.encode(alert) + b"\n")
        except TimeoutError:
            raise AlertNotDelivered(f"{self.name}: not done within {self.to.seconds_max} s") from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            raise AlertNotDelivered(f"{self.name}: exit code {process.returncode}")


def ways(settings: IncidentSettings) -> list[Way]:
    """Every way that the settings name."""
    found: list[Way] = [ByWebhook(f"webhook-{n}", to) for n, to in enumerate(settings.webhooks, 1)]
    if settings.email is not None:
        found.append(ByEmail("email", settings.email))
    return [*found, *(ByCommand(f"command-{n}", to) for n, to in enumerate(settings.commands, 1))]


class Delivery(msgspec.Struct, frozen=True):
    """How far an alert is."""

    alert: Alert
    delivered: tuple[str, ...]
    """Ways that took it."""
    waiting: tuple[str, ...]


@dataclass(slots=True)
class Outbox:
    """Alerts on the disk: `ID.json`, and beside it an empty `ID.WAY` for each way that took it."""

    directory: Path
    ways: Sequence[Way]
    log: Callable[..., None]
    now: Callable[[], datetime]
    pause_seconds: float = PAUSE_SECONDS_MIN
    _unstored: dict[str, Alert] = field(default_factory=dict)
    """Alerts for which the disk has no room: told all the same, and forgotten when the process ends."""
    _told: set[tuple[str, str]] = field(default_factory=set)
    """Alert and way, for this process."""
    _wake: list[asyncio.Event] = field(default_factory=list)

    def put(self, alert: Alert) -> bool:
        """Store an alert, to be sent; whether it is a new one."""
        path = self.directory / f"{alert.id}.json"
        if alert.id in self._unstored or path.exists():
            return False
        try:
            self._store(path, alert)
        except OSError as error:
            self._unstored[alert.id] = alert
            self.log("alert_not_stored", alert=alert.id, detail=str(error))
        for event in self._wake:
            event.set()
        return True

    def deliveries(self) -> list[Delivery]:
        """Every alert, oldest first, and who took it."""
        alerts = dict(self._unstored)
        for path in self.directory.glob("*.json"):
            with suppress(msgspec.DecodeError, OSError):
                alerts[path.stem] = msgspec.json.decode(path.read_bytes(), type=Alert)
        found = []
        for alert in alerts.values():
            names = [(way.name, self._is_told(alert, way)) for way in self.ways]
            taken, waiting = (tuple(name for name, is_told in names if is_told is it) for it in (True, False))
            found.append(Delivery(alert, taken, waiting))
        return sorted(found, key=lambda one: (one.alert.at_ms, one.alert.id))

    def _is_told(self, alert: Alert, way: Way) -> bool:
        return (alert.id, way.name) in self._told or (self.directory / f"{alert.id}.{way.name}").exists()

    def _store(self, path: Path, alert: Alert) -> None:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        work = path.with_suffix(".new")
        with work.open("wb") as file:
            file.write(msgspec.json.encode(alert))
            file.flush()
            os.fsync(file.fileno())
        work.rename(path)

    async def run(self) -> None:
        """Send, one task a way, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for way in self.ways:
                wake = asyncio.Event()
                self._wake.append(wake)
                tasks.create_task(self._keep_sending(way, wake))

    async def _keep_sending(self, way: Way, wake: asyncio.Event) -> None:
        pause = self.pause_seconds
        while True:
            wake.clear()
            waiting = [one.alert for one in self.deliveries() if way.name in one.waiting]
            is_well = True
            for alert in waiting:
                is_well = await self._send(way, alert) and is_well
            pause = self.pause_seconds if is_well else min(pause * 2, PAUSE_SECONDS_MAX)
            with suppress(TimeoutError):
                async with asyncio.timeout(None if is_well else pause):
                    await wake.wait()

    async def _send(self, way: Way, alert: Alert) -> bool:
        try:
            await way.send(alert, self.now())
            self._told.add((alert.id, way.name))
            (self.directory / f"{alert.id}.{way.name}").touch()
        except (HoldfastError, OSError) as error:
            self.log("alert_not_delivered", way=way.name, alert=alert.id, detail=str(error))
            return False
        return True


def _secret(path: Path) -> bytes:
    try:
        return base64.b64decode(read_secret(path).removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise AlertSecretMalformed(str(path)) from None


def _email(to: EmailTo, alert: Alert, now: datetime) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = to.sender, ", ".join(to.to)
    message["Subject"] = f"Holdfast incident: {alert.kind} {alert.scope}".strip()
    message["Date"] = now.astimezone(UTC)
    message["Message-ID"] = f"<{alert.id}@holdfast.invalid>"
    at = datetime.fromtimestamp(alert.at_ms // 1_000, UTC).isoformat()
    message.set_content(
        f"{alert.text}\n\nIncident: {alert.incident}\nScope:    {alert.scope or '-'}\nWhen:     {at}\n\n"
        f"What to do: holdfast incident show {alert.incident}\nTimeline's newest line: {alert.head}\n"
    )
    return message
