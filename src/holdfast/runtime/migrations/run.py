"""Runs the numbered SQL files through alembic, which keeps count of them in `public.alembic_version`."""

from __future__ import annotations

import asyncio

import psycopg
from alembic import command, op
from alembic.config import Config
from psycopg.conninfo import make_conninfo
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from holdfast.runtime.migrations import SQL

PACKAGE = "holdfast.runtime:migrations"
# Alembic's own table, made before it runs: servers may look at it as soon as it is there.
REVISION_TABLE = b"""
CREATE TABLE IF NOT EXISTS public.alembic_version (
    version_num varchar(32) NOT NULL CONSTRAINT alembic_version_pkc PRIMARY KEY
);
GRANT SELECT ON public.alembic_version TO holdfast_platform;
"""


async def upgrade(owner_url: str, password: str | None) -> None:
    """Run every migration that is pending, each in a transaction of its own."""
    await asyncio.to_thread(_upgrade, owner_url, password)


def run_file(name: str) -> None:
    """Run one file of `sql/` in the migration's transaction: as it is, without SQLAlchemy reading it."""
    cursor = op.get_bind().connection.cursor()
    cursor.execute((SQL / name).read_text(encoding="utf-8"))
    cursor.close()


def _upgrade(owner_url: str, password: str | None) -> None:
    conninfo = make_conninfo(owner_url, password=password)
    with psycopg.connect(conninfo) as connection:
        connection.execute(REVISION_TABLE)
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=NullPool)
    with engine.connect() as connection:
        config = Config()
        config.set_main_option("script_location", PACKAGE)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()
