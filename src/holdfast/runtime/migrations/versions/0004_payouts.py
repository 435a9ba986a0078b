"""See `sql/0004_payouts.sql`."""

from holdfast.runtime.migrations.run import run_file

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    """Make the tables."""
    run_file("0004_payouts.sql")
