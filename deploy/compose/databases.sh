#!/bin/sh
# Run once, by the image of PostgreSQL, when its volume is new: a database and a role for each context. No context can open another's.
set -eu
for context in campaign partner tracking; do
    psql --set=ON_ERROR_STOP=1 --set=name="alpes_$context" --set=password="$ALPES_DATABASE_PASSWORD" \
        --username="$POSTGRES_USER" --dbname=postgres <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT, TEMPORARY ON DATABASE :"name" FROM PUBLIC;
SQL
done
