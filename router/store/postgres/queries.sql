-- Every statement of the PostgreSQL engine: a name, a sentence, the SQL. What a program calls times are microseconds
-- since the epoch, which `codecs` makes of timestamptz. Statements that write many rows take a list of each column.
-- Columns are named one by one: a newer router may add some while an older one runs.

-- begin: Start a write.
BEGIN;

-- look: Start reading; all that follows sees one snapshot.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- commit: Make everything since `begin` durable.
COMMIT;

-- rollback: Forget everything since `begin` or `look`.
ROLLBACK;


-- known: What is known of these calls.
SELECT seen.source, seen.call, seen.digest, seen.event_id, seen.revision
FROM (SELECT DISTINCT source, call FROM unnest(:source::text[], :call::bytea[]) AS asked (source, call)) AS asked
JOIN seen USING (source, call);

-- see: Count contents as seen that nothing was known of; those that another router has seen meanwhile are left out.
INSERT INTO seen (source, call, digest, event_id, revision, first_at, times, last_at)
SELECT source, call, digest, event_id, revision, now, times, last_at FROM unnest(
    :source::text[], :call::bytea[], :digest::bytea[], :event_id::uuid[], :revision::integer[], :now::timestamptz[],
    :times::bigint[], :last_at::timestamptz[]
) AS new (source, call, digest, event_id, revision, now, times, last_at)
ON CONFLICT DO NOTHING
RETURNING event_id;

-- see_again: Count contents again that are known, locked one after the other in the order in which they are given.
WITH again AS (
    SELECT known.source, known.call, known.digest, asked.times, asked.last_at
    FROM unnest(:source::text[], :call::bytea[], :digest::bytea[], :times::bigint[], :last_at::timestamptz[])
        AS asked (source, call, digest, times, last_at)
    CROSS JOIN LATERAL (
        SELECT source, call, digest FROM seen
        WHERE seen.source = asked.source AND seen.call = asked.call AND seen.digest = asked.digest FOR UPDATE
    ) AS known
)
UPDATE seen SET times = seen.times + again.times, last_at = greatest(seen.last_at, again.last_at)
FROM again WHERE seen.source = again.source AND seen.call = again.call AND seen.digest = again.digest
RETURNING seen.event_id;

-- add_events: Keep events with their bodies.
INSERT INTO events (
    id, source, format, received_at, revision, direction, call_id, channel_id, channel_name, routed, routes, rules,
    content_type, seen_call, seen_digest, sha256, call, body
)
SELECT * FROM unnest(
    :event_id::uuid[], :source::text[], :format::text[], :now::timestamptz[], :revision::integer[], :direction::text[],
    :call_id::text[], :channel_id::text[], :channel_name::text[], :routed::text[], :routes::text[], :rules::text[],
    :content_type::text[], :call::bytea[], :digest::bytea[], :sha256::bytea[], :call_json::text[], :body::bytea[]
)
RETURNING id, sequence;

-- followed: What earlier revisions of these calls became at each sink, the first revision last.
SELECT asked.event_id, deliveries.sink, deliveries.remote_id
FROM unnest(:event_id::uuid[], :source::text[], :call::bytea[], :revision::integer[])
    AS asked (event_id, source, call, revision)
JOIN seen ON seen.source = asked.source AND seen.call = asked.call AND seen.revision < asked.revision
JOIN deliveries ON deliveries.event_id = seen.event_id
WHERE deliveries.remote_id IS NOT NULL
ORDER BY seen.revision DESC, deliveries.id DESC;

-- owed_before: The sinks that other revisions of these calls were owed to.
SELECT DISTINCT asked.event_id, deliveries.sink
FROM unnest(:event_id::uuid[], :source::text[], :call::bytea[]) AS asked (event_id, source, call)
JOIN seen ON seen.source = asked.source AND seen.call = asked.call AND seen.event_id <> asked.event_id
JOIN deliveries ON deliveries.event_id = seen.event_id;

-- add_deliveries: Owe events to sinks; none is born claimed whose lane is not open.
INSERT INTO deliveries (id, event_id, sink, accepted_at, due, state, attempt, claimed_at, claimed_until, claimed_by)
SELECT new.id, new.event_id, new.sink, new.accepted_at, new.due, born.*
FROM unnest(
    :id::uuid[], :event_id::uuid[], :sink::text[], :state::text[], :attempt::integer[], :now::timestamptz[],
    :due::timestamptz[], :claimed_at::timestamptz[], :claimed_until::timestamptz[]
) AS new (id, event_id, sink, state, attempt, accepted_at, due, claimed_at, claimed_until)
LEFT JOIN lanes ON lanes.sink = new.sink AND lanes.state <> 'open'
CROSS JOIN LATERAL (
    SELECT new.state, new.attempt, new.claimed_at, new.claimed_until,
        CASE WHEN new.state = 'claimed' THEN router_name() END
    WHERE lanes.sink IS NULL
    UNION ALL SELECT 'pending', 0, NULL, NULL, NULL WHERE lanes.sink IS NOT NULL
) AS born
RETURNING id, state;

-- saw_channels: Count calls on channels. One that only later revisions came on (`first_is_new` is false) is there all the same.
INSERT INTO channels AS channel (source, by_id, key, shard, name, named_at, named_by, calls, last_at)
SELECT new.source, new.by_id, new.key, shard(), new.name, new.named_at, new.named_by,
    new.calls + (NOT new.first_is_new AND NOT EXISTS (
        SELECT FROM channels WHERE channels.source = new.source AND channels.by_id = new.by_id AND channels.key = new.key
    ))::integer,
    new.last_at
FROM unnest(
    :source::text[], :by_id::boolean[], :key::text[], :name::text[], :named_at::timestamptz[], :named_by::bigint[],
    :calls::bigint[], :first_is_new::boolean[], :last_at::timestamptz[]
) AS new (source, by_id, key, name, named_at, named_by, calls, first_is_new, last_at)
ON CONFLICT (source, by_id, key, shard) DO UPDATE SET
    calls = channel.calls + excluded.calls,
    name = CASE WHEN excluded.named_at >= channel.last_at THEN excluded.name ELSE channel.name END,
    named_at = CASE WHEN excluded.named_at >= channel.last_at THEN excluded.named_at ELSE channel.named_at END,
    named_by = CASE WHEN excluded.named_at >= channel.last_at THEN excluded.named_by ELSE channel.named_by END,
    last_at = greatest(channel.last_at, excluded.last_at);

-- quarantine: Keep an unreadable body, or count it again.
INSERT INTO quarantine AS kept (id, source, digest, reason, size, content_type, received_at, times, last_at, body)
VALUES (:id, :source, :digest, :reason, :size, :content_type, :now, 1, :now, :body)
ON CONFLICT (source, digest) DO UPDATE SET times = kept.times + 1, last_at = greatest(kept.last_at, excluded.last_at)
RETURNING id;

-- quarantine_bytes: How much of a source is in quarantine.
SELECT bytes FROM quarantine_totals WHERE source = :source;

-- quarantine_sizes: How much of each source is in quarantine.
SELECT source, bytes FROM quarantine_totals;


-- lane: How a lane stands, and whether anything that is pending for its sink was lost so often that it is suspected.
SELECT EXISTS (SELECT FROM deliveries WHERE sink = asked.sink AND lost > 1 AND state = 'pending') AS suspects,
    asked.sink, state, next_at, failures, reason, since, coalesce(version, 0) AS version, free_at
FROM (SELECT :sink::text AS sink) AS asked LEFT JOIN lanes USING (sink);

-- add_lane: Make room for how a lane stands.
INSERT INTO lanes (sink, state, failures) VALUES (:sink, 'open', 0) ON CONFLICT (sink) DO NOTHING;

-- lock_lane: Let no other router claim for this sink, nor set its lane, until this is committed; none where one does just now.
SELECT sink FROM lanes WHERE sink = :sink FOR UPDATE SKIP LOCKED;

-- is_claimed: Whether anything of a sink is claimed.
SELECT EXISTS (SELECT FROM deliveries WHERE sink = :sink AND state = 'claimed') AS any;

-- pace_lane: Remember when a sink may be sent something again.
UPDATE lanes SET free_at = :free_at WHERE sink = :sink;

-- one_suspect: Let no other router claim anything that is suspected, until this one has committed; false where one does just now.
SELECT pg_try_advisory_xact_lock(:lock) AS taken;

-- claimed_suspects: How many claimed deliveries, of any sink, are suspected.
SELECT count(*) AS n FROM deliveries WHERE lost > 1 AND state = 'claimed';

-- due: The deliveries of a sink that have been due for the longest, but for those that another router has its hand on.
SELECT event_id, id, lost, due FROM deliveries
WHERE sink = :sink AND state = 'pending' AND due <= :now AND (lost <= 1 OR :suspects)
ORDER BY due, id LIMIT :limit FOR UPDATE SKIP LOCKED;

-- due_for_probe: The same for a lane that is down: what it holds counts as due.
SELECT event_id, id, lost, due FROM deliveries
WHERE sink = :sink AND state = 'pending' AND (due <= :now OR held) AND (lost <= 1 OR :suspects)
ORDER BY due, id LIMIT :limit FOR UPDATE SKIP LOCKED;

-- claim: Claim these, and find all that their sink is given; nothing of the event where damage has parted the two.
WITH claimed AS (
    UPDATE deliveries
    SET state = 'claimed', attempt = deliveries.attempt + 1, claimed_at = :now, claimed_until = :until,
        claimed_by = router_name()
    FROM unnest(:event_id::uuid[], :id::uuid[]) AS chosen (event_id, id)
    WHERE deliveries.event_id = chosen.event_id AND deliveries.id = chosen.id
    RETURNING deliveries.id, deliveries.event_id, deliveries.sink, deliveries.attempt, deliveries.retries,
        deliveries.accepted_at, deliveries.due, deliveries.replay_of
)
SELECT
    claimed.id AS delivery_id, claimed.event_id, claimed.sink, claimed.attempt, claimed.retries, claimed.accepted_at,
    claimed.due, claimed.replay_of, events.id, events.sequence, events.source, events.format, events.received_at,
    events.revision, events.content_type, events.routes, events.sha256, events.call, events.body,
    CASE WHEN events.revision > 1 THEN (
        SELECT earlier.remote_id FROM seen JOIN deliveries AS earlier ON earlier.event_id = seen.event_id
        WHERE seen.source = events.source AND seen.call = events.seen_call AND seen.revision < events.revision
            AND earlier.sink = claimed.sink AND earlier.remote_id IS NOT NULL
        ORDER BY seen.revision, earlier.id LIMIT 1
    ) END AS follows,
    EXISTS (
        SELECT FROM seen JOIN deliveries AS later ON later.event_id = seen.event_id
        WHERE seen.source = events.source AND seen.call = events.seen_call AND seen.revision > events.revision
            AND later.sink = claimed.sink AND later.state = 'delivered'
    ) AS superseded
FROM claimed LEFT JOIN events ON events.id = claimed.event_id
ORDER BY claimed.due, claimed.id;

-- next_due: When the next pending delivery of a sink is due.
SELECT min(due) AS due FROM deliveries WHERE sink = :sink AND state = 'pending';

-- next_due_beside: The same while a suspect is claimed: others must wait for that, at least until `later`.
SELECT least(
    (SELECT min(due) FROM deliveries WHERE sink = :sink AND state = 'pending' AND lost <= 1),
    (SELECT greatest(min(due), :later) FROM deliveries WHERE sink = :sink AND state = 'pending' AND lost > 1
        HAVING min(due) IS NOT NULL)
) AS due;

-- settle: Write what attempts came to, where the claims still hold.
UPDATE deliveries
SET state = told.state, held = told.held, claimed_at = NULL, claimed_until = NULL, claimed_by = NULL,
    due = coalesce(told.due, deliveries.due), retries = deliveries.retries + told.spent, settled_at = told.settled_at,
    reason = told.reason, remote_id = coalesce(told.remote_id, deliveries.remote_id),
    recipient = coalesce(told.recipient, deliveries.recipient), parts = coalesce(told.parts, deliveries.parts)
FROM unnest(
    :event_id::uuid[], :id::uuid[], :attempt::integer[], :state::text[], :held::boolean[], :due::timestamptz[],
    :spent::integer[], :settled_at::timestamptz[], :reason::text[], :remote_id::text[], :recipient::text[], :parts::text[]
) AS told (
    event_id, id, attempt, state, held, due, spent, settled_at, reason, remote_id, recipient, parts
)
WHERE deliveries.event_id = told.event_id AND deliveries.id = told.id AND deliveries.attempt = told.attempt
    AND deliveries.state = 'claimed'
RETURNING deliveries.id;

-- add_attempts: Remember tries.
INSERT INTO attempts (event_id, delivery_id, attempt, started_at, ended_at, outcome, reason)
SELECT * FROM unnest(
    :event_id::uuid[], :id::uuid[], :attempt::integer[], :started_at::timestamptz[], :now::timestamptz[],
    :outcome::text[], :reason::text[]
);

-- release: Give a claim back, and remember that it came to no try.
WITH held AS (
    SELECT event_id, id, attempt, claimed_at FROM deliveries
    WHERE event_id = :event_id AND id = :id AND attempt = :attempt AND state = 'claimed'
        AND claimed_by = router_name() FOR UPDATE  -- another router's is known by the same, where nothing came of ours
), tried AS (
    INSERT INTO attempts (event_id, delivery_id, attempt, started_at, ended_at, outcome)
    SELECT event_id, id, attempt, claimed_at, :now, 'released' FROM held
)
UPDATE deliveries
SET state = 'pending', held = false, claimed_at = NULL, claimed_until = NULL, claimed_by = NULL, due = :now
FROM held WHERE deliveries.event_id = held.event_id AND deliveries.id = held.id
RETURNING deliveries.id;

-- retake: Make lost claims due again, or dead where they were lost too often, and remember those tries.
WITH gone AS (
    SELECT event_id, id, attempt, claimed_at, lost + 1 < :poison_after AS again FROM deliveries
    WHERE state = 'claimed' AND (claimed_until <= :over OR (:left_behind AND claimed_by = router_name()))
    ORDER BY id::text FOR UPDATE SKIP LOCKED  -- `id` would be read from `deliveries_by_id`, which has all that there are
), tried AS (
    INSERT INTO attempts (event_id, delivery_id, attempt, started_at, ended_at, outcome, reason)
    SELECT event_id, id, attempt, claimed_at, :now, 'lost', :reason FROM gone
)
UPDATE deliveries
SET state = CASE WHEN gone.again THEN 'pending' ELSE 'dead' END,
    due = CASE WHEN gone.again THEN :now ELSE due END,
    settled_at = CASE WHEN gone.again THEN NULL ELSE :now END,
    reason = CASE WHEN gone.again THEN :reason ELSE :poison END,
    lost = lost + 1, held = false, claimed_at = NULL, claimed_until = NULL, claimed_by = NULL
FROM gone WHERE deliveries.event_id = gone.event_id AND deliveries.id = gone.id
RETURNING deliveries.id, deliveries.sink, deliveries.state;

-- due_sinks: Those of these sinks that a pending delivery is due for.
SELECT sink FROM unnest(:sinks::text[]) AS asked (sink) WHERE EXISTS (
    SELECT FROM deliveries WHERE deliveries.sink = asked.sink AND state = 'pending' AND due <= :now
);

-- move_waits: Move with the clock what is not due, or would not be any more.
UPDATE deliveries SET due = CASE WHEN due > :before THEN :now + (due - :before::timestamptz) ELSE :now::timestamptz END
WHERE state = 'pending' AND due > least(:before::timestamptz, :now::timestamptz);

-- move_claims: Move with the clock the end of claims that run.
UPDATE deliveries SET claimed_until = :now::timestamptz + (claimed_until - :before::timestamptz)
WHERE state = 'claimed' AND claimed_until > :running;

-- lanes: Every lane that was set.
SELECT sink, state, next_at, failures, reason, since, version FROM lanes WHERE version > 0;

-- set_lane: Remember a lane's state, unless another router has set it since.
INSERT INTO lanes AS lane (sink, state, next_at, failures, reason, since, version)
SELECT :sink::text, :state::text, :next_at::timestamptz, :failures::integer, :reason::text, :since::timestamptz, 1
WHERE :version::bigint = 0 OR EXISTS (SELECT FROM lanes WHERE sink = :sink)
ON CONFLICT (sink) DO UPDATE SET
    state = excluded.state, next_at = excluded.next_at, failures = excluded.failures, reason = excluded.reason,
    since = excluded.since, version = lane.version + 1
    WHERE lane.version = :version
RETURNING sink;

-- let_go: Make due what a lane has held.
UPDATE deliveries SET held = false, due = :now WHERE sink = :sink AND state = 'pending' AND held;


-- state_of: Where a delivery stands; it stays there until this is committed.
SELECT event_id, sink, state, ended FROM deliveries WHERE id = :id FOR UPDATE;

-- keep_event: Keep an event from being purged until this is committed; none where it is.
SELECT id FROM events WHERE id = :event_id FOR KEY SHARE;

-- mark_replayed: A dead delivery has got a successor.
UPDATE deliveries SET state = 'replayed' WHERE event_id = :event_id AND id = :replay_of;

-- add_replay: Owe again what was dead.
INSERT INTO deliveries (id, event_id, sink, state, accepted_at, due, replay_of)
VALUES (:id, :event_id, :sink, 'pending', :now, :now, :replay_of);

-- end: Give a pending delivery up, or let a dead one rest; why it had failed stays readable.
UPDATE deliveries SET
    state = 'dead', held = false, ended = true,
    settled_at = CASE WHEN state = 'dead' THEN settled_at ELSE :now END,
    reason = CASE WHEN reason IS NULL THEN :reason::text ELSE :reason::text || ' (before: ' || reason || ')' END
WHERE event_id = :event_id AND id = :id;

-- leave_quarantine: Take a body out of quarantine.
DELETE FROM quarantine WHERE id = :id RETURNING times, last_at;

-- end_quarantined: Let an unreadable body rest.
UPDATE quarantine SET ended = :reason WHERE id = :id AND ended IS NULL RETURNING id;

-- is_quarantined: Whether a body is in quarantine.
SELECT id FROM quarantine WHERE id = :id;

-- keep_unread: Remember why a body is still unreadable.
UPDATE quarantine SET reason = :reason WHERE id = :id RETURNING id;

-- event_to_route: An event as it was routed; nobody else routes or purges it until this is committed.
SELECT id, source, format, received_at, revision, content_type, routes, seen_call, sha256, call, body
FROM events WHERE id = :id FOR UPDATE;

-- sinks_of_event: The sinks that an event was ever owed to.
SELECT DISTINCT sink FROM deliveries WHERE event_id = :id;

-- route_again: Remember how an event is routed now.
UPDATE events SET routed = :routed, routes = :routes, rules = :rules, sha256 = :sha256 WHERE id = :id;

-- old_events: Events behind one and from before a time that owe nothing, oldest first.
SELECT id, received_at, sequence AS number, octet_length(body) AS size FROM events
WHERE received_at >= :at AND (received_at, sequence) > (:at, :number) AND received_at < :before AND NOT EXISTS (
    SELECT FROM deliveries
    WHERE deliveries.event_id = events.id AND deliveries.state IN ('pending', 'claimed') OFFSET 0
)
ORDER BY received_at, sequence LIMIT :limit;

-- lock_events: Those of these events that are still there; nobody else takes them until this is committed.
SELECT id FROM events WHERE id = ANY (:id::uuid[]) FOR UPDATE SKIP LOCKED;

-- owing: Those of these events that owe something after all: it was added before they were locked.
SELECT DISTINCT event_id FROM deliveries WHERE event_id = ANY (:id::uuid[]) AND state IN ('pending', 'claimed');

-- remove_attempts: Remove the attempts of events.
DELETE FROM attempts WHERE event_id = ANY (:id::uuid[]);

-- remove_deliveries: Remove the deliveries of events.
DELETE FROM deliveries WHERE event_id = ANY (:id::uuid[]) RETURNING id;

-- remove_events: Remove events.
DELETE FROM events WHERE id = ANY (:id::uuid[]);

-- old_quarantine: Unreadable bodies from before a time, oldest first; nobody else takes them until this is committed.
SELECT id, size FROM quarantine WHERE received_at < :before ORDER BY received_at LIMIT :limit FOR UPDATE SKIP LOCKED;

-- remove_quarantined: Remove unreadable bodies.
DELETE FROM quarantine WHERE id = ANY (:id::uuid[]);

-- forget_seen: Remove what was last seen before a time, oldest first.
WITH old AS MATERIALIZED (  -- once: for each row that it is compared with it would find others, as those before are locked
    SELECT source, call, digest FROM seen WHERE last_at < :before ORDER BY last_at LIMIT :limit FOR UPDATE SKIP LOCKED
)
DELETE FROM seen USING old
WHERE seen.source = old.source AND seen.call = old.call AND seen.digest = old.digest
RETURNING seen.event_id;

-- add_to_total: Count what is of no month.
SELECT add_to_total(:name, :n);

-- memo: What was kept under a name.
SELECT content FROM memos WHERE name = :name;

-- lock_memo: The same, while nobody else keeps another there until this is committed.
SELECT content FROM memos WHERE name = :name FOR UPDATE;

-- keep_memo: Keep it, in place of what was kept there.
INSERT INTO memos (name, content) VALUES (:name, :content)
ON CONFLICT (name) DO UPDATE SET content = excluded.content;

-- check: Write something that means nothing.
INSERT INTO checks AS own (shard, n) VALUES (shard(), 1) ON CONFLICT (shard) DO UPDATE SET n = own.n + 1;


-- months: The months that have partitions, oldest first, and whether something of them is owed.
SELECT substr(child.relname, 8) AS label, EXISTS (
    SELECT FROM delivery_totals
    WHERE month = to_date(substr(child.relname, 8), 'YYYY_MM') AND state IN ('pending', 'claimed')
    HAVING sum(n) > 0
) AS owes
FROM pg_inherits JOIN pg_class AS child ON child.oid = inhrelid
WHERE inhparent = 'events'::regclass AND child.relname ~ '^events_[0-9]{4}_[0-9]{2}$'
ORDER BY 1;

-- make_month: Make the partitions of a month.
SELECT make_month(:label, :first, :beyond) AS made;

-- drop_month: Drop the partitions of a month that is owed to nobody.
SELECT events, deliveries FROM drop_month(:label, :month::text::date);


-- totals: Everything counted but deliveries.
SELECT name, sum(n)::bigint AS n FROM totals GROUP BY name
UNION ALL SELECT routed, sum(n)::bigint FROM event_totals GROUP BY routed;

-- delivery_totals: Deliveries by sink and state.
SELECT sink, state, sum(n)::bigint AS n FROM delivery_totals GROUP BY sink, state HAVING sum(n) <> 0 ORDER BY sink, state;

-- ended: How many dead letters of each sink were ended.
SELECT sink, count(*) AS n FROM deliveries WHERE state = 'dead' AND ended GROUP BY sink;

-- unread: How many unreadable bodies nobody has ended.
SELECT coalesce((SELECT sum(n) FROM totals WHERE name = 'quarantined'), 0)::bigint
    - (SELECT count(*) FROM quarantine WHERE ended IS NOT NULL) AS n;

-- oldest: When the oldest delivery that is still owed was accepted, by sink.
SELECT owed.sink, first.accepted_at
FROM (
    SELECT sink FROM delivery_totals WHERE state IN ('pending', 'claimed') GROUP BY sink HAVING sum(n) > 0
) AS owed CROSS JOIN LATERAL (
    SELECT accepted_at FROM deliveries
    WHERE deliveries.sink = owed.sink AND state || '' IN ('pending', 'claimed') ORDER BY accepted_at LIMIT 1
) AS first;

-- event: One event, and how often the same content came.
SELECT events.id, events.sequence, events.source, events.format, events.received_at, events.revision,
    events.content_type, events.routed, events.routes, events.rules, events.sha256, events.call, events.body,
    seen.times, seen.last_at
FROM events LEFT JOIN seen
    ON seen.source = events.source AND seen.call = events.seen_call AND seen.digest = events.seen_digest
WHERE events.id = :id;

-- events: Events, newest first; `sink` where they are or were owed to that one.
SELECT sequence, id, source, format, received_at, revision, direction, call_id, channel_id, channel_name, routed, routes,
    CASE WHEN EXISTS (
        SELECT FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.sink = :sink
    ) THEN :sink END AS sink
FROM events WHERE id < :after AND id >= :since ORDER BY id DESC LIMIT :limit;

-- events_unrouted: Events that our routing failed for, as `events`.
SELECT sequence, id, source, format, received_at, revision, direction, call_id, channel_id, channel_name, routed, routes,
    CASE WHEN EXISTS (
        SELECT FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.sink = :sink
    ) THEN :sink END AS sink
FROM events WHERE routed = 'unrouted' AND id < :after AND id >= :since ORDER BY id DESC LIMIT :limit;

-- delivery: One delivery.
SELECT id, event_id, sink, state, attempt, retries, lost, accepted_at, due, claimed_until, settled_at, reason, recipient,
    parts, remote_id, replay_of, ended
FROM deliveries WHERE id = :id;

-- attempts: The tries of a delivery, first one first.
SELECT attempt, started_at, ended_at, outcome, reason FROM attempts
WHERE event_id = :event_id AND delivery_id = :id ORDER BY attempt;

-- deliveries: Deliveries with what is asked of their events, newest first.
SELECT one.id, one.event_id, one.sink, one.state, one.attempt, one.retries, one.lost, one.accepted_at, one.due,
    one.claimed_until, one.settled_at, one.reason, one.recipient, one.parts, one.remote_id, one.replay_of, one.ended,
    events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries AS one LEFT JOIN events ON events.id = one.event_id
WHERE one.id < :after AND one.id >= :since ORDER BY one.id DESC LIMIT :limit;

-- deliveries_of_event: Those of one event.
SELECT one.id, one.event_id, one.sink, one.state, one.attempt, one.retries, one.lost, one.accepted_at, one.due,
    one.claimed_until, one.settled_at, one.reason, one.recipient, one.parts, one.remote_id, one.replay_of, one.ended,
    events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries AS one LEFT JOIN events ON events.id = one.event_id
WHERE one.event_id = :event_id AND one.id < :after AND one.id >= :since ORDER BY one.id DESC LIMIT :limit;

-- deliveries_of_sink: Those of one sink. Ordered by what is the same for all, so that only the index of just those will do.
SELECT one.id, one.event_id, one.sink, one.state, one.attempt, one.retries, one.lost, one.accepted_at, one.due,
    one.claimed_until, one.settled_at, one.reason, one.recipient, one.parts, one.remote_id, one.replay_of, one.ended,
    events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries AS one LEFT JOIN events ON events.id = one.event_id
WHERE one.sink BETWEEN :sink AND :sink AND one.id < :after AND one.id >= :since
ORDER BY one.sink DESC, one.id DESC LIMIT :limit;

-- deliveries_in_state: Those in a state that is not `delivered`, in the same way.
SELECT one.id, one.event_id, one.sink, one.state, one.attempt, one.retries, one.lost, one.accepted_at, one.due,
    one.claimed_until, one.settled_at, one.reason, one.recipient, one.parts, one.remote_id, one.replay_of, one.ended,
    events.source, events.direction, events.channel_id, events.channel_name, events.routes
FROM deliveries AS one LEFT JOIN events ON events.id = one.event_id
WHERE one.state || '' BETWEEN :state AND :state AND one.state || '' <> 'delivered'
    AND one.id < :after AND one.id >= :since
ORDER BY one.state || '' DESC, one.id DESC LIMIT :limit;

-- quarantined: Unreadable bodies, newest first.
SELECT id, source, reason, size, received_at, times, last_at, ended
FROM quarantine WHERE id < :after AND id >= :since ORDER BY id DESC LIMIT :limit;

-- quarantined_body: One unreadable body.
SELECT id, source, reason, size, received_at, times, last_at, ended, digest, content_type, body
FROM quarantine WHERE id = :id;

-- channels: Channels, the one with the newest call first.
SELECT source, CASE WHEN by_id THEN key ELSE '' END AS id,
    coalesce((array_agg(name ORDER BY named_at DESC, named_by DESC) FILTER (WHERE named_at IS NOT NULL))[1], '') AS name,
    sum(calls)::bigint AS calls, max(last_at) AS last_at
FROM channels GROUP BY source, by_id, key ORDER BY max(last_at) DESC, source, name, id;

-- heard: When anything of a source came last.
SELECT greatest(
    (SELECT max(last_at) FROM seen WHERE source = :source), (SELECT max(last_at) FROM quarantine WHERE source = :source)
) AS last_at;


-- encoding: How the database keeps texts.
SHOW server_encoding;

-- settings: Whether this server keeps what it says that it keeps.
SELECT current_setting('fsync') AS fsync, current_setting('full_page_writes') AS full_page_writes,
    current_setting('synchronous_commit') AS synchronous_commit;

-- set_durable: Answer a commit when it is on stable storage, here and on the synchronous standbys.
SET synchronous_commit = on;

-- set_applied: The same, and when it can be seen on those.
SET synchronous_commit = remote_apply;

-- end_processes: End what the server does for connections of ours that are none any more.
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = ANY (:pids::integer[]) AND application_name = 'aftercall' AND usename = current_user;

-- take_shard: Take a number for this connection, unless another has it.
SELECT pg_try_advisory_lock(:lock, :shard) AS taken;

-- set_shard: Count by this number.
SELECT set_config('aftercall.shard', :shard, false);

-- set_router: Claim by this name.
SELECT set_config('aftercall.router', :router, false);

-- lock_schema: Let nobody else change the schema; a router that starts at the same moment waits.
SELECT pg_advisory_lock(:lock);

-- unlock_schema: Let others change it; the end of the connection does that, too.
SELECT pg_advisory_unlock(:lock);

-- has_schema: Whether there is anything of ours.
SELECT to_regclass('aftercall.migrations') IS NOT NULL AS there;

-- add_schema: Make a place of our own, beside whatever else is in the database.
CREATE SCHEMA IF NOT EXISTS aftercall;

-- add_migrations: Make a place for the version.
CREATE TABLE aftercall.migrations (version integer PRIMARY KEY, name text NOT NULL);

-- version: Which migration made this database what it is.
SELECT coalesce(max(version), 0) AS version FROM migrations;

-- migrated: Remember a migration.
INSERT INTO migrations (version, name) VALUES (:version, :name);

-- seen_key: The key of `seen`.
SELECT key FROM seen_key;

-- any_seen: Whether anything was ever seen.
SELECT EXISTS (SELECT FROM seen) AS any;

-- set_seen_key: Remember the key of `seen`.
INSERT INTO seen_key (key) VALUES (:key);

-- forget_seen_key: Make room for another key.
DELETE FROM seen_key;


-- has_half_copy: Whether this is a copy that is not finished.
SELECT to_regclass('aftercall.half_copy') IS NOT NULL AS there;

-- add_half_copy: From now on it is one.
CREATE TABLE half_copy (noted text NOT NULL);

-- begin_half_copy: Note that nothing is copied yet.
INSERT INTO half_copy (noted) VALUES (:noted);

-- note_half_copy: Note how far it is.
UPDATE half_copy SET noted = :noted;

-- half_copy: How far it is.
SELECT noted FROM half_copy;

-- end_half_copy: From now on it is a store.
DROP TABLE half_copy;

-- take_for_copy: Let no other copy begin in this database, until this connection ends.
SELECT pg_try_advisory_lock(:lock) AS taken;

-- routers_connected: How many connections of routers there are.
SELECT count(*) AS n FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'aftercall' AND pid <> pg_backend_pid();

-- last_sequence: The number of the newest event that ever was.
SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS n FROM event_sequence;

-- set_sequence: The next event gets the number after this one.
SELECT setval('event_sequence', greatest(:n::bigint, 1), :n::bigint > 0);

-- forget_totals: What is counted by no row is set anew.
DELETE FROM totals WHERE name <> 'quarantined';


-- take_lock: Take a lock for as long as this connection lasts, unless somebody else has it.
SELECT pg_try_advisory_lock(:lock) AS taken;

-- answer_at_once: Let commits not wait for the disk, nor for a standby: what is written here may be lost.
SET synchronous_commit = off;

-- beat: Say that a router is there, and forget those (`forgets`) that were not for a week.
WITH forgotten AS (
    DELETE FROM routers WHERE :forgets AND name <> :name AND beat_at < clock_timestamp() - interval '7 days'
)
INSERT INTO routers AS router (name, run, pid, connected_at, version, rules, ahead, holds, started_at, beat_at)
SELECT :name::text, :run::uuid, pid, backend_start, :version::text, :rules::text, :ahead::double precision, :holds::boolean,
    clock_timestamp(), clock_timestamp()
FROM pg_stat_activity WHERE pid = pg_backend_pid()
ON CONFLICT (name) DO UPDATE SET
    run = excluded.run, pid = excluded.pid, connected_at = excluded.connected_at, version = excluded.version,
    rules = excluded.rules, ahead = excluded.ahead, holds = excluded.holds,
    started_at = CASE WHEN router.run = excluded.run THEN router.started_at ELSE excluded.started_at END,
    beat_at = excluded.beat_at
RETURNING clock_timestamp() AS time;

-- leave: A router is there no more.
DELETE FROM routers WHERE name = :name AND run = :run;

-- holder: Who has a lock, as far as that is known.
SELECT host(activity.client_addr) AS address, coalesce(router.started_at, activity.backend_start) AS since, router.version
FROM pg_locks
LEFT JOIN pg_stat_activity AS activity ON activity.pid = pg_locks.pid
LEFT JOIN routers AS router ON router.pid = pg_locks.pid AND router.name = :name
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND (classid::bigint << 32) | objid::bigint = :lock
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- end_holder: End the connection that has a lock, where it is one of these.
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND (classid::bigint << 32) | objid::bigint = :lock
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) AND pid = ANY (:pids::integer[]);

-- last_beat: When the router beat last that has a lock.
SELECT routers.pid, beat_at
FROM pg_locks
JOIN routers ON routers.pid = pg_locks.pid
JOIN pg_stat_activity AS activity ON activity.pid = routers.pid AND backend_start = connected_at
WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND (classid::bigint << 32) | objid::bigint = :lock
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database());

-- others: Whether any other router that might keep house is there, and has beaten, or was lately: a server that has just taken
-- over knows no connection of them yet.
SELECT EXISTS (
    SELECT FROM routers WHERE name <> :name AND NOT holds AND (
        beat_at > clock_timestamp() - :alive::interval
        OR (pid, connected_at) IN (SELECT pid, backend_start FROM pg_stat_activity)
    )
) AS any;

-- routers: Which routers there are, by name, and which of them keeps house.
SELECT name, run, version, rules, ahead, holds, started_at, beat_at, beat_at > clock_timestamp() - :alive::interval AS alive,
    coalesce((pid, connected_at) IN (
        SELECT activity.pid, backend_start FROM pg_locks JOIN pg_stat_activity AS activity ON activity.pid = pg_locks.pid
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND (classid::bigint << 32) | objid::bigint = :house
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ), false) AS keeps_house
FROM routers ORDER BY name;
