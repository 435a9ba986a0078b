"""See `sql/0006_direct_payouts.sql`."""

from holdfast.runtime.migrations import MIGRATIONS
from holdfast.runtime.migrations.run import run_file

revision = "0006"
down_revision = MIGRATIONS[MIGRATIONS.index(revision) - 1]


def upgrade() -> None:
    """Change the tables."""
    run_file("0006_direct_payouts.sql")
