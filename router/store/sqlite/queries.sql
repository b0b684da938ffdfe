-- Every statement of the SQLite engine: a name, a sentence, the SQL. Times are microseconds since the epoch.
-- A list that starts at the newest is asked for what is below x'', which is above every id. `+sink` is no index to
-- SQLite, which would else go through all deliveries that a sink ever had to find the few of one event.

-- begin: Start a write; nobody else writes until its end.
BEGIN IMMEDIATE;

-- commit: Make everything since `begin` durable.
COMMIT;

-- rollback: Forget everything since `begin` or `look`.
ROLLBACK;

-- begin_operation: Start one of the writes that share a commit.
SAVEPOINT operation;

-- undo_operation: Forget what this one write did.
ROLLBACK TO operation;

-- end_operation: Leave this one write to the commit.
RELEASE operation;

-- look: Start reading; all that follows sees one snapshot.
BEGIN DEFERRED;

-- move_log: Copy the log into the database file, as far as no reader is in the way.
PRAGMA wal_checkpoint(PASSIVE);

-- empty_log: Copy the log into the database file and cut it to nothing, waiting a little for readers.
PRAGMA wal_checkpoint(TRUNCATE);

-- spare_pages: How many pages of the database hold nothing.
PRAGMA freelist_count;


-- see: Count a content of a call as seen; a new one is the call's next revision, a known one answers its first event.
INSERT INTO seen (source, call, digest, event_id, revision, first_at, times, last_at)
VALUES (
    :source, :call, :digest, :event_id,
    1 + coalesce((SELECT max(revision) FROM seen WHERE source = :source AND call = :call), 0), :now, :times,
    :last_at
)
ON CONFLICT (source, call, digest) DO UPDATE SET times = times + excluded.times, last_at = max(last_at, excluded.last_at)
RETURNING event_id, revision;

-- add_event: Keep an event with its body.
INSERT INTO events (
    id, source, format, received_at, revision, direction, call_id, channel_id, channel_name, routed, routes, rules,
    content_type, seen_call, seen_digest, sha256, call, body
) VALUES (
    :event_id, :source, :format, :now, :revision, :direction, :call_id, :channel_id, :channel_name, :routed, :routes,
    :rules, :content_type, :call, :digest, :sha256, :call_json, :body
);

-- followed: What earlier revisions of a call became at each sink, the first revision last.
SELECT deliveries.sink, deliveries.remote_id
FROM seen JOIN deliveries ON deliveries.event_id = seen.event_id
WHERE seen.source = :source AND seen.call = :call AND seen.revision < :revision AND deliveries.remote_id IS NOT NULL
ORDER BY seen.revision DESC, deliveries.id DESC;

-- owed_before: The sinks that other revisions of a call were owed to.
SELECT DISTINCT deliveries.sink
FROM seen JOIN deliveries ON deliveries.event_id = seen.event_id
WHERE seen.source = :source AND seen.call = :call AND seen.event_id <> :event_id;

-- add_delivery: Owe an event to a sink.
INSERT INTO deliveries (id, event_id, sink, state, attempt, accepted_at, due, claimed_at, claimed_until)
VALUES (:id, :event_id, :sink, :state, :attempt, :now, :due, :claimed_at, :claimed_until);

-- saw_channel_by_id: Count a call on a channel that has an id; the newest name counts.
INSERT INTO channels (source, id, name, calls, last_at) VALUES (:source, :id, :name, 1, :now)
ON CONFLICT (source, id) WHERE id <> '' DO UPDATE SET
    calls = calls + :new_call,
    name = CASE WHEN excluded.name <> '' AND excluded.last_at >= last_at THEN excluded.name ELSE name END,
    last_at = max(last_at, excluded.last_at);

-- saw_channel_by_name: Count a call on a channel that has only a name.
INSERT INTO channels (source, id, name, calls, last_at) VALUES (:source, :id, :name, 1, :now)
ON CONFLICT (source, name) WHERE id = '' DO UPDATE SET
    calls = calls + :new_call,
    last_at = max(last_at, excluded.last_at);

-- quarantine: Keep an unreadable body, or count it again.
INSERT INTO quarantine (id, source, digest, reason, size, content_type, received_at, times, last_at, body)
VALUES (:id, :source, :digest, :reason, :size, :content_type, :now, 1, :now, :body)
ON CONFLICT (source, digest) DO UPDATE SET times = times + 1, last_at = max(last_at, excluded.last_at)
RETURNING id;

-- quarantine_bytes: How much of a source is in quarantine.
SELECT bytes FROM quarantine_totals WHERE source = :source;

-- quarantine_sizes: How much of each source is in quarantine.
SELECT source, bytes FROM quarantine_totals;


-- lane: How a lane stands.
SELECT sink, state, next_at, failures, reason, since, version, free_at FROM lanes WHERE sink = :sink;

-- is_open: Whether a lane is open.
SELECT NOT EXISTS (SELECT 1 FROM lanes WHERE sink = :sink AND state <> 'open') AS is_open;

-- is_claimed: Whether anything of a sink is claimed.
SELECT EXISTS (SELECT 1 FROM deliveries WHERE state = 'claimed' AND state <> 'delivered' AND sink = :sink) AS any;

-- pace_lane: Remember when a sink may be sent something again.
INSERT INTO lanes (sink, state, failures, free_at) VALUES (:sink, 'open', 0, :free_at)
ON CONFLICT (sink) DO UPDATE SET free_at = excluded.free_at;

-- claim_due: Claim the deliveries of a sink that have been due for the longest.
UPDATE deliveries
SET state = 'claimed', attempt = attempt + 1, claimed_at = :now, claimed_until = :until
WHERE id IN (
    SELECT id FROM deliveries
    WHERE sink = :sink AND state = 'pending' AND due <= :now AND (lost < :suspect_after OR :alone)
    ORDER BY due, id LIMIT :limit
)
RETURNING id, lost, due;

-- claim_probe: Claim for a lane that is down: what it holds counts as due.
UPDATE deliveries
SET state = 'claimed', attempt = attempt + 1, claimed_at = :now, claimed_until = :until
WHERE id IN (
    SELECT id FROM deliveries
    WHERE sink = :sink AND state = 'pending' AND (due <= :now OR held) AND (lost < :suspect_after OR :alone)
    ORDER BY due, id LIMIT :limit
)
RETURNING id, lost, due;

-- suspects: How many claimed deliveries were lost so often that they are suspected.
SELECT count(*) AS n FROM deliveries
WHERE state = 'claimed' AND state <> 'delivered' AND lost >= :suspect_after;

-- unclaim: A claim that nobody has heard of was never made.
UPDATE deliveries
SET state = 'pending', attempt = attempt - 1, claimed_at = NULL, claimed_until = NULL
WHERE id = :id;

-- next_due: When the next pending delivery of a sink is due.
SELECT min(due) AS due FROM deliveries WHERE sink = :sink AND state = 'pending';

-- next_due_beside: The same while a suspect is claimed: others must wait for that, at least until `later`.
SELECT min(CASE WHEN lost < :suspect_after THEN due ELSE max(due, :later) END) AS due
FROM deliveries WHERE sink = :sink AND state = 'pending';

-- claimed: A delivery with all that its sink is given; nothing of the event where damage has parted the two.
SELECT
    deliveries.id AS delivery_id, deliveries.event_id, deliveries.sink, deliveries.attempt, deliveries.retries,
    deliveries.accepted_at, deliveries.due, deliveries.replay_of, events.*,
    CASE WHEN events.revision > 1 THEN (
        SELECT earlier.remote_id FROM seen JOIN deliveries AS earlier ON earlier.event_id = seen.event_id
        WHERE seen.source = events.source AND seen.call = events.seen_call AND seen.revision < events.revision
            AND +earlier.sink = deliveries.sink AND earlier.remote_id IS NOT NULL
        ORDER BY seen.revision, earlier.id LIMIT 1
    ) END AS follows,
    EXISTS (
        SELECT 1 FROM seen JOIN deliveries AS later ON later.event_id = seen.event_id
        WHERE seen.source = events.source AND seen.call = events.seen_call AND seen.revision > events.revision
            AND +later.sink = deliveries.sink AND later.state = 'delivered'
    ) AS superseded
FROM deliveries LEFT JOIN events ON events.id = deliveries.event_id
WHERE deliveries.id = :id;

-- settle: Write what an attempt came to, where the claim still holds.
UPDATE deliveries
SET state = :state, held = :held, claimed_at = NULL, claimed_until = NULL, due = coalesce(:due, due),
    retries = retries + :spent, settled_at = :settled_at, reason = :reason, remote_id = coalesce(:remote_id, remote_id),
    recipient = coalesce(:recipient, recipient), parts = coalesce(:parts, parts)
WHERE id = :id AND attempt = :attempt AND state = 'claimed';

-- add_attempt: Remember one try.
INSERT INTO attempts (delivery_id, attempt, started_at, ended_at, outcome, reason)
VALUES (:id, :attempt, :started_at, :now, :outcome, :reason);

-- add_released: Remember that a claim came to no try.
INSERT INTO attempts (delivery_id, attempt, started_at, ended_at, outcome)
SELECT id, attempt, claimed_at, :now, 'released' FROM deliveries
WHERE id = :id AND attempt = :attempt AND state = 'claimed';

-- release: Give a claim back.
UPDATE deliveries
SET state = 'pending', held = 0, claimed_at = NULL, claimed_until = NULL, due = :now
WHERE id = :id AND attempt = :attempt AND state = 'claimed';

-- add_lost: Remember that the router vanished during these tries.
INSERT INTO attempts (delivery_id, attempt, started_at, ended_at, outcome, reason)
SELECT id, attempt, claimed_at, :now, 'lost', :reason FROM deliveries
WHERE state = 'claimed' AND state <> 'delivered' AND (:left_behind OR claimed_until <= :over);

-- retake: Make lost claims due again, or dead where they were lost too often.
UPDATE deliveries
SET state = CASE WHEN lost + 1 < :poison_after THEN 'pending' ELSE 'dead' END,
    due = CASE WHEN lost + 1 < :poison_after THEN :now ELSE due END,
    settled_at = CASE WHEN lost + 1 < :poison_after THEN NULL ELSE :now END,
    reason = CASE WHEN lost + 1 < :poison_after THEN :reason ELSE :poison END,
    lost = lost + 1, held = 0, claimed_at = NULL, claimed_until = NULL
WHERE state = 'claimed' AND state <> 'delivered' AND (:left_behind OR claimed_until <= :over)
RETURNING id, sink, state;

-- due_sinks: Those of these sinks (a list as JSON) that a pending delivery is due for.
SELECT value AS sink FROM json_each(:sinks) WHERE EXISTS (
    SELECT 1 FROM deliveries WHERE sink = value AND state = 'pending' AND due <= :now
);

-- move_waits: Move with the clock what is not due, or would not be any more.
UPDATE deliveries SET due = CASE WHEN due > :before THEN due - :before + :now ELSE :now END
WHERE state = 'pending' AND state <> 'delivered' AND due > min(:before, :now);

-- move_claims: Move with the clock the end of claims that run.
UPDATE deliveries SET claimed_until = claimed_until - :before + :now
WHERE state = 'claimed' AND state <> 'delivered' AND claimed_until > :running;

-- lanes: Every lane that was set.
SELECT sink, state, next_at, failures, reason, since, version FROM lanes WHERE version > 0;

-- set_lane: Remember a lane's state, unless it was set since.
INSERT INTO lanes (sink, state, next_at, failures, reason, since, version)
SELECT :sink, :state, :next_at, :failures, :reason, :since, 1
WHERE :version = 0 OR EXISTS (SELECT 1 FROM lanes WHERE sink = :sink)
ON CONFLICT (sink) DO UPDATE SET
    state = excluded.state, next_at = excluded.next_at, failures = excluded.failures, reason = excluded.reason,
    since = excluded.since, version = version + 1
    WHERE version = :version;

-- let_go: Make due what a lane has held.
UPDATE deliveries SET held = 0, due = :now WHERE sink = :sink AND state = 'pending' AND held;


-- state_of: Where a delivery stands.
SELECT event_id, sink, state, ended FROM deliveries WHERE id = :id;

-- mark_replayed: A dead delivery has got a successor.
UPDATE deliveries SET state = 'replayed' WHERE id = :id;

-- add_replay: Owe again what was dead.
INSERT INTO deliveries (id, event_id, sink, state, accepted_at, due, replay_of)
VALUES (:id, :event_id, :sink, 'pending', :now, :now, :replay_of);

-- end: Give a pending delivery up, or let a dead one rest; why it had failed stays readable.
UPDATE deliveries SET
    state = 'dead', held = 0, ended = 1,
    settled_at = CASE WHEN state = 'dead' THEN settled_at ELSE :now END,
    reason = CASE WHEN reason IS NULL THEN :reason ELSE :reason || ' (before: ' || reason || ')' END
WHERE id = :id AND (state = 'pending' OR (state = 'dead' AND NOT ended));

-- leave_quarantine: Take a body out of quarantine.
DELETE FROM quarantine WHERE id = :id RETURNING times, last_at;

-- end_quarantined: Let an unreadable body rest.
UPDATE quarantine SET ended = :reason WHERE id = :id AND ended IS NULL;

-- is_quarantined: Whether a body is in quarantine.
SELECT 1 FROM quarantine WHERE id = :id;

-- keep_unread: Remember why a body is still unreadable.
UPDATE quarantine SET reason = :reason WHERE id = :id;

-- event_to_route: An event as it was routed.
SELECT * FROM events WHERE id = :id;

-- sinks_of_event: The sinks that an event was ever owed to.
SELECT DISTINCT sink FROM deliveries WHERE event_id = :id;

-- route_again: Remember how an event is routed now.
UPDATE events SET routed = :routed, routes = :routes, rules = :rules, sha256 = :sha256 WHERE id = :id;

-- old_events: Events behind one and from before a time that owe nothing, oldest first.
SELECT sequence AS number, received_at, length(body) AS size FROM events
WHERE (received_at, sequence) > (:at, :number) AND received_at < :before AND NOT EXISTS (
    SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.state IN ('pending', 'claimed')
)
ORDER BY received_at, sequence LIMIT :limit;

-- owes: Whether an event owes anything; no row where it is gone.
SELECT EXISTS (
    SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.state IN ('pending', 'claimed')
) AS owes FROM events WHERE sequence = :number;

-- remove_deliveries: Remove the deliveries of an event, and with them their attempts.
DELETE FROM deliveries WHERE event_id = (SELECT id FROM events WHERE sequence = :number);

-- remove_event: Remove an event.
DELETE FROM events WHERE sequence = :number;

-- old_quarantine: Unreadable bodies from before a time, oldest first.
SELECT rowid AS number, size FROM quarantine WHERE received_at < :before ORDER BY received_at LIMIT :limit;

-- remove_quarantined: Remove an unreadable body.
DELETE FROM quarantine WHERE rowid = :number;

-- forget_seen: Remove what was last seen before a time, oldest first.
DELETE FROM seen WHERE (source, call, digest) IN (
    SELECT source, call, digest FROM seen WHERE last_at < :before ORDER BY last_at LIMIT :limit
);

-- add_to_total: Count what was removed.
UPDATE totals SET n = n + :n WHERE name = :name;

-- memo: What was kept under a name.
SELECT content FROM memos WHERE name = :name;

-- keep_memo: Keep it, in place of what was kept there.
INSERT INTO memos (name, content) VALUES (:name, :content)
ON CONFLICT (name) DO UPDATE SET content = excluded.content;

-- check: Write something that means nothing.
UPDATE checks SET n = n + 1;


-- totals: Everything counted but deliveries.
SELECT name, n FROM totals UNION ALL SELECT routed, n FROM event_totals;

-- delivery_totals: Deliveries by sink and state.
SELECT sink, state, n FROM delivery_totals WHERE n > 0 ORDER BY sink, state;

-- ended: How many dead letters of each sink were ended.
SELECT sink, count(*) AS n FROM deliveries WHERE state = 'dead' AND ended GROUP BY sink;

-- unread: How many unreadable bodies nobody has ended.
SELECT (SELECT n FROM totals WHERE name = 'quarantined') - (SELECT count(*) FROM quarantine WHERE ended IS NOT NULL) AS n;

-- oldest: When the oldest delivery that is still owed was accepted, by sink.
SELECT sink, (
    SELECT min(accepted_at) FROM deliveries INDEXED BY deliveries_owed
    WHERE deliveries.sink = owed.sink AND state IN ('pending', 'claimed')
) AS accepted_at
FROM (SELECT DISTINCT sink FROM delivery_totals WHERE state IN ('pending', 'claimed') AND n > 0) AS owed;

-- event: One event, and how often the same content came.
SELECT events.*, seen.times, seen.last_at
FROM events LEFT JOIN seen
    ON seen.source = events.source AND seen.call = events.seen_call AND seen.digest = events.seen_digest
WHERE events.id = :id;

-- events: Events, newest first; `sink` where they are or were owed to that one.
SELECT sequence, id, source, format, received_at, revision, direction, call_id, channel_id, channel_name, routed, routes,
    CASE WHEN :sink IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND +deliveries.sink = :sink
    ) THEN :sink END AS sink
FROM events WHERE id < :after AND id >= :since ORDER BY id DESC;

-- events_unrouted: Events that our routing failed for, as `events`.
SELECT sequence, id, source, format, received_at, revision, direction, call_id, channel_id, channel_name, routed, routes,
    CASE WHEN :sink IS NOT NULL AND EXISTS (
        SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND +deliveries.sink = :sink
    ) THEN :sink END AS sink
FROM events WHERE routed = 'unrouted' AND id < :after AND id >= :since ORDER BY id DESC;

-- delivery: One delivery.
SELECT * FROM deliveries WHERE id = :id;

-- attempts: The tries of a delivery, first one first.
SELECT attempt, started_at, ended_at, outcome, reason FROM attempts WHERE delivery_id = :id ORDER BY attempt;

-- deliveries: Deliveries with what is asked of their events, newest first.
SELECT deliveries.*, events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries LEFT JOIN events ON events.id = deliveries.event_id
WHERE deliveries.id < :after AND deliveries.id >= :since ORDER BY deliveries.id DESC;

-- deliveries_of_event: Those of one event.
SELECT deliveries.*, events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries LEFT JOIN events ON events.id = deliveries.event_id
WHERE deliveries.event_id = :event_id AND deliveries.id < :after AND deliveries.id >= :since ORDER BY deliveries.id DESC;

-- deliveries_of_sink: Those of one sink.
SELECT deliveries.*, events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries LEFT JOIN events ON events.id = deliveries.event_id
WHERE deliveries.sink = :sink AND deliveries.id < :after AND deliveries.id >= :since ORDER BY deliveries.id DESC;

-- deliveries_in_state: Those in a state that is not `delivered`.
SELECT deliveries.*, events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries LEFT JOIN events ON events.id = deliveries.event_id
WHERE deliveries.state = :state AND deliveries.state <> 'delivered' AND deliveries.id < :after AND deliveries.id >= :since
ORDER BY deliveries.id DESC;

-- quarantined: Unreadable bodies, newest first.
SELECT id, source, reason, size, received_at, times, last_at, ended
FROM quarantine WHERE id < :after AND id >= :since ORDER BY id DESC;

-- quarantined_body: One unreadable body.
SELECT id, source, reason, size, received_at, times, last_at, ended, digest, content_type, body
FROM quarantine WHERE id = :id;

-- channels: Channels, the one with the newest call first.
SELECT source, id, name, calls, last_at FROM channels ORDER BY last_at DESC, source, name, id;


-- heard: When anything of a source came last.
SELECT max(last_at) AS last_at FROM (
    SELECT max(last_at) AS last_at FROM seen INDEXED BY seen_by_source WHERE source = :source
    UNION ALL SELECT max(last_at) FROM quarantine INDEXED BY quarantine_by_source WHERE source = :source
);

-- user_version: Which migration made this database.
PRAGMA user_version;

-- any_seen: Whether anything was ever seen.
SELECT EXISTS (SELECT 1 FROM seen);

-- seen_key: The proof of the key in use.
SELECT proof FROM seen_key;

-- forget_seen_key: Make room for the proof of another key.
DELETE FROM seen_key;

-- set_seen_key: Remember the proof of the key in use.
INSERT INTO seen_key (proof) VALUES (:proof);


-- any_table: Whether there is anything at all.
SELECT 1 FROM sqlite_schema LIMIT 1;

-- has_half_copy: Whether this is a copy that is not finished.
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'half_copy';

-- add_half_copy: From now on it is one.
CREATE TABLE half_copy (noted TEXT NOT NULL) STRICT;

-- begin_half_copy: Note that nothing is copied yet.
INSERT INTO half_copy (noted) VALUES (:noted);

-- note_half_copy: Note how far it is.
UPDATE half_copy SET noted = :noted;

-- half_copy: How far it is.
SELECT noted FROM half_copy;

-- end_half_copy: From now on it is a store.
DROP TABLE half_copy;

-- last_sequence: The number of the newest event that ever was.
SELECT max(
    coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0), coalesce((SELECT max(sequence) FROM events), 0)
) AS n;

-- forget_sequence: Make room for another number of the newest event.
DELETE FROM sqlite_sequence WHERE name = 'events';

-- set_sequence: The next event gets the number after this one.
INSERT INTO sqlite_sequence (name, seq) VALUES ('events', :n);

-- set_total: Count so many.
UPDATE totals SET n = :n WHERE name = :name;


-- used_bytes: What a copy takes, about.
SELECT (page_count - freelist_count) * page_size
FROM pragma_page_count, pragma_freelist_count, pragma_page_size;

-- copy: Write all rows of one snapshot into an empty file.
VACUUM INTO :into;

-- check_pages: `ok`, or the first page, index or row that is damaged.
PRAGMA integrity_check(1);

-- check_references: The first row that belongs to none.
PRAGMA foreign_key_check;

-- check_sums: The first counter that differs from the rows that it counts.
SELECT 'event ' || routed AS name FROM event_totals
WHERE n <> (SELECT count(*) FROM events WHERE events.routed = event_totals.routed)
UNION ALL
SELECT 'delivery ' || sink || ' ' || state FROM delivery_totals
WHERE n <> (SELECT count(*) FROM deliveries
    WHERE deliveries.sink = delivery_totals.sink AND deliveries.state = delivery_totals.state)
UNION ALL
SELECT name FROM totals WHERE name = 'quarantined' AND n <> (SELECT count(*) FROM quarantine)
UNION ALL
SELECT 'events' WHERE (SELECT sum(n) FROM event_totals) <> (SELECT count(*) FROM events)
UNION ALL
SELECT 'deliveries' WHERE (SELECT coalesce(sum(n), 0) FROM delivery_totals) <> (SELECT count(*) FROM deliveries);
