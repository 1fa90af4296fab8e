#!/usr/bin/env bash
# Run once by the database image on an empty volume: the legacy application's table, empty, for a gateway that is not
# pointed at the legacy application's own database.
set -euo pipefail

psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname bookings_gateway \
    --command 'SET ROLE bookings_gateway' --file "${LEGACY_TABLE_SQL:-/legacy_bookings.sql}"
