-- Operators ask for the few events that routing failed for, however many others there are.
CREATE INDEX events_unrouted ON events (id) WHERE routed = 'unrouted';

-- When anything of a source came last, asked for alarms again and again.
CREATE INDEX seen_by_source ON seen (source, last_at);

PRAGMA user_version = 3;
