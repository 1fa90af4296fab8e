-- What live applies and readers need, made when the bulk is in: an index built at once costs a fraction of one kept.
CREATE INDEX IF NOT EXISTS activity_user ON activity (user_id, time, event_id);
CREATE INDEX IF NOT EXISTS activity_booking ON activity (booking_id);
CREATE UNIQUE INDEX IF NOT EXISTS booking_fact_id ON booking_fact (booking_id);
CREATE INDEX IF NOT EXISTS booking_fact_user ON booking_fact (user_id, created_at) WHERE present;
CREATE UNIQUE INDEX IF NOT EXISTS payment_fact_id ON payment_fact (payment_id);
CREATE INDEX IF NOT EXISTS payment_fact_booking ON payment_fact (booking_id);
CREATE UNIQUE INDEX IF NOT EXISTS currency_totals_user ON currency_totals (user_id, currency);
