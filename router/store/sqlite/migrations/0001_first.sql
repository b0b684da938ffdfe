-- All times are microseconds since the epoch, all lists JSON. Columns that can be large stand last, so that lists
-- never read them.

-- One row; shows that seen.key is the key that this database was filled with.
CREATE TABLE seen_key (proof BLOB NOT NULL) STRICT;

-- Which contents of which calls came, as keyed hashes only. Outlives the events; its key is what catches duplicates.
CREATE TABLE seen (
    source TEXT NOT NULL,
    call BLOB NOT NULL,
    digest BLOB NOT NULL,
    event_id TEXT NOT NULL,
    revision INTEGER NOT NULL,
    first_at INTEGER NOT NULL,
    times INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (source, call, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_by_age ON seen (last_at);

CREATE TABLE events (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice, not after a purge either
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    format TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    direction TEXT NOT NULL,
    call_id TEXT,
    channel_id TEXT,
    channel_name TEXT,
    routed TEXT NOT NULL CHECK (routed IN ('routed', 'unmatched', 'unrouted')),
    routes TEXT NOT NULL,
    rules TEXT NOT NULL,
    content_type TEXT,
    seen_call BLOB NOT NULL,                     -- with source and seen_digest: the key of its row in seen
    seen_digest BLOB NOT NULL,
    sha256 BLOB NOT NULL,                        -- of all that is delivered: shows damage
    call TEXT NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX events_by_age ON events (received_at);

CREATE TABLE deliveries (
    id TEXT PRIMARY KEY,
    event_id TEXT NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    sink TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'claimed', 'delivered', 'dead', 'replayed', 'erased')),
    attempt INTEGER NOT NULL DEFAULT 0,
    retries INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    held INTEGER NOT NULL DEFAULT 0,             -- 1: it waits for its lane, not for a time
    accepted_at INTEGER NOT NULL,
    due INTEGER NOT NULL,
    claimed_at INTEGER,
    claimed_until INTEGER,
    settled_at INTEGER,
    replay_of TEXT,
    reason TEXT,
    recipient TEXT,
    remote_id TEXT,
    parts TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX deliveries_by_event ON deliveries (event_id);
CREATE INDEX deliveries_by_sink ON deliveries (sink, id);
CREATE INDEX deliveries_by_state ON deliveries (state, id) WHERE state <> 'delivered';
CREATE INDEX deliveries_due ON deliveries (sink, due, held) WHERE state = 'pending';

CREATE TABLE attempts (
    delivery_id TEXT NOT NULL REFERENCES deliveries (id) ON DELETE CASCADE,
    attempt INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('delivered', 'retry', 'refused', 'released', 'lost')),
    reason TEXT,
    PRIMARY KEY (delivery_id, attempt)
) STRICT, WITHOUT ROWID;

CREATE TABLE quarantine (
    id TEXT NOT NULL UNIQUE,
    source TEXT NOT NULL,
    digest BLOB NOT NULL,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    content_type TEXT,
    received_at INTEGER NOT NULL,
    times INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (source, digest)
) STRICT;
CREATE INDEX quarantine_by_age ON quarantine (received_at);

CREATE TABLE lanes (
    sink TEXT PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'probing', 'paused', 'disabled')),
    next_at INTEGER,
    failures INTEGER NOT NULL,
    reason TEXT,
    since INTEGER,
    version INTEGER NOT NULL DEFAULT 0,          -- how often it was set
    free_at INTEGER                              -- with a rate: when the sink may be sent something again
) STRICT, WITHOUT ROWID;

-- A channel is known by its id, or by its name where it has none; '' is none.
CREATE TABLE channels (
    source TEXT NOT NULL,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    calls INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX channels_by_id ON channels (source, id) WHERE id <> '';
CREATE UNIQUE INDEX channels_by_name ON channels (source, name) WHERE id = '';

-- What the router keeps of itself, by name: small, and for its own eyes.
CREATE TABLE memos (
    name TEXT PRIMARY KEY,
    content BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row, counted up to see whether a commit succeeds.
CREATE TABLE checks (n INTEGER NOT NULL) STRICT;
INSERT INTO checks VALUES (0);

-- The sums, changed by triggers in the transaction that changes the rows. What was purged is added by the purge.
CREATE TABLE totals (name TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO totals VALUES ('duplicates', 0), ('quarantined', 0), ('purged', 0), ('deliveries_purged', 0);

CREATE TABLE event_totals (routed TEXT PRIMARY KEY, n INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO event_totals VALUES ('routed', 0), ('unmatched', 0), ('unrouted', 0);

CREATE TABLE delivery_totals (
    sink TEXT NOT NULL,
    state TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (sink, state)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER seen_again AFTER UPDATE OF times ON seen BEGIN
    UPDATE totals SET n = n + 1 WHERE name = 'duplicates';
END;

CREATE TRIGGER quarantined_again AFTER UPDATE OF times ON quarantine BEGIN
    UPDATE totals SET n = n + 1 WHERE name = 'duplicates';
END;

CREATE TRIGGER quarantine_added AFTER INSERT ON quarantine BEGIN
    UPDATE totals SET n = n + 1 WHERE name = 'quarantined';
END;

CREATE TRIGGER quarantine_removed AFTER DELETE ON quarantine BEGIN
    UPDATE totals SET n = n - 1 WHERE name = 'quarantined';
END;

CREATE TRIGGER event_added AFTER INSERT ON events BEGIN
    UPDATE event_totals SET n = n + 1 WHERE routed = NEW.routed;
END;

CREATE TRIGGER event_removed AFTER DELETE ON events BEGIN
    UPDATE event_totals SET n = n - 1 WHERE routed = OLD.routed;
END;

CREATE TRIGGER event_routed AFTER UPDATE OF routed ON events WHEN NEW.routed <> OLD.routed BEGIN
    UPDATE event_totals SET n = n - 1 WHERE routed = OLD.routed;
    UPDATE event_totals SET n = n + 1 WHERE routed = NEW.routed;
END;

CREATE TRIGGER delivery_added AFTER INSERT ON deliveries BEGIN
    INSERT INTO delivery_totals VALUES (NEW.sink, NEW.state, 1)
    ON CONFLICT (sink, state) DO UPDATE SET n = n + 1;
END;

CREATE TRIGGER delivery_removed AFTER DELETE ON deliveries BEGIN
    UPDATE delivery_totals SET n = n - 1 WHERE sink = OLD.sink AND state = OLD.state;
END;

CREATE TRIGGER delivery_moved AFTER UPDATE OF state ON deliveries WHEN NEW.state <> OLD.state BEGIN
    UPDATE delivery_totals SET n = n - 1 WHERE sink = OLD.sink AND state = OLD.state;
    INSERT INTO delivery_totals VALUES (NEW.sink, NEW.state, 1)
    ON CONFLICT (sink, state) DO UPDATE SET n = n + 1;
END;

PRAGMA user_version = 1;
