-- The log: never derived, never changed.

CREATE TABLE log (one INTEGER PRIMARY KEY CHECK (one = 1), origin TEXT NOT NULL, created INTEGER NOT NULL);

-- leaf is the canonical JSON of the entry, hash its RFC 6962 leaf hash.
CREATE TABLE leaves (seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32));

CREATE TABLE payloads (seq INTEGER PRIMARY KEY, body BLOB NOT NULL);

-- Roots of complete subtrees of 256, 65536, … leaves: level 0 is in leaves.
CREATE TABLE nodes (level INTEGER NOT NULL, idx INTEGER NOT NULL, hash BLOB NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, idx)) WITHOUT ROWID;

-- The tree after each batch.
CREATE TABLE heads (size INTEGER PRIMARY KEY, root BLOB NOT NULL CHECK (length(root) = 32), time INTEGER NOT NULL);

-- Which attestation came with which record: none comes twice.
CREATE TABLE attestations (digest TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;

-- Whose payload was disposed of, and the record of kind disposal that says so.
CREATE TABLE disposals (seq INTEGER PRIMARY KEY, by INTEGER NOT NULL);

-- Projections: derived from leaves and payloads, and rebuilt from them.

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
