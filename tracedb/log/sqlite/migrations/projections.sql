-- Projections: derived from leaves and payloads. Rebuilding drops these tables and makes them anew;
-- between two rebuildings they are append-only like the log.

CREATE TABLE records (seq INTEGER PRIMARY KEY, time INTEGER NOT NULL, id TEXT NOT NULL, kind TEXT NOT NULL, actor TEXT NOT NULL,
  writer TEXT NOT NULL, at INTEGER NOT NULL, outcome TEXT NOT NULL, payload BLOB NOT NULL, size INTEGER NOT NULL);
CREATE UNIQUE INDEX records_id ON records (writer, id);
CREATE INDEX records_time ON records (time);
CREATE INDEX records_kind ON records (kind);
CREATE INDEX records_actor ON records (actor);
CREATE INDEX records_outcome ON records (outcome) WHERE outcome <> '';

CREATE TABLE refs (type TEXT NOT NULL, value TEXT NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (type, value, seq)) WITHOUT ROWID;

CREATE TABLE facts (tbl TEXT NOT NULL, key TEXT NOT NULL, seq INTEGER NOT NULL, value TEXT NOT NULL, bound INTEGER NOT NULL,
  PRIMARY KEY (tbl, key, seq)) WITHOUT ROWID;
CREATE UNIQUE INDEX facts_bound ON facts (tbl, key) WHERE bound = 1;

CREATE TRIGGER records_update BEFORE UPDATE ON records BEGIN SELECT RAISE(ABORT, 'the log is append-only: records are never changed'); END;
CREATE TRIGGER records_delete BEFORE DELETE ON records BEGIN SELECT RAISE(ABORT, 'the log is append-only: records are never deleted'); END;
CREATE TRIGGER records_replace BEFORE INSERT ON records WHEN EXISTS (SELECT 1 FROM records WHERE seq = NEW.seq OR writer = NEW.writer AND id = NEW.id)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: records are never replaced'); END;
CREATE TRIGGER refs_update BEFORE UPDATE ON refs BEGIN SELECT RAISE(ABORT, 'the log is append-only: refs are never changed'); END;
CREATE TRIGGER refs_delete BEFORE DELETE ON refs BEGIN SELECT RAISE(ABORT, 'the log is append-only: refs are never deleted'); END;
CREATE TRIGGER facts_update BEFORE UPDATE ON facts BEGIN SELECT RAISE(ABORT, 'the log is append-only: facts are never changed'); END;
CREATE TRIGGER facts_delete BEFORE DELETE ON facts BEGIN SELECT RAISE(ABORT, 'the log is append-only: facts are never deleted'); END;
CREATE TRIGGER facts_replace BEFORE INSERT ON facts WHEN EXISTS (SELECT 1 FROM facts WHERE tbl = NEW.tbl AND key = NEW.key AND seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: facts are never replaced'); END;
CREATE TRIGGER facts_bound_replace BEFORE INSERT ON facts
  WHEN NEW.bound = 1 AND EXISTS (SELECT 1 FROM facts WHERE bound = 1 AND tbl = NEW.tbl AND key = NEW.key)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: a bound fact is never replaced'); END;
