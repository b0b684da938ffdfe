-- Texts have the C collation: they are compared, never sorted for people. All lists are JSON. Columns that can be large
-- stand last.
--
-- What grows with every call (events, deliveries, attempts) is partitioned by the month of the event: ids begin with
-- their time, and all that belongs to an event carries its id. So a month is dropped whole when it is old enough, which
-- costs the same however many calls it had, and what belongs to an event is found in one partition. What fits no month
-- that was made ahead goes into the default partition, and is moved when its month is made: nothing is ever refused for
-- want of a partition. No foreign key ties the three together: it would be checked row by row when a month goes.
--
-- What has to be known across months is not partitioned: `seen` above all, whose constraint catches duplicates.

-- One row: the key of the hashes in `seen`, the same for all routers of this database.
CREATE TABLE seen_key (key bytea NOT NULL);

-- Which contents of which calls came, as keyed hashes only. Outlives the events. Its constraints decide, whatever routers
-- do at the same moment, what is a duplicate, and which revision of its call something is.
CREATE TABLE seen (
    source text COLLATE "C" NOT NULL,
    call bytea NOT NULL,
    digest bytea NOT NULL,
    event_id uuid NOT NULL,
    revision integer NOT NULL,
    first_at timestamptz NOT NULL,
    times bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (source, call, digest),
    UNIQUE (source, call, revision)
);
CREATE INDEX seen_by_age ON seen (last_at);
CREATE INDEX seen_by_source ON seen (source, last_at);

CREATE SEQUENCE event_sequence;

CREATE TABLE events (
    id uuid NOT NULL PRIMARY KEY,
    sequence bigint NOT NULL DEFAULT nextval('event_sequence'),
    received_at timestamptz NOT NULL,
    revision integer NOT NULL,
    source text COLLATE "C" NOT NULL,
    format text COLLATE "C" NOT NULL,
    direction text COLLATE "C" NOT NULL,
    call_id text COLLATE "C",
    channel_id text COLLATE "C",
    channel_name text COLLATE "C",
    routed text COLLATE "C" NOT NULL CHECK (routed IN ('routed', 'unmatched', 'unrouted')),
    routes text COLLATE "C" NOT NULL,
    rules text COLLATE "C" NOT NULL,
    content_type text COLLATE "C",
    seen_call bytea NOT NULL,                    -- with source and seen_digest: the key of its row in seen
    seen_digest bytea NOT NULL,
    sha256 bytea NOT NULL,                       -- of all that is delivered: shows damage
    call text COLLATE "C" NOT NULL,
    body bytea NOT NULL
) PARTITION BY RANGE (id);
CREATE TABLE events_default PARTITION OF events DEFAULT;
CREATE INDEX events_by_age ON events (received_at);
CREATE INDEX events_unrouted ON events (id) WHERE routed = 'unrouted';

CREATE TABLE deliveries (
    event_id uuid NOT NULL,
    id uuid NOT NULL,
    accepted_at timestamptz NOT NULL,
    due timestamptz NOT NULL,
    claimed_at timestamptz,
    claimed_until timestamptz,
    settled_at timestamptz,
    attempt integer NOT NULL DEFAULT 0,
    retries integer NOT NULL DEFAULT 0,
    lost integer NOT NULL DEFAULT 0,
    held boolean NOT NULL DEFAULT false,         -- it waits for its lane, not for a time
    ended boolean NOT NULL DEFAULT false,        -- an operator has said that nothing more is to be done
    sink text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL
        CHECK (state IN ('pending', 'claimed', 'delivered', 'dead', 'replayed', 'erased')),
    replay_of uuid,
    reason text COLLATE "C",
    recipient text COLLATE "C",
    remote_id text COLLATE "C",
    parts text COLLATE "C",
    claimed_by text COLLATE "C",                 -- the name of the router that has claimed it
    PRIMARY KEY (event_id, id)
) PARTITION BY RANGE (event_id);
CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT;
CREATE INDEX deliveries_by_id ON deliveries (id);
CREATE INDEX deliveries_by_sink ON deliveries (sink, id);
-- Claims go through this one alone, so they cost the same however much is stored beside what is due.
CREATE INDEX deliveries_due ON deliveries (sink, due, id) WHERE state = 'pending';
CREATE INDEX deliveries_claimed ON deliveries (sink, claimed_until) WHERE state = 'claimed';
CREATE INDEX deliveries_suspect ON deliveries (sink, due) WHERE lost > 1 AND state IN ('pending', 'claimed');
-- For lists alone: with `state || ''` they are none of the others' business. For as long as the statistics know of no
-- queue, each would look as good as these, and whoever claims would read all that waits.
CREATE INDEX deliveries_by_state ON deliveries ((state || ''), id) WHERE state || '' <> 'delivered';
CREATE INDEX deliveries_owed ON deliveries (sink, accepted_at) WHERE state || '' IN ('pending', 'claimed');
CREATE INDEX deliveries_ended ON deliveries (sink) WHERE state = 'dead' AND ended;

CREATE TABLE attempts (
    event_id uuid NOT NULL,
    delivery_id uuid NOT NULL,
    attempt integer NOT NULL,
    started_at timestamptz,
    ended_at timestamptz NOT NULL,
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN ('delivered', 'retry', 'refused', 'released', 'lost')),
    reason text COLLATE "C",
    PRIMARY KEY (event_id, delivery_id, attempt)
) PARTITION BY RANGE (event_id);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT;

CREATE TABLE quarantine (
    id uuid NOT NULL PRIMARY KEY,
    source text COLLATE "C" NOT NULL,
    digest bytea NOT NULL,
    reason text COLLATE "C" NOT NULL,
    ended text COLLATE "C",                      -- why an operator has said that nothing is to be done about it
    size bigint NOT NULL,
    content_type text COLLATE "C",
    received_at timestamptz NOT NULL,
    times bigint NOT NULL,
    last_at timestamptz NOT NULL,
    body bytea NOT NULL,
    UNIQUE (source, digest)
);
CREATE INDEX quarantine_by_age ON quarantine (received_at);
CREATE INDEX quarantine_by_source ON quarantine (source, last_at);
CREATE INDEX quarantine_ended ON quarantine (id) WHERE ended IS NOT NULL;

CREATE TABLE lanes (
    sink text COLLATE "C" PRIMARY KEY,
    state text COLLATE "C" NOT NULL CHECK (state IN ('open', 'probing', 'paused', 'disabled')),
    next_at timestamptz,
    failures integer NOT NULL,
    reason text COLLATE "C",
    since timestamptz,
    version bigint NOT NULL DEFAULT 0,           -- how often it was set
    free_at timestamptz                          -- with a rate: when the sink may be sent something again
);

-- Which routers there are, by name; all times are this server's. Who holds a name, and who keeps house, is not in here:
-- that is who has the lock (see `presence`).
CREATE TABLE routers (
    name text COLLATE "C" PRIMARY KEY,
    run uuid NOT NULL,                           -- from one start to its end
    pid integer NOT NULL,                        -- the process of this server behind the connection that beats
    connected_at timestamptz NOT NULL,           -- and when that began: numbers of processes are given again
    version text COLLATE "C" NOT NULL,
    rules text COLLATE "C" NOT NULL,             -- the hash of what is in force
    ahead double precision NOT NULL,             -- seconds that the clock of its machine is ahead of this server's
    holds boolean NOT NULL,                      -- it sends nothing, and never begins to keep house
    started_at timestamptz NOT NULL,
    beat_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The name of the router that has this connection.
CREATE FUNCTION router_name() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT nullif(current_setting('aftercall.router', true), '')
$$;

-- What routers keep of themselves, by name: small, the same for all of them, and for their own eyes.
CREATE TABLE memos (
    name text COLLATE "C" PRIMARY KEY,
    content bytea NOT NULL
);


-- What every commit counts, it counts in rows of its own: each connection that writes has a number (`shard`), the lowest
-- that no other has, and adds to the rows with that number; who reads adds them up. With one row for all, each commit would
-- wait for the one before, whichever router makes it, and all would stand still behind one that hangs. The numbers are
-- few, because they are given again. One number alone may be below zero: what one connection adds another takes away.

CREATE FUNCTION shard() RETURNS smallint LANGUAGE sql STABLE AS $$
    SELECT coalesce(nullif(current_setting('aftercall.shard', true), ''), '0')::smallint
$$;

-- One row each, counted up to see whether a commit succeeds.
CREATE TABLE checks (shard smallint PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50);

-- A channel is known by its id, or by its name where it has none (`by_id` is false). The newest name counts.
CREATE TABLE channels (
    source text COLLATE "C" NOT NULL,
    by_id boolean NOT NULL,
    key text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    name text COLLATE "C" NOT NULL,              -- '' is none
    named_at timestamptz,
    named_by bigint,                             -- the sequence number of the event that it is from
    calls bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (source, by_id, key, shard)
) WITH (fillfactor = 50);

-- How much of each source is in quarantine; a row counts for 1024 bytes besides its body. Not by shard: it is a limit.
CREATE TABLE quarantine_totals (source text COLLATE "C" PRIMARY KEY, bytes bigint NOT NULL) WITH (fillfactor = 50);

-- Everything counted that is of no month.
CREATE TABLE totals (
    name text COLLATE "C" NOT NULL CHECK (name IN ('duplicates', 'quarantined', 'purged', 'deliveries_purged')),
    shard smallint NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (name, shard)
) WITH (fillfactor = 50);

-- By month of the event, so that a month is dropped without counting it.
CREATE TABLE event_totals (
    month date NOT NULL,
    routed text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (month, routed, shard)
) WITH (fillfactor = 50);

CREATE TABLE delivery_totals (
    month date NOT NULL,
    sink text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    shard smallint NOT NULL,
    n bigint NOT NULL,
    PRIMARY KEY (month, sink, state, shard)
) WITH (fillfactor = 50);

CREATE FUNCTION month_of(id uuid) RETURNS date LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT date_trunc('month', to_timestamp(
        ('x' || translate(left(id::text, 13), '-', ''))::bit(48)::bigint / 1000.0
    ) AT TIME ZONE 'UTC')::date
$$;

CREATE FUNCTION count_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO event_totals AS total (month, routed, shard, n)
        SELECT month_of(id), routed, shard(), count(*) FROM became GROUP BY 1, 2
        ON CONFLICT (month, routed, shard) DO UPDATE SET n = total.n + excluded.n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO event_totals AS total (month, routed, shard, n)
        SELECT month_of(id), routed, shard(), -count(*) FROM was GROUP BY 1, 2
        ON CONFLICT (month, routed, shard) DO UPDATE SET n = total.n + excluded.n;
    ELSE
        INSERT INTO event_totals AS total (month, routed, shard, n)
        SELECT month_of(id), routed, shard(), sum(n) FROM (
            SELECT id, routed, -1 AS n FROM was UNION ALL SELECT id, routed, 1 FROM became
        ) AS moved GROUP BY 1, 2 HAVING sum(n) <> 0
        ON CONFLICT (month, routed, shard) DO UPDATE SET n = total.n + excluded.n;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER events_added AFTER INSERT ON events REFERENCING NEW TABLE AS became
    FOR EACH STATEMENT EXECUTE FUNCTION count_events();
CREATE TRIGGER events_moved AFTER UPDATE ON events REFERENCING OLD TABLE AS was NEW TABLE AS became
    FOR EACH STATEMENT EXECUTE FUNCTION count_events();
CREATE TRIGGER events_removed AFTER DELETE ON events REFERENCING OLD TABLE AS was
    FOR EACH STATEMENT EXECUTE FUNCTION count_events();

CREATE FUNCTION count_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO delivery_totals AS total (month, sink, state, shard, n)
        SELECT month_of(event_id), sink, state, shard(), count(*) FROM became GROUP BY 1, 2, 3
        ON CONFLICT (month, sink, state, shard) DO UPDATE SET n = total.n + excluded.n;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO delivery_totals AS total (month, sink, state, shard, n)
        SELECT month_of(event_id), sink, state, shard(), -count(*) FROM was GROUP BY 1, 2, 3
        ON CONFLICT (month, sink, state, shard) DO UPDATE SET n = total.n + excluded.n;
    ELSE
        INSERT INTO delivery_totals AS total (month, sink, state, shard, n)
        SELECT month_of(event_id), sink, state, shard(), sum(n) FROM (
            SELECT event_id, sink, state, -1 AS n FROM was UNION ALL SELECT event_id, sink, state, 1 FROM became
        ) AS moved GROUP BY 1, 2, 3 HAVING sum(n) <> 0
        ON CONFLICT (month, sink, state, shard) DO UPDATE SET n = total.n + excluded.n;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries REFERENCING NEW TABLE AS became
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER deliveries_moved AFTER UPDATE ON deliveries REFERENCING OLD TABLE AS was NEW TABLE AS became
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries REFERENCING OLD TABLE AS was
    FOR EACH STATEMENT EXECUTE FUNCTION count_deliveries();

CREATE FUNCTION add_to_total(what text, by bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO totals AS total (name, shard, n) VALUES (what, shard(), by)
    ON CONFLICT (name, shard) DO UPDATE SET n = total.n + excluded.n
$$;

CREATE FUNCTION count_quarantine() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        PERFORM add_to_total('duplicates', 1);
    ELSIF TG_OP = 'INSERT' THEN
        PERFORM add_to_total('quarantined', 1);
        INSERT INTO quarantine_totals AS total VALUES (NEW.source, NEW.size + 1024)
        ON CONFLICT (source) DO UPDATE SET bytes = total.bytes + excluded.bytes;
    ELSE
        PERFORM add_to_total('quarantined', -1);
        UPDATE quarantine_totals SET bytes = bytes - OLD.size - 1024 WHERE source = OLD.source;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER quarantine_added AFTER INSERT OR DELETE ON quarantine
    FOR EACH ROW EXECUTE FUNCTION count_quarantine();
CREATE TRIGGER quarantine_again AFTER UPDATE OF times ON quarantine
    FOR EACH ROW EXECUTE FUNCTION count_quarantine();


-- Makes the partitions of a month, whose ids are from `first` to below `beyond`; what is of it in the default partition
-- moves there, uncounted. False where they are there. It waits for nobody's locks longer than half a second, because all
-- others would wait behind it.
CREATE FUNCTION make_month(label text, first uuid, beyond uuid) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    key text;
BEGIN
    IF to_regclass('events_' || label) IS NOT NULL THEN
        RETURN false;
    END IF;
    SET LOCAL lock_timeout = '500ms';
    LOCK TABLE events_default, deliveries_default, attempts_default IN ACCESS EXCLUSIVE MODE;
    IF to_regclass('events_' || label) IS NOT NULL THEN  -- by whoever had the lock
        RETURN false;
    END IF;
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        key := CASE parent WHEN 'events' THEN 'id' ELSE 'event_id' END;
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', parent || '_' || label, parent);
        EXECUTE format(
            'WITH moved AS (DELETE FROM %I WHERE %I >= $1 AND %I < $2 RETURNING *) INSERT INTO %I SELECT * FROM moved',
            parent || '_default', key, key, parent || '_' || label
        ) USING first, beyond;
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, parent || '_' || label, first, beyond
        );
    END LOOP;
    RETURN true;
END $$;

-- Drops a month whole, and counts what was in it as purged. Nothing (no row) where another router was faster; raises
-- `object_in_use` where something in it is still owed.
--
-- An autovacuum of what it locks is waited for first, and none begins any more: nobody else waits for that. The server ends
-- one that is in somebody's way, unless it is against a wraparound, but not before `deadlock_timeout`, which is longer than
-- all others may be made to wait.
CREATE FUNCTION drop_month(label text, which date, OUT events bigint, OUT deliveries bigint) RETURNS SETOF record
LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    owed boolean;
BEGIN
    SET LOCAL lock_timeout = '5s';
    LOCK TABLE events_default, deliveries_default, attempts_default IN SHARE UPDATE EXCLUSIVE MODE;
    IF to_regclass('events_' || label) IS NULL THEN
        RETURN;
    END IF;
    FOREACH parent IN ARRAY ARRAY['events', 'deliveries', 'attempts'] LOOP
        -- As good as a lock, which would not take what is out of line with it.
        EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = false)', parent || '_' || label);
    END LOOP;
    -- All three or none, and soon: whoever has one of them and waits for another, would be waited for.
    SET LOCAL lock_timeout = '100ms';
    FOR turn IN REVERSE 9..0 LOOP
        BEGIN
            LOCK TABLE ONLY events, ONLY deliveries, ONLY attempts IN ACCESS EXCLUSIVE MODE;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF turn = 0 THEN
                RAISE;
            END IF;
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    EXECUTE format(  -- by the index that is for who asks like this: everybody waits meanwhile
        'SELECT EXISTS (SELECT FROM %I WHERE state || '''' IN (''pending'', ''claimed''))', 'deliveries_' || label
    ) INTO owed;
    IF owed THEN
        RAISE EXCEPTION 'something in % is owed', label USING ERRCODE = 'object_in_use';
    END IF;
    SELECT coalesce(sum(n), 0) INTO events FROM event_totals WHERE month = which;
    SELECT coalesce(sum(n), 0) INTO deliveries FROM delivery_totals WHERE month = which;
    DELETE FROM event_totals WHERE month = which;
    DELETE FROM delivery_totals WHERE month = which;
    PERFORM add_to_total('purged', events), add_to_total('deliveries_purged', deliveries);
    EXECUTE format(
        'DROP TABLE %I, %I, %I', 'deliveries_' || label, 'events_' || label, 'attempts_' || label
    );
    RETURN NEXT;
END $$;
