"""What the parallel run of old and new answers found."""

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = [
    # Each flip of a flag: its definition before and after, or 'absent', or 'unreadable'.
    """
    CREATE TABLE rollout_event (
        id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at      timestamptz NOT NULL DEFAULT now(),
        flag    text NOT NULL,
        before  text,
        after   text NOT NULL
    )
    """,
    "CREATE INDEX rollout_event_flag ON rollout_event (flag, id)",
    # How old and new answers differed: a row per field and kind, so there are never many. No value is kept, but hashes.
    """
    CREATE TABLE shadow_difference (
        field        text NOT NULL,
        kind         text NOT NULL,
        count        bigint NOT NULL,
        booking_ids  text[] NOT NULL,
        old_hashes   text[] NOT NULL,
        new_hashes   text[] NOT NULL,
        first_seen   timestamptz NOT NULL DEFAULT now(),
        last_seen    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (field, kind)
    )
    """,
    """
    CREATE TABLE shadow_run (
        day             date PRIMARY KEY,
        comparisons     bigint NOT NULL,
        rows            bigint NOT NULL,
        rows_different  bigint NOT NULL
    )
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
