"""The tables, as numbered SQL files that alembic runs in order. Forward only: money's history is not undone."""

from __future__ import annotations

from pathlib import Path

SQL = Path(__file__).parent / "sql"

MIGRATIONS = tuple(sorted(path.name.split("_", 1)[0] for path in SQL.glob("[0-9][0-9][0-9][0-9]_*.sql")))
"""Revision ids, oldest first: the numbers of the files in `sql/`."""
