"""Stripe's events as received, the newest version of each object, payments, and what may name a booking."""

from alembic import op

from shared import tables

revision = "0001"
down_revision = None

STATEMENTS = [
    *tables.EVENT_LOG,
    *tables.INBOX,
    *tables.DEAD_LETTER,
    # stripe_event: one row per evt_ id, however often it was delivered. The row is the queue: it is due while
    # next_attempt_at is set. A failed row without one waits for the operator.
    """
    CREATE TABLE stripe_event (
        id               text PRIMARY KEY,
        type             text NOT NULL,
        state            text NOT NULL DEFAULT 'received'
                         CHECK (state IN ('received', 'processed', 'ignored', 'failed', 'quarantined')),
        received_at      timestamptz NOT NULL,
        next_attempt_at  timestamptz,
        attempts         integer NOT NULL DEFAULT 0,
        error            text,
        decided_at       timestamptz,
        created          timestamptz,
        api_version      text,
        livemode         boolean,
        account          text,
        object_id        text,
        traceparent      text
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX stripe_event_due ON stripe_event (next_attempt_at) WHERE next_attempt_at IS NOT NULL",
    "CREATE INDEX stripe_event_failed ON stripe_event (received_at) WHERE state = 'failed'",
    # stripe_delivery: every delivery, byte for byte. The database computes the hash, so it is always the body's.
    # No foreign key: both rows are written by one statement and neither is ever removed.
    """
    CREATE TABLE stripe_delivery (
        id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id     text NOT NULL,
        received_at  timestamptz NOT NULL,
        headers      json NOT NULL,
        body         bytea NOT NULL,
        sha256       bytea NOT NULL GENERATED ALWAYS AS (sha256(body)) STORED
    )
    """,
    "CREATE INDEX stripe_delivery_event_id ON stripe_delivery (event_id, id)",
    # stripe_event_decision: what operators decided about stored events; only added to.
    """
    CREATE TABLE stripe_event_decision (
        id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        event_id    text NOT NULL,
        action      text NOT NULL CHECK (action IN ('retry', 'ignore')),
        reason      text,
        decided_by  text NOT NULL,
        decided_at  timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX stripe_event_decision_event_id ON stripe_event_decision (event_id, id)",
    # stripe_object: what is kept of all versions of one object. A row may be a mere name, locked before it is seen.
    # waits_for: the charge a refund or dispute has to learn its payment from.
    """
    CREATE TABLE stripe_object (
        id          text PRIMARY KEY,
        payment_id  uuid,
        waits_for   text,
        kept        json,
        unsettled   bigint
    ) WITH (fillfactor = 80)
    """,
    "CREATE INDEX stripe_object_payment_id ON stripe_object (payment_id)",
    "CREATE INDEX stripe_object_waits_for ON stripe_object (waits_for) WHERE waits_for IS NOT NULL",
    # Which objects a walk of Stripe's API reads again: those made since, or for ever (see domain/settled.py).
    "CREATE INDEX stripe_object_unsettled ON stripe_object (unsettled) WHERE unsettled IS NOT NULL",
    """
    CREATE TABLE payment (
        id                        uuid PRIMARY KEY,
        sequence                  bigint NOT NULL DEFAULT 0,
        booking_id                text,
        user_id                   text,
        booking_keys              text[] NOT NULL DEFAULT '{}',
        stripe_payment_intent_id  text UNIQUE,
        stripe_charge_id          text,
        stripe_checkout_session_id text,
        status                    text NOT NULL DEFAULT 'created'
                                  CHECK (status IN ('created', 'pending', 'succeeded', 'failed', 'canceled')),
        currency                  text,
        amount                    bigint NOT NULL DEFAULT 0 CHECK (amount >= 0),
        received                  bigint NOT NULL DEFAULT 0 CHECK (received >= 0),
        refunded                  bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
        disputed                  bigint NOT NULL DEFAULT 0 CHECK (disputed >= 0),
        net                       bigint NOT NULL GENERATED ALWAYS AS (received - refunded - disputed) STORED,
        open_disputes             integer NOT NULL DEFAULT 0,
        fee                       bigint,
        fee_currency              text,
        method                    text,
        card_brand                text,
        card_last4                text,
        paid_at                   timestamptz,
        created_at                timestamptz,
        changed_at                timestamptz,
        migrated                  boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 80)
    """,
    # Without a list of entries still to be sorted in, which every look-up would go through.
    "CREATE INDEX payment_booking_keys ON payment USING gin (booking_keys) WITH (fastupdate = off)",
    "CREATE INDEX payment_unmatched ON payment (created_at) WHERE booking_id IS NULL",
    # The newest known state of every refund, for people and the read API.
    """
    CREATE VIEW refund AS
    SELECT id, payment_id,
           kept #>> '{newest,object,charge}' AS stripe_charge_id,
           CAST(kept #>> '{newest,object,amount}' AS bigint) AS amount,
           kept #>> '{newest,object,currency}' AS currency,
           kept #>> '{newest,object,status}' AS status,
           kept #>> '{newest,object,reason}' AS reason,
           to_timestamp(CAST(kept #>> '{newest,seen}' AS bigint)) AS event_created,
           kept #>> '{newest,event_id}' AS event_id
    FROM stripe_object WHERE kept #>> '{newest,object,kind}' = 'refund'
    """,
    """
    CREATE VIEW dispute AS
    SELECT id, payment_id,
           kept #>> '{newest,object,charge}' AS stripe_charge_id,
           CAST(kept #>> '{newest,object,amount}' AS bigint) AS amount,
           kept #>> '{newest,object,currency}' AS currency,
           kept #>> '{newest,object,status}' AS status,
           kept #>> '{newest,object,reason}' AS reason,
           kept #> '{newest,object,movements}' AS movements,
           to_timestamp(CAST(kept #>> '{newest,seen}' AS bigint)) AS event_created,
           kept #>> '{newest,event_id}' AS event_id
    FROM stripe_object WHERE kept #>> '{newest,object,kind}' = 'dispute'
    """,
    # fetch_request: objects to be read from Stripe's API, because what events said is not enough. Due while done_at
    # is null. kind is the object's, or 'refunds' for all refunds of a charge.
    """
    CREATE TABLE fetch_request (
        object_id     text NOT NULL,
        kind          text NOT NULL,
        reason        text NOT NULL,
        requested_at  timestamptz NOT NULL,
        done_at       timestamptz,
        PRIMARY KEY (object_id, kind)
    )
    """,
    "CREATE INDEX fetch_request_due ON fetch_request (requested_at) WHERE done_at IS NULL",
    # booking_key: every name under which a booking was ever known (its id, its reference, the PaymentIntent it
    # stored). Only added to, so what a payment matches does not depend on the order of booking events.
    """
    CREATE TABLE booking_key (
        key         text NOT NULL,
        booking_id  text NOT NULL,
        PRIMARY KEY (key, booking_id)
    )
    """,
    # booking_link: whose a booking is, by the highest sequence heard of.
    """
    CREATE TABLE booking_link (
        booking_id  text PRIMARY KEY,
        user_id     text NOT NULL,
        sequence    bigint NOT NULL
    )
    """,
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("tables that hold data are not dropped; restore a backup instead")
