"""Links let go of keep what users said, and come back with their booking's next version. When a run last went on."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS: list[str] = [
    # let_go_of: whose the booking is by users' word, while its import is taken back and user_id is therefore empty.
    "ALTER TABLE booking_user ADD COLUMN let_go_of uuid",
    "CREATE INDEX booking_user_let_go ON booking_user (booking_id) WHERE let_go_of IS NOT NULL",
    # resumed_at: since when the process that holds the run has it; nothing, while that is who began it.
    "ALTER TABLE import_run ADD COLUMN resumed_at timestamptz",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
