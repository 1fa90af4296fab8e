"""Forms of the old server that an expression cannot give: far local times, lists of lists. Comparisons that failed."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = [
    # The instant of a local time outside the years 1 to 9999, as JavaScript writes it; NULL where it has no time.
    # The calendar repeats itself every 400 years, so it is looked up in years that PostgreSQL has room around: those of
    # the first clocks stay before all clocks, later ones keep their summer time. One that comes twice is the earlier.
    """
    CREATE FUNCTION gateway.far_local_time(moment timestamp, zone text) RETURNS text
    LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
    DECLARE
        year integer;
        shift integer;
        near timestamp;
        instant timestamp;
    BEGIN
        IF NOT isfinite(moment) THEN
            RETURN NULL;
        END IF;
        year := extract(year FROM moment);
        shift := CASE WHEN year < 2000 THEN year - 800 ELSE year - 2000 END / 400 * 400;
        near := moment - make_interval(years => shift);
        instant := near AT TIME ZONE zone AT TIME ZONE 'UTC';
        IF (instant - interval '1 hour') AT TIME ZONE 'UTC' AT TIME ZONE zone = near THEN
            instant := instant - interval '1 hour';
        END IF;
        IF instant > timestamp '275760-09-13' - make_interval(years => shift) THEN
            RETURN NULL;
        END IF;
        year := extract(year FROM instant) + shift;
        RETURN CASE WHEN year BETWEEN 0 AND 9999 THEN lpad(CAST(year AS text), 4, '0')
                    ELSE CASE WHEN year < 0 THEN '-' ELSE '+' END || lpad(CAST(abs(year) AS text), 6, '0') END
            || to_char(instant, '-MM-DD"T"HH24:MI:SS.MS"Z"');
    END $$
    """,
    # Items, each as JSON, in the order PostgreSQL keeps them, put into lists of lists of the given lengths.
    """
    CREATE FUNCTION gateway.nested(items text[], lengths integer[]) RETURNS json
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
    BEGIN
        FOR d IN REVERSE cardinality(lengths)..2 LOOP
            items := ARRAY(
                SELECT concat('[', string_agg(item, ',' ORDER BY place), ']')
                FROM unnest(items) WITH ORDINALITY AS listed (item, place)
                GROUP BY (place - 1) / lengths[d] ORDER BY (place - 1) / lengths[d]);
        END LOOP;
        RETURN CAST(concat('[', array_to_string(items, ','), ']') AS json);
    END $$
    """,
    "ALTER TABLE shadow_run ADD COLUMN failures bigint NOT NULL DEFAULT 0",
]


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    raise NotImplementedError("forms that answers are made of are not dropped; restore a backup instead")
