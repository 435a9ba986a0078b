"""See `sql/0005_signer.sql`."""

from holdfast.runtime.migrations import MIGRATIONS
from holdfast.runtime.migrations.run import run_file

revision = "0005"
down_revision = MIGRATIONS[MIGRATIONS.index(revision) - 1]


def upgrade() -> None:
    """Make the tables."""
    run_file("0005_signer.sql")
