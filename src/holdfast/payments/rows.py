"""Rows that must be there: the one place where a query that cannot come back empty says so."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T")


def there(row: T | None) -> T:
    """The row. A statement that always returns one did not: a bug of ours, so the process stops at it."""
    assert row is not None, "a statement that always returns a row returned none"  # noqa: S101  impossible, not expected
    return row
