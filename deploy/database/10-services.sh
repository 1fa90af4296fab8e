#!/usr/bin/env bash
# Run once by the database image on an empty volume: a database and a login role for each service, and no service may
# enter another's database.
set -euo pipefail

for service in users payments stats bookings_gateway; do
    prefix=$(printf '%s' "$service" | tr '[:lower:]' '[:upper:]')
    psql --no-psqlrc --quiet -v ON_ERROR_STOP=1 -v name="$service" --username "$POSTGRES_USER" --dbname postgres <<SQL
\getenv password ${prefix}_DATABASE_PASSWORD
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
SQL
done
