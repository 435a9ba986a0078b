"""See `sql/0001_ledger.sql`."""

from holdfast.runtime.migrations.run import run_file

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    run_file("0001_ledger.sql")
