-- Projections: derived from leaves and payloads. Rebuilding makes these tables anew and drops the old
-- ones; between two rebuildings they are append-only like the log.

CREATE TABLE records (seq bigint PRIMARY KEY, time bigint NOT NULL, id text COLLATE "C" NOT NULL, kind text COLLATE "C" NOT NULL,
  actor text COLLATE "C" NOT NULL, writer text COLLATE "C" NOT NULL, at bigint NOT NULL, outcome text COLLATE "C" NOT NULL,
  payload bytea NOT NULL, size bigint NOT NULL);
CREATE UNIQUE INDEX records_id ON records (writer, id);
CREATE INDEX records_time ON records (time, seq);
CREATE INDEX records_kind ON records (kind, seq);
CREATE INDEX records_actor ON records (actor, seq);
CREATE INDEX records_outcome ON records (outcome, seq) WHERE outcome <> '';

CREATE TABLE refs (type text COLLATE "C" NOT NULL, value text COLLATE "C" NOT NULL, seq bigint NOT NULL, PRIMARY KEY (type, value, seq));

CREATE TABLE facts (tbl text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL, seq bigint NOT NULL, value text NOT NULL, bound integer NOT NULL,
  PRIMARY KEY (tbl, key, seq));
CREATE UNIQUE INDEX facts_bound ON facts (tbl, key) WHERE bound = 1;

CREATE TRIGGER records_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON records FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE records ENABLE ALWAYS TRIGGER records_append_only;
CREATE TRIGGER refs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON refs FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE refs ENABLE ALWAYS TRIGGER refs_append_only;
CREATE TRIGGER facts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON facts FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE facts ENABLE ALWAYS TRIGGER facts_append_only;
