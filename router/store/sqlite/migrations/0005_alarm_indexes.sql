-- How long something has waited for each sink, and when anything of a source came last: asked for alarms and at each
-- scrape, and worst where much waits or nothing can be read.
CREATE INDEX deliveries_owed ON deliveries (sink, accepted_at) WHERE state IN ('pending', 'claimed');
CREATE INDEX quarantine_by_source ON quarantine (source, last_at);

PRAGMA user_version = 5;
