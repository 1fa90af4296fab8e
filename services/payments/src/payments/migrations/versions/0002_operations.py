"""What people and reconciliation do: refunds asked for, payments recorded by hand, matches by hand, walks of Stripe."""

from alembic import op

revision = "0002"
down_revision = "0001"

STATEMENTS = [
    # Where a delivery came from: Stripe's webhook, or List Events because the webhook never came.
    """
    ALTER TABLE stripe_delivery
    ADD COLUMN source text NOT NULL DEFAULT 'webhook' CHECK (source IN ('webhook', 'reconcile'))
    """,
    "CREATE INDEX stripe_event_object_id ON stripe_event (object_id) WHERE object_id IS NOT NULL",
    # A booking given or taken away by hand stands, whatever keys the payment or later bookings carry.
    "ALTER TABLE payment ADD COLUMN matched_by_hand boolean NOT NULL DEFAULT false",
    "CREATE INDEX payment_newest ON payment (created_at DESC, id DESC)",
    "CREATE INDEX payment_booking_id ON payment (booking_id) WHERE booking_id IS NOT NULL",
    "CREATE INDEX payment_stripe_charge_id ON payment (stripe_charge_id) WHERE stripe_charge_id IS NOT NULL",
    """
    CREATE TABLE payment_match (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        payment_id  uuid NOT NULL,
        booking_id  text,
        former      text,
        decided_by  text NOT NULL,
        decided_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX payment_match_payment_id ON payment_match (payment_id)",
    # What a booking is recognised by when a payment names none: suggestions only.
    """
    CREATE TABLE booking_hint (
        booking_id  text PRIMARY KEY,
        sequence    bigint NOT NULL,
        reference   text,
        email       text,
        amount      bigint,
        currency    text,
        created_at  timestamptz,
        deleted     boolean NOT NULL
    )
    """,
    "CREATE INDEX booking_hint_email ON booking_hint (email) WHERE email IS NOT NULL",
    "CREATE INDEX booking_hint_reference ON booking_hint (reference) WHERE reference IS NOT NULL",
    # refund_request: our side of a refund, written before Stripe is asked. The id makes Stripe's idempotency key, so
    # however often it is sent, it is one refund. It is to be sent while next_attempt_at is set.
    """
    CREATE TABLE refund_request (
        id                uuid PRIMARY KEY,
        payment_id        uuid NOT NULL,
        amount            bigint NOT NULL CHECK (amount > 0),
        currency          text NOT NULL,
        reason            text,
        requested_by      text NOT NULL,
        requested_at      timestamptz NOT NULL DEFAULT now(),
        state             text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'accepted', 'refused')),
        attempts          integer NOT NULL DEFAULT 0,
        next_attempt_at   timestamptz,
        error             text,
        stripe_refund_id  text UNIQUE,
        decided_at        timestamptz
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX refund_request_payment_id ON refund_request (payment_id)",
    "CREATE INDEX refund_request_due ON refund_request (next_attempt_at) WHERE next_attempt_at IS NOT NULL",
    # manual_payment: who recorded a payment of the same id, and who took it back.
    """
    CREATE TABLE manual_payment (
        id           uuid PRIMARY KEY,
        method       text NOT NULL CHECK (method IN ('cash', 'bank_transfer', 'invoice')),
        amount       bigint NOT NULL CHECK (amount > 0),
        currency     text NOT NULL,
        paid_at      timestamptz NOT NULL,
        booking      text NOT NULL,
        reference    text,
        recorded_by  text NOT NULL,
        recorded_at  timestamptz NOT NULL DEFAULT now(),
        canceled_by  text,
        canceled_at  timestamptz,
        cancel_reason text
    )
    """,
    # reconcile_run: one row per complete walk; the latest until is where the next one starts from.
    """
    CREATE TABLE reconcile_run (
        id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        since        timestamptz NOT NULL,
        until        timestamptz NOT NULL,
        started_at   timestamptz NOT NULL,
        finished_at  timestamptz NOT NULL DEFAULT now(),
        report       json NOT NULL
    )
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
