"""The journal, and the first generation of the projection."""

from importlib import resources

from alembic import op

from shared import money, tables

revision = "0001"
down_revision = None

STATEMENTS = [
    *tables.EVENT_LOG,
    *tables.DEAD_LETTER,
    """
    CREATE TABLE journal (
        seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        xid       xid8 NOT NULL DEFAULT pg_current_xact_id(),
        event_id  uuid NOT NULL UNIQUE,
        type      text NOT NULL,
        subject   text NOT NULL,
        sequence  bigint NOT NULL,
        time      timestamptz NOT NULL,
        data      jsonb NOT NULL
    )
    """,
    "CREATE INDEX journal_xid_seq ON journal (xid, seq)",
    # Which schema readers and live applies use. Exactly one is live.
    """
    CREATE TABLE generation (
        schema      text PRIMARY KEY,
        live        boolean NOT NULL,
        created_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE UNIQUE INDEX generation_live ON generation (live) WHERE live",
    "INSERT INTO generation (schema, live) VALUES ('generation_1', true)",
    # Decimals of a currency on Stripe's wire; generated from the one table of them, in shared.money.
    f"""
    CREATE FUNCTION public.currency_exponent(currency text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        CASE WHEN currency = ANY ('{{{",".join(sorted(money.ZERO_DECIMALS))}}}'::text[]) THEN 0
             WHEN currency = ANY ('{{{",".join(sorted(money.THREE_DECIMALS))}}}'::text[]) THEN 3
             ELSE 2 END
    """,
    # An amount always reads the same, whatever sums and differences it came from: "310.00", never "310.0".
    """
    CREATE FUNCTION public.amount_text(amount numeric, currency text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        CAST(round(amount, greatest(min_scale(amount), public.currency_exponent(currency))) AS text)
    """,
    """
    CREATE FUNCTION public.minor_text(minor numeric, currency text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN
        public.amount_text(minor / power(10::numeric, public.currency_exponent(currency)), currency)
    """,
    "CREATE SCHEMA generation_1",
    "SET LOCAL search_path TO generation_1, public",
    (resources.files("stats.projection") / "schema.sql").read_text(),
    "SET LOCAL search_path TO public",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        for part in statement.split(";\n"):
            if part.strip():
                op.execute(part)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
