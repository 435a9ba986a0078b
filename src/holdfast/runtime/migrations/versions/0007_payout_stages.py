"""See `sql/0007_payout_stages.sql`."""

from holdfast.runtime.migrations import MIGRATIONS
from holdfast.runtime.migrations.run import run_file

revision = "0007"
down_revision = MIGRATIONS[MIGRATIONS.index(revision) - 1]


def upgrade() -> None:
    """Make the tables."""
    run_file("0007_payout_stages.sql")
