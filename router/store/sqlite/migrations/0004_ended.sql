-- Dead letters and unreadable bodies that an operator has looked at, and said of that nothing is to be done any more.
ALTER TABLE deliveries ADD COLUMN ended INTEGER NOT NULL DEFAULT 0;
UPDATE deliveries SET ended = 1 WHERE state = 'dead' AND reason LIKE 'ended by an operator: %';
CREATE INDEX deliveries_ended ON deliveries (sink) WHERE state = 'dead' AND ended;

ALTER TABLE quarantine ADD COLUMN ended TEXT;
CREATE INDEX quarantine_ended ON quarantine (id) WHERE ended IS NOT NULL;

PRAGMA user_version = 4;
