"""One real set-up with its database running, what an assessment reads of it, and what breaking one thing adds."""

from dataclasses import dataclass, replace
from pathlib import Path

from psycopg import AsyncConnection

from holdfast.faces.assess.assessing import judge, read_inventory
from holdfast.faces.assess.inventory import Inventory
from holdfast.faces.assess.reading_database import read_books
from holdfast.faces.assess.reading_files import Places
from holdfast.faces.assess.severities import Finding
from holdfast.runtime.clock import SYSTEM_CLOCK
from holdfast.runtime.config import load
from holdfast.runtime.settings import Settings


@dataclass(frozen=True)
class Assessed:
    """A local set-up as `holdfast init` makes it, and its inventory."""

    directory: Path
    url: str
    """Of its database, as its owner."""
    good: Inventory

    async def read(self, settings: Settings | None = None) -> Inventory:
        """Everything read anew: what was broken on the disk is in it."""
        read = settings or load(self.directory / "holdfast.toml")
        return await read_inventory(read, Places(), self.directory, SYSTEM_CLOCK.now())

    def added(self, broken: Inventory) -> dict[str, Finding]:
        """What is found in it that is not found in the good one, by kind."""
        return self.added_to(self.good, broken)

    def added_to(self, before: Inventory, after: Inventory) -> dict[str, Finding]:
        """What is found after and was not before, by kind."""
        known = {one.id for one in judge(before)}
        return {one.kind: one for one in judge(after) if one.id not in known}


async def with_books(good: Inventory, connection: AsyncConnection) -> Inventory:
    """The good inventory, with what the database says now."""
    return replace(good, books=await read_books(connection))
