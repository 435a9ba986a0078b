"""See `sql/0002_payments.sql`."""

from holdfast.runtime.migrations.run import run_file

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    run_file("0002_payments.sql")
