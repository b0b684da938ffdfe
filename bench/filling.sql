-- Makes many stored calls of the few that `filling.py` had the store itself write. Everything here is temporary, and gone
-- with the connection. Counted by n: the same number is the same call wherever it stands.

-- A time-ordered id of this millisecond (see router/ids.py).
CREATE FUNCTION pg_temp.id_of(ms bigint, what text, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex(ms), 12, '0') || '7' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid
    FROM md5(what || n) AS hash
$$;

-- What stands for a call, or a content, in `seen`: as good as random, and as long as a keyed hash.
CREATE FUNCTION pg_temp.hash_of(what text, n bigint) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT decode(md5(what || n), 'hex')
$$;

-- A field as it goes into a digest (see router/store/rows.py).
CREATE FUNCTION pg_temp.field(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT convert_to(octet_length(value) || ':', 'UTF8') || value
$$;

CREATE TEMPORARY TABLE sample_events AS
SELECT row_number() OVER (ORDER BY id) - 1 AS k, events.*,
    pg_temp.field(convert_to(content_type, 'UTF8')) || pg_temp.field(convert_to(routes, 'UTF8'))
        || pg_temp.field(convert_to(call, 'UTF8')) || pg_temp.field(body) AS end_of_digest
FROM events;
CREATE TEMPORARY TABLE sample_deliveries AS
SELECT sample_events.k, deliveries.* FROM deliveries JOIN sample_events ON sample_events.id = deliveries.event_id;
CREATE TEMPORARY TABLE sample_attempts AS
SELECT sample_deliveries.k, sample_deliveries.accepted_at, attempts.*
FROM attempts JOIN sample_deliveries ON sample_deliveries.id = attempts.delivery_id;
ANALYZE sample_events, sample_deliveries, sample_attempts;

-- The calls `low` to `high` make the month `label`, one every `step` milliseconds from `start` on. Its tables get their
-- indexes when they become partitions, which is when they are full.
CREATE FUNCTION pg_temp.fill_month(
    label text, which date, first uuid, beyond uuid, start bigint, step double precision, low bigint, high bigint
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    samples bigint;
BEGIN
    SELECT count(*) INTO samples FROM sample_events;
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL EXCLUDING INDEXES)', parent || '_' || label, parent);
    END LOOP;
    CREATE TEMPORARY TABLE made ON COMMIT DROP AS
    SELECT n, n % samples AS k, ms, pg_temp.id_of(ms, 'event', n) AS id, timestamptz 'epoch' + ms * interval '1 ms' AS at
    FROM generate_series(low, high) AS n CROSS JOIN LATERAL (SELECT start + ((n - low) * step)::bigint AS ms) AS time;
    EXECUTE format($sql$
        INSERT INTO %I (
            id, sequence, received_at, revision, source, format, direction, call_id, channel_id, channel_name, routed,
            routes, rules, content_type, seen_call, seen_digest, sha256, call, body
        )
        SELECT made.id, n + 1, made.at, 1, source, format, direction, call_id, channel_id, channel_name, routed, routes,
            rules, content_type, pg_temp.hash_of('call', n), pg_temp.hash_of('content', n),
            sha256(pg_temp.field(sha256(
                pg_temp.field(convert_to(made.id::text, 'UTF8')) || pg_temp.field(convert_to(source, 'UTF8'))
                || pg_temp.field(convert_to(format, 'UTF8')) || pg_temp.field(convert_to((ms * 1000)::text, 'UTF8'))
                || end_of_digest
            )) || pg_temp.field('1')),
            call, body
        FROM made JOIN sample_events USING (k)
    $sql$, 'events_' || label);
    EXECUTE format($sql$
        INSERT INTO %I (
            event_id, id, accepted_at, due, settled_at, attempt, retries, sink, state, reason, recipient, remote_id, parts
        )
        SELECT made.id, pg_temp.id_of(ms, 'delivery', n), at, at, at + (settled_at - accepted_at), attempt, retries, sink,
            state, reason, recipient, remote_id, parts
        FROM made JOIN sample_deliveries USING (k)
    $sql$, 'deliveries_' || label);
    EXECUTE format($sql$
        INSERT INTO %I (event_id, delivery_id, attempt, started_at, ended_at, outcome, reason)
        SELECT made.id, pg_temp.id_of(ms, 'delivery', n), attempt, at + (started_at - accepted_at),
            at + (ended_at - accepted_at), outcome, reason
        FROM made JOIN sample_attempts USING (k)
    $sql$, 'attempts_' || label);
    INSERT INTO seen (source, call, digest, event_id, revision, first_at, times, last_at)
    SELECT source, pg_temp.hash_of('call', n), pg_temp.hash_of('content', n), made.id, 1, at, 1, at
    FROM made JOIN sample_events USING (k);
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, parent || '_' || label, first, beyond
        );
    END LOOP;
    INSERT INTO event_totals (month, routed, shard, n)
    SELECT which, routed, 0, count(*) FROM made JOIN sample_events USING (k) GROUP BY routed;
    INSERT INTO delivery_totals (month, sink, state, shard, n)
    SELECT which, sink, state, 0, count(*) FROM made JOIN sample_deliveries USING (k) GROUP BY sink, state;
    INSERT INTO channels AS channel (source, by_id, key, shard, name, named_at, named_by, calls, last_at)
    SELECT source, true, channel_id, 0, max(channel_name), max(made.at), max(n + 1), count(*), max(made.at)
    FROM made JOIN sample_events USING (k) GROUP BY source, channel_id
    ON CONFLICT (source, by_id, key, shard) DO UPDATE SET
        calls = channel.calls + excluded.calls, named_at = excluded.named_at, named_by = excluded.named_by,
        last_at = excluded.last_at;
    PERFORM setval('event_sequence', high + 1);
END $$;

-- The indexes of a table go, and come again as they were: what is loaded meanwhile needs them once, not row by row.
CREATE TEMPORARY TABLE put_aside (
    number integer GENERATED ALWAYS AS IDENTITY, index text, is_constraint boolean, again text
);
CREATE FUNCTION pg_temp.put_indexes_aside(which regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    INSERT INTO put_aside (index, is_constraint, again)
    SELECT indexrelid::regclass::text, con.oid IS NOT NULL, CASE
        WHEN con.oid IS NULL THEN pg_get_indexdef(indexrelid)
        ELSE format('ALTER TABLE %s ADD CONSTRAINT %I %s', which, con.conname, pg_get_constraintdef(con.oid))
    END
    FROM pg_index LEFT JOIN pg_constraint AS con ON con.conindid = indexrelid AND con.contype IN ('p', 'u')
    WHERE indrelid = which ORDER BY indexrelid;
    FOR one IN SELECT index, is_constraint FROM put_aside LOOP
        IF one.is_constraint THEN
            EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %s', which, one.index);
        ELSE
            EXECUTE format('DROP INDEX %s', one.index);
        END IF;
    END LOOP;
END $$;
CREATE FUNCTION pg_temp.put_indexes_back() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one record;
BEGIN
    FOR one IN SELECT again FROM put_aside ORDER BY number LOOP
        EXECUTE one.again;
    END LOOP;
END $$;
