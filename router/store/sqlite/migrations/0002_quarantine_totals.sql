-- How much of each source is in quarantine, so that one of them cannot fill the disk. A row counts for 1024 bytes
-- besides its body.

CREATE TABLE quarantine_totals (source TEXT PRIMARY KEY, bytes INTEGER NOT NULL) STRICT, WITHOUT ROWID;

INSERT INTO quarantine_totals SELECT source, sum(size + 1024) FROM quarantine GROUP BY source;

CREATE TRIGGER quarantine_grew AFTER INSERT ON quarantine BEGIN
    INSERT INTO quarantine_totals VALUES (NEW.source, NEW.size + 1024)
    ON CONFLICT (source) DO UPDATE SET bytes = bytes + NEW.size + 1024;
END;

CREATE TRIGGER quarantine_shrank AFTER DELETE ON quarantine BEGIN
    UPDATE quarantine_totals SET bytes = bytes - OLD.size - 1024 WHERE source = OLD.source;
END;

PRAGMA user_version = 2;
