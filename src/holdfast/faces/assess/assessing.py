"""One assessment: read everything that can be read, judge it, and hand back the report. What cannot be read is said."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.core.errors import HoldfastError
from holdfast.core.tower_status import TowerStatus
from holdfast.faces.assess import (
    advisory_files,
    findings_of_keys,
    findings_of_money,
    findings_of_set_up,
    last_time,
    reading_files,
)
from holdfast.faces.assess.exposure import Exposure, exposures
from holdfast.faces.assess.holdings import Holding, holdings
from holdfast.faces.assess.inventory import Books, Files, Inventory, NotLookedAt
from holdfast.faces.assess.kinds import KINDS
from holdfast.faces.assess.reading_database import read_books
from holdfast.faces.assess.reading_files import Places
from holdfast.faces.assess.severities import FAILING, Finding, Judge, worst_first
from holdfast.faces.assess.standards import Result, results
from holdfast.faces.cli.open_database import with_database
from holdfast.runtime.database import connected
from holdfast.runtime.settings import Settings
from holdfast.runtime.tower_line import ask_status


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is reported."""

    at: datetime
    last_at: datetime | None
    seconds: int
    """From the first theft to the freeze, of the exposures."""
    findings: list[Finding]
    holdings: list[Holding]
    exposures: list[Exposure]
    standards: list[Result]

    @property
    def is_failing(self) -> bool:
        """Whether something is critical or high."""
        return any(one.severity in FAILING for one in self.findings)


async def read_inventory(settings: Settings, places: Places, checkout: Path, now: datetime) -> Inventory:
    """Everything that can be read from here."""
    missing: list[NotLookedAt] = []
    books = await _books(settings, missing)
    last = last_time.read(settings.directory)
    files = reading_files.read_files(settings, places)
    return Inventory(
        at=now,
        settings=settings,
        files=files,
        tower=await _tower(settings, files, missing),
        books=books,
        packages=reading_files.read_packages(places, checkout),
        advisories=advisory_files.read(settings.assessment.advisories_dir),
        last_at=last.made_at if last else None,
        not_looked_at=tuple(missing),
    )


async def _tower(settings: Settings, files: Files, missing: list[NotLookedAt]) -> TowerStatus | None:
    """What the watchtower says of itself; asked only where payouts are made."""
    if settings.signer.token_file is None:
        return None
    address = settings.watchtower.address
    if address is None and files.tower is not None:
        address = f"{files.tower.host}:{files.tower.port}"
    how = "Start it: `holdfast serve watchtower`; or set `[watchtower] address`."
    if address is None:
        missing.append(NotLookedAt("watchtower", "its address is not known", how))
        return None
    try:
        return await ask_status(address)
    except HoldfastError as error:
        missing.append(NotLookedAt("watchtower", f"{error.title().removesuffix('.')} [{error.code}]", how))
        return None


async def _books(settings: Settings, missing: list[NotLookedAt]) -> Books | None:
    try:
        async with (
            with_database(settings) as access,
            connected(access.url, password=access.password) as connection,
            connection.transaction(),
        ):
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return await read_books(connection)
    except HoldfastError as error:
        reason = f"{error.title().removesuffix('.')} [{error.code}]"
        missing.append(NotLookedAt("database", reason, "Start it: `holdfast serve database`; then run it again."))
        return None


def judge(inventory: Inventory) -> list[Finding]:
    """Every finding, worst first."""
    judging = Judge(KINDS, inventory.is_test)
    return worst_first(
        [
            *findings_of_keys.find(inventory, judging),
            *findings_of_money.find(inventory, judging),
            *findings_of_set_up.find(inventory, judging),
        ]
    )


def assess(inventory: Inventory, seconds: int) -> Assessment:
    """The whole report. `seconds`: from the first theft to the freeze."""
    findings = judge(inventory)
    return Assessment(
        at=inventory.at,
        last_at=inventory.last_at,
        seconds=seconds,
        findings=findings,
        holdings=holdings(inventory),
        exposures=exposures(inventory, seconds),
        standards=results(findings, pays_out=inventory.settings.signer.token_file is not None),
    )
