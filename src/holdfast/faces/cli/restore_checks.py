"""The checks of a restore that a program can make: it reads, compares with the newest stop, and says what it saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from holdfast.chains.journaled_outputs import strange_outputs
from holdfast.core.errors import HoldfastError
from holdfast.core.journal import StoredEntry
from holdfast.core.tower_status import TowerStatus
from holdfast.faces.assess import last_time
from holdfast.faces.cli.runbook import WHO, Checked, CheckState
from holdfast.payments.api_keys import ApiKey
from holdfast.payments.reconciling import Reconciliation
from holdfast.policy.audit import replay
from holdfast.policy.record import Record
from holdfast.runtime.settings import Settings

_AT_ONCE = 2_000
_GRAVE = ("critical", "high")


@dataclass(frozen=True, slots=True)
class Platform:
    """What the platform's database says."""

    entries: list[StoredEntry]
    """The mirrored journal."""
    reconciliations: Sequence[Reconciliation]
    keys: Sequence[ApiKey]
    """API keys that can be used now."""


async def read_platform(settings: Settings) -> Platform | None:
    """What its database says; None where it does not answer."""
    from holdfast.payments import api_keys, mirror, reconciling
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.runtime.database import connected
    from holdfast.runtime.database_access import platform_access

    access = platform_access(settings.database)
    entries: list[StoredEntry] = []
    try:
        async with connected(access.url, password=access.password) as connection:
            while stored := await mirror.stored(connection, len(entries), _AT_ONCE):
                entries += stored
            keys = await api_keys.page(connection, None, limit=_AT_ONCE)
            now = SYSTEM_CLOCK.now()
            usable = [key for key in keys if key.revoked_at is None and key.expires_at > now]
            return Platform(entries, await reconciling.newest(connection), usable)
    except HoldfastError:
        return None


def journal_verified(entries: Sequence[StoredEntry], status: TowerStatus, root: str) -> tuple[Record | None, Checked]:
    """Every entry by the signatures of people, and the watchtower's head among them."""
    record = Record()
    try:
        replay(record, entries, root, strange_outputs)
    except HoldfastError as error:
        return None, _checked("journal-verified", CheckState.OPEN, f"{error.code}: {error.detail}")
    if status.seq and (len(entries) < status.seq or entries[status.seq - 1].hash != status.head):
        seen = f"entry {status.seq} of the watchtower is not in this copy of {len(entries)}"
        return record, _checked("journal-verified", CheckState.OPEN, seen)
    return record, _checked("journal-verified", CheckState.DONE, f"{len(entries)} entries follow from what was signed")


def float_rotated(record: Record, status: TowerStatus) -> Checked:
    """Whether a float that somebody else spent lies under a new key. Whether a key leaked unused, only people know."""
    if record.touched:
        return _checked("float-rotated", CheckState.OPEN, f"spent and not rotated: {', '.join(sorted(record.touched))}")
    seen = [one for alarm in status.alarms for one in alarm.transactions]
    if seen and not record.old_floats:
        return _checked(
            "float-rotated", CheckState.OPEN, f"the watchtower saw {seen[0][:20]}…, and no float was rotated"
        )
    moved = ", ".join(sorted({one.network for one in record.old_floats})) or "none"
    detail = f"no float was spent by somebody else since its rotation; rotated: {moved}"
    return _checked("float-rotated", CheckState.DONE, detail)


def reconciled(platform: Platform, stopped: datetime) -> Checked:
    """Whether chain, ledger and journal say the same of every asset, since the stop."""
    bad = [one.asset for one in platform.reconciliations if one.findings]
    old = [one.asset for one in platform.reconciliations if one.made_at < stopped]
    if bad or old or not platform.reconciliations:
        detail = f"gaps: {', '.join(bad) or 'none'}; not compared since the stop: {', '.join(old) or 'none'}"
        return _checked("reconciled", CheckState.OPEN, detail)
    detail = f"{len(platform.reconciliations)} assets add up by the platform's word: compare on the checking machine"
    return _checked("reconciled", CheckState.PERSON, detail)


def credentials_rotated(settings: Settings, platform: Platform | None, stopped: datetime) -> Checked:
    """Whether the operator's API keys and the files with secrets are newer than the stop."""
    old = [f"API key {one.id}" for one in (platform.keys if platform else ()) if one.created_at < stopped]
    old += [str(path) for path in _secrets(settings) if _made_at(path) < stopped]
    if old:
        return _checked("credentials-rotated", CheckState.OPEN, f"older than the stop: {', '.join(old)}")
    if platform is None:
        return _checked("credentials-rotated", CheckState.PERSON, "the database was not read")
    return _checked("credentials-rotated", CheckState.DONE, "keys and secret files are newer than the stop")


def dependencies_clean(settings: Settings, stopped: datetime) -> Checked:
    """Whether `holdfast assess` found nothing grave since the stop."""
    last = last_time.read(settings.directory)
    if last is None or last.made_at < stopped:
        return _checked("dependencies-clean", CheckState.PERSON, "no assessment since the stop")
    grave = sum(last.counts.get(name, 0) for name in _GRAVE)
    if grave:
        return _checked("dependencies-clean", CheckState.OPEN, f"{grave} grave findings in the newest assessment")
    return _checked("dependencies-clean", CheckState.DONE, f"assessed {last.made_at:%Y-%m-%d %H:%M UTC}: nothing grave")


def _secrets(settings: Settings) -> list[Path]:
    named = (
        settings.signer.token_file,
        settings.webhooks.key_file,
        settings.database.password_file,
        settings.database.owner_password_file,
    )
    return [path for path in named if path is not None and path.exists()]


def _made_at(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.stat().st_mtime), UTC)


def _checked(name: str, state: CheckState, detail: str) -> Checked:
    who, command = WHO[name]
    return Checked(name, state, detail, who, command)
