"""`holdfast migrate`: brings the database's tables up to date."""

from __future__ import annotations

import asyncio

from holdfast.faces.cli.terminal import ConfigOption, JsonOption, emit, load_settings


def migrate(*, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Bring the database's tables up to date. `holdfast serve` does it by itself for the embedded database.

    Example: `holdfast migrate --config shop/holdfast.toml`
    """
    from holdfast.faces.cli.open_database import with_database
    from holdfast.runtime import database

    settings = load_settings(config)

    async def run() -> list[str]:
        async with with_database(settings) as access:
            return await database.migrate(access.url, password=access.password)

    done = asyncio.run(run())
    emit({"migrations": done}, f"{len(done)} migrations done" if done else "nothing to do", as_json=as_json)
