#!/bin/sh
# The routers' user and their database, made once, when the server is new. The user may do what he likes in there, and
# nothing else on the server.
set -eu
psql --no-psqlrc --set=ON_ERROR_STOP=1 --set=password="$(cat "${STORE_PASSWORD_FILE:-/run/secrets/store}")" \
    --username=postgres --dbname=postgres <<'SQL'
CREATE ROLE aftercall LOGIN PASSWORD :'password';
CREATE DATABASE aftercall OWNER aftercall ENCODING 'UTF8' TEMPLATE template0;
REVOKE ALL ON DATABASE aftercall FROM PUBLIC;
SQL
