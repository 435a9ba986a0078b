"""`holdfast backup` and `restore`: a backup counts only once it has been restored and its books added up."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings, progress, say

if TYPE_CHECKING:
    from psycopg import AsyncConnection

    from holdfast.runtime.backup import Backup


def backup(
    *,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="DIR", help="Where to write it; else `[database] backup_dir`.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Back the database up, restore the copy into a PostgreSQL of its own, and add its books up: only then it is kept.

    The officers' keystores and the files in `secrets` are not in it: back those up apart, each where it belongs.

    Example: `holdfast backup --config shop/holdfast.toml`
    """
    from holdfast.faces.cli.open_database import with_database
    from holdfast.runtime import backup as backups
    from holdfast.runtime.clock import SYSTEM_CLOCK

    settings = load_settings(config)
    directory = to or settings.database.backup_dir

    async def run() -> Backup:
        async with with_database(settings) as access:
            return await backups.backup(access, directory, now=SYSTEM_CLOCK.now(), audit=add_up)

    with progress("backup") as advance:
        advance("dump, restore, add up", 0, 1)
        made = asyncio.run(run())
    say("copy it to another machine: one on the same disk is lost with it")
    emit(_facts(directory, made), f"{directory / made.file}: proven, {_said(made)}", as_json=as_json)


def restore(
    dump: Annotated[Path, typer.Argument(help="The backup's `.dump` file; its manifest lies beside it.")],
    *,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Restore a backup into the configuration's database, which must be empty, and prove the result.

    Followers go on from the height that the backup knows: what came since is found on the chain again.

    Example: `holdfast restore-backup backups/holdfast-20260101T000000.000000Z.dump --config new/holdfast.toml`
    """
    from holdfast.faces.cli.open_database import with_database
    from holdfast.runtime import backup as backups

    settings = load_settings(config)

    async def run() -> Backup:
        async with with_database(settings) as access:
            return await backups.restore(access, dump, audit=add_up)

    with progress("restore") as advance:
        advance("restore, add up", 0, 1)
        made = asyncio.run(run())
    emit(_facts(dump.parent, made), f"{dump}: restored and proven, {_said(made)}", as_json=as_json)


async def add_up(connection: AsyncConnection[Any]) -> Sequence[str]:
    """What does not add up in the ledger of this database."""
    from holdfast.ledger import audit

    return (await audit(connection)).faults


def _facts(directory: Path, made: Backup) -> dict[str, object]:
    return {
        "file": str(directory / made.file),
        "made_at": made.made_at.isoformat(),
        "size_bytes": made.size_bytes,
        "sha256": made.sha256,
        "revision": made.contents.revision,
        "ledger_head": made.contents.head,
        "rows": made.contents.rows,
        "proven": True,
    }


def _said(made: Backup) -> str:
    return f"{made.size_bytes:,} bytes, {made.contents.head:,} transfers, {sum(made.contents.rows.values()):,} rows"
