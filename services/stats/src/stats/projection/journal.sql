-- The journal: every consumed event once. Partitioned by the event's own id, because ids are uuid7 and so sorted by
-- the moment they were made: months become partitions, and an id is unique over all of them.
CREATE SEQUENCE journal_seq;
CREATE TABLE journal (
    seq          bigint NOT NULL DEFAULT nextval('public.journal_seq'),
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    event_id     uuid PRIMARY KEY,
    type         text COLLATE "C" NOT NULL,
    subject      text COLLATE "C" NOT NULL,
    sequence     bigint NOT NULL,
    time         timestamptz NOT NULL,
    received_at  timestamptz NOT NULL DEFAULT now(),
    booking_id   text COLLATE "C",
    user_id      uuid,
    merged_into  uuid,
    currency     text COLLATE "C",
    amount       numeric,
    received     numeric,
    refunded     numeric,
    disputed     numeric,
    created_at   timestamptz,
    fault        text GENERATED ALWAYS AS (
        CASE
            WHEN sequence < 1 THEN 'the sequence is below 1'
            WHEN time - received_at > interval '1 day' THEN 'its time lies in the future'
            WHEN type IN ('booking.created', 'booking.updated', 'booking.deleted') THEN
                CASE WHEN booking_id IS NULL OR currency IS NULL THEN 'a booking without id or currency'
                     WHEN abs(amount) >= 1e16 THEN 'an amount out of range' END
            WHEN type IN ('payment.pending', 'payment.succeeded', 'payment.failed', 'payment.canceled',
                          'payment.refunded', 'payment.disputed') THEN
                CASE WHEN currency IS NULL OR received IS NULL OR refunded IS NULL OR disputed IS NULL
                         THEN 'a payment without currency or amounts'
                     WHEN received < 0 OR refunded < 0 OR disputed < 0 OR amount < 0 THEN 'a negative amount'
                     WHEN greatest(amount, received, refunded, disputed) >= 1e20 THEN 'an amount out of range' END
            WHEN type = 'user.booking_linked' THEN
                CASE WHEN booking_id IS NULL OR user_id IS NULL THEN 'a link without booking or user' END
            WHEN type IN ('user.registered', 'user.updated', 'user.erased', 'user.merged', 'user.unmerged') THEN
                CASE WHEN user_id IS NULL THEN 'a user without an id' END
            ELSE 'an unknown type'
        END
    ) STORED
) PARTITION BY RANGE (event_id);
CREATE INDEX journal_xid_seq ON journal (xid, seq);
CREATE INDEX journal_fault ON journal (seq) WHERE fault IS NOT NULL;
CREATE INDEX journal_negative ON journal (seq) WHERE amount < 0;
