"""Staff accounts, sessions, tokens, and the audit of what staff did."""

from alembic import op

revision = "0003"
down_revision = "0002"

STATEMENTS: list[str] = []


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
