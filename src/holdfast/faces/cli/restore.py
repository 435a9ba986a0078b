"""`holdfast restore`: walks an operator back from a freeze, step by step; looks at all that a program can see."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.core.errors import BadInput, HoldfastError
from holdfast.faces.cli.freeze import TOWER, TowerOption
from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings

if TYPE_CHECKING:
    from holdfast.core.journal import StoredEntry
    from holdfast.core.tower_status import TowerStatus
    from holdfast.faces.cli.runbook import Known
    from holdfast.runtime.settings import Settings


class JournalCopyUnreadable(BadInput):
    """The exported journal cannot be read. Export it anew: `GET /v1/evidence`, saved as it is answered."""

    code = "journal-copy-unreadable"


def restore(
    *,
    hand_in: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Hand in a step that enough officers have signed.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="The exported journal; default: the one that the platform mirrors.")
    ] = None,
    watchtower: TowerOption = TOWER,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Walk back from a freeze: where each scope is, who must do what now, what is done, what is next.

    The way is `frozen`, `allowlisted`, `limited`, `normal`; each step is an order of the officers' quorum, with its
    checks, once the stage before has lasted. Without the platform it says what the watchtower alone knows.

    Example: `holdfast restore --watchtower tower:8790 --config shop/holdfast.toml`
    """
    import msgspec

    from holdfast.faces.cli import runbook
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.runtime.tower_line import ask_status

    settings = load_settings(config)
    if hand_in is not None:
        emit({"sha256": asyncio.run(_hand_in(settings, hand_in))}, f"{hand_in}: handed in", as_json=as_json)
        return
    status = asyncio.run(ask_status(watchtower))
    known = asyncio.run(_known(settings, status, evidence))
    found = runbook.plans(status, known, SYSTEM_CLOCK.now())
    emit({"scopes": msgspec.to_builtins(found)}, "\n".join(runbook.words(found, known)), as_json=as_json)


async def _hand_in(settings: Settings, path: Path) -> str:
    """Put the order before the signer, as `POST /v1/orders` does: for when the API is down."""
    from holdfast.faces.cli.open_database import with_database
    from holdfast.payments import signer_documents
    from holdfast.payments.signer_documents import Handed, digest_of
    from holdfast.runtime.clock import SYSTEM_CLOCK
    from holdfast.runtime.database import connected
    from holdfast.vault import documents

    signed = documents.read(path)
    handed = Handed("holdfast restore", SYSTEM_CLOCK.now())
    async with (
        with_database(settings) as access,
        connected(access.url, password=access.password) as connection,
        connection.transaction(),
    ):
        await signer_documents.put_order(connection, signed.document, signed.signatures, handed)
    return digest_of(signed.document)


async def _known(settings: Settings, status: TowerStatus, evidence: Path | None) -> Known:
    """Everything that can be read here; what cannot is a person's word."""
    from holdfast.core.quorum import read_quorum
    from holdfast.faces.cli import restore_checks
    from holdfast.faces.cli.runbook import Known
    from holdfast.policy.people import Times
    from holdfast.runtime.clock import SYSTEM_CLOCK

    quorum = read_quorum(settings.quorum_file.read_bytes())
    names, now = [one.name for one in quorum.officers], int(SYSTEM_CLOCK.now().timestamp())
    stopped = datetime.fromtimestamp(
        max((one.received_ms for one in status.stops), default=0) // 1_000, UTC
    )  # the newest stop: what was made before it may be in an attacker's hands
    found = []
    platform = await restore_checks.read_platform(settings)
    entries = _entries(evidence) if evidence is not None else platform.entries if platform else None
    record = None
    if entries is not None:
        record, checked = restore_checks.journal_verified(entries, status, quorum.fingerprint())
        found.append(checked)
    if record is not None:
        found.append(restore_checks.float_rotated(record, status))
    if platform is not None:
        found.append(restore_checks.reconciled(platform, stopped))
    found.append(restore_checks.credentials_rotated(settings, platform, stopped))
    found.append(restore_checks.dependencies_clean(settings, stopped))
    policies = [] if record is None else record.policies.in_force(Times(now, now))
    soak = max((one.delays.restore_soak_seconds for one in policies), default=0)
    stages = None if record is None else record.stages
    return Known(names, quorum.threshold, soak, stages, {one.name: one for one in found})


def _entries(path: Path) -> list[StoredEntry]:
    from holdfast.vault.evidence import read_export

    try:
        return read_export(path.read_bytes())
    except (OSError, HoldfastError) as error:
        raise JournalCopyUnreadable(f"{path}: {error}") from None
