"""`holdfast serve`: all zones on this machine, or one of them by name."""

from __future__ import annotations

import asyncio
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.faces.cli.terminal import ConfigOption, load_settings, say
from holdfast.faces.cli.zones import INCIDENT_DIR, SIGNER_DIR, WATCHTOWER_DIR

if TYPE_CHECKING:
    from holdfast.runtime.settings import Settings
    from holdfast.runtime.supervise import Supervisor, Zone


class ZoneName(StrEnum):
    """Processes that can run on a machine, and under a user, of their own."""

    DATABASE = "database"
    API = "api"
    FOLLOWER = "follower"
    COURIER = "courier"
    BROADCASTER = "broadcaster"
    WATCHTOWER = "watchtower"
    SIGNER = "signer"
    INCIDENT = "incident"


MODULES: dict[ZoneName, tuple[str, ...]] = {
    ZoneName.DATABASE: ("holdfast.runtime.database_zone",),
    ZoneName.API: ("holdfast.faces.api.main",),
    ZoneName.FOLLOWER: ("holdfast.faces.follower", "follower"),
    ZoneName.COURIER: ("holdfast.payments.main", "courier"),
    ZoneName.BROADCASTER: ("holdfast.payments.main", "broadcaster"),
    ZoneName.WATCHTOWER: ("holdfast.watchtower.main",),
    ZoneName.SIGNER: ("holdfast.signer.main",),
    ZoneName.INCIDENT: ("holdfast.incident.main",),
}
OWN_FILES: dict[ZoneName, Path] = {
    ZoneName.WATCHTOWER: Path(WATCHTOWER_DIR) / "tower.toml",
    ZoneName.SIGNER: Path(SIGNER_DIR) / "signer.toml",
    ZoneName.INCIDENT: Path(INCIDENT_DIR) / "incident.toml",
}
"""Zones that share no configuration with the platform: their own file, where they run on the same machine."""


def serve(
    zone: Annotated[ZoneName | None, typer.Argument(help="Only this zone; without it, all of them.")] = None,
    *,
    config: ConfigOption = None,
) -> None:
    """Run all zones on this machine (with the embedded database), or one zone by name. Ctrl-C stops everything.

    Example: `holdfast serve --config shop/holdfast.toml`
    """
    if zone in OWN_FILES and config is not None and config.name == OWN_FILES[zone].name:
        argv = argv_of(zone, config)
        os.execv(argv[0], argv)  # noqa: S606  as below; its host has no file of the platform's
    settings = load_settings(config)
    if zone is not None:
        argv = argv_of(zone, settings.path)
        os.execv(argv[0], argv)  # noqa: S606  our own interpreter and module; the zone becomes this process
    from holdfast.runtime.logs import configure

    configure(settings.logs, "serve")
    asyncio.run(_serve_all(settings))


def argv_of(zone: ZoneName, config: Path) -> tuple[str, ...]:
    """The command that is this zone's process. `config`: the platform's file, or the zone's own."""
    if zone in OWN_FILES and config.name != OWN_FILES[zone].name:
        config = config.parent / OWN_FILES[zone]
    return (sys.executable, "-m", *MODULES[zone], "--config", str(config))


def zones_of(settings: Settings) -> list[Zone]:
    """All zones of this configuration, the database first where it is the embedded one."""
    from holdfast.faces.cli.database_ready import database_ready
    from holdfast.runtime.supervise import Zone

    zones = []
    if settings.database.url is None:
        argv = argv_of(ZoneName.DATABASE, settings.path)
        zones.append(Zone(ZoneName.DATABASE, argv, ready=lambda: database_ready(settings)))
    names = (ZoneName.FOLLOWER, ZoneName.COURIER, ZoneName.BROADCASTER, ZoneName.API)
    own = [name for name, file in OWN_FILES.items() if (settings.directory / file).exists()]
    return [*zones, *(Zone(name, argv_of(name, settings.path)) for name in (*own, *names))]


async def _serve_all(settings: Settings) -> None:
    import signal

    from holdfast.runtime.supervise import Supervisor

    supervisor = Supervisor(zones_of(settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _stop, supervisor)
    say(f"holdfast: serving {settings.api.public_url} (Ctrl-C stops everything, twice kills)")
    await supervisor.run()
    say("holdfast: stopped")


def _stop(supervisor: Supervisor) -> None:
    say("holdfast: killing" if supervisor.stopping.is_set() else "holdfast: stopping (Ctrl-C again kills)")
    supervisor.stop()
