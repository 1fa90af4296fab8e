"""Links let go of keep what users said: they come back with their booking's next version, without being told again."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS: list[str] = [
    # let_go_of: whose the booking is by users' word, while its import is taken back and user_id is therefore empty.
    "ALTER TABLE booking_user ADD COLUMN let_go_of uuid",
    "CREATE INDEX booking_user_let_go ON booking_user (booking_id) WHERE let_go_of IS NOT NULL",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
