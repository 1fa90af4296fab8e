"""Staff accounts, sessions, tokens, and the audit of what staff did."""

from alembic import op

revision = "0003"
down_revision = "0002"

# Accounts are disabled, tokens revoked, neither deleted: the audit names them. Secrets are kept as hashes alone.
ACCOUNTS = [
    """
    CREATE TABLE staff (
        id             uuid PRIMARY KEY,
        email          text NOT NULL UNIQUE,
        name           text NOT NULL,
        role           text NOT NULL CHECK (role IN ('viewer', 'staff', 'admin')),
        password_hash  text NOT NULL,
        created_at     timestamptz NOT NULL DEFAULT now(),
        disabled_at    timestamptz
    )
    """,
    """
    CREATE TABLE staff_session (
        id_hash       bytea PRIMARY KEY,
        staff_id      uuid NOT NULL REFERENCES staff (id),
        created_at    timestamptz NOT NULL DEFAULT now(),
        last_seen_at  timestamptz NOT NULL DEFAULT now(),
        expires_at    timestamptz NOT NULL
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX staff_session_staff_id ON staff_session (staff_id)",
    """
    CREATE TABLE api_token (
        id            uuid PRIMARY KEY,
        token_hash    bytea NOT NULL UNIQUE,
        name          text NOT NULL,
        role          text NOT NULL CHECK (role IN ('viewer', 'staff', 'admin')),
        created_at    timestamptz NOT NULL DEFAULT now(),
        expires_at    timestamptz NOT NULL,
        last_used_at  timestamptz,
        revoked_at    timestamptz
    ) WITH (fillfactor = 80)
    """,
]

# key is a hash of an account, an address, or both: nobody's e-mail is in it. free_at is when the next attempt may be.
THROTTLE = [
    """
    CREATE TABLE login_throttle (
        key       text PRIMARY KEY,
        attempts  integer NOT NULL,
        last_at   timestamptz NOT NULL,
        free_at   timestamptz NOT NULL
    ) WITH (fillfactor = 80)
    """,
]

# actor_id is an account's or a token's; the nil uuid is an operator at the command line. What another service does is
# written down before it is asked, with an unknown outcome until it has answered.
AUDIT = [
    """
    CREATE TABLE audit (
        id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        at              timestamptz NOT NULL DEFAULT now(),
        actor_id        uuid NOT NULL,
        actor           text NOT NULL,
        role            text NOT NULL,
        action          text NOT NULL,
        entity          text NOT NULL,
        before          jsonb,
        after           jsonb,
        correlation_id  text,
        outcome         text NOT NULL CHECK (outcome IN ('done', 'refused', 'unknown'))
    )
    """,
    "CREATE INDEX audit_entity ON audit (entity, id)",
    "CREATE INDEX audit_actor_id ON audit (actor_id, id)",
    "CREATE INDEX audit_action ON audit (action, id)",
]

STATEMENTS = [*ACCOUNTS, *THROTTLE, *AUDIT]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
