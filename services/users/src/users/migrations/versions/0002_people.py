"""What staff write and decide about people."""

from alembic import op

revision = "0002"
down_revision = "0001"

# user_id is whom it was written about, whoever that person counts as now: an unmerge takes it along.
NOTE = """
    CREATE TABLE note (
        id               uuid PRIMARY KEY,
        user_id          uuid NOT NULL REFERENCES users,
        kind             text NOT NULL,
        text             text NOT NULL,
        internal         boolean NOT NULL,
        author           text NOT NULL,
        created_at       timestamptz NOT NULL,
        idempotency_key  text NOT NULL UNIQUE
    )
"""
COMMUNICATION = """
    CREATE TABLE communication (
        id               uuid PRIMARY KEY,
        user_id          uuid NOT NULL REFERENCES users,
        channel          text NOT NULL,
        direction        text NOT NULL,
        subject          text,
        body             text,
        status           text,
        booking_id       text,
        author           text NOT NULL,
        created_at       timestamptz NOT NULL,
        idempotency_key  text NOT NULL UNIQUE
    )
"""
# before and after hold values of the person; erasing takes them away, with reasons, and leaves who and when.
AUDIT = """
    CREATE TABLE audit (
        id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at        timestamptz NOT NULL DEFAULT now(),
        by        text NOT NULL,
        action    text NOT NULL,
        user_id   uuid NOT NULL REFERENCES users,
        other_id  uuid REFERENCES users,
        reason    text,
        before    jsonb,
        after     jsonb
    )
"""
# Pairs are kept once, the smaller id first.
SUGGESTION = """
    CREATE TABLE duplicate_suggestion (
        one_id    uuid NOT NULL REFERENCES users,
        other_id  uuid NOT NULL REFERENCES users,
        reasons   text[] NOT NULL,
        score     integer NOT NULL,
        PRIMARY KEY (one_id, other_id),
        CHECK (one_id < other_id)
    )
"""
DISMISSAL = """
    CREATE TABLE duplicate_dismissal (
        one_id    uuid NOT NULL REFERENCES users,
        other_id  uuid NOT NULL REFERENCES users,
        by        text NOT NULL,
        at        timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (one_id, other_id),
        CHECK (one_id < other_id)
    )
"""
STATEMENTS = [
    "CREATE EXTENSION IF NOT EXISTS fuzzystrmatch",
    NOTE,
    "CREATE INDEX note_newest ON note (user_id, created_at, id)",
    COMMUNICATION,
    "CREATE INDEX communication_newest ON communication (user_id, created_at, id)",
    AUDIT,
    "CREATE INDEX audit_user_id ON audit (user_id)",
    "CREATE INDEX audit_other_id ON audit (other_id) WHERE other_id IS NOT NULL",
    SUGGESTION,
    "CREATE INDEX duplicate_suggestion_best ON duplicate_suggestion (score DESC, one_id, other_id)",
    "CREATE INDEX duplicate_suggestion_other_id ON duplicate_suggestion (other_id)",
    DISMISSAL,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
