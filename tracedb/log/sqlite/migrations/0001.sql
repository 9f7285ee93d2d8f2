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
CREATE TABLE disposals (seq INTEGER PRIMARY KEY, record INTEGER NOT NULL);

-- Nothing is changed or deleted. REPLACE deletes without asking a DELETE trigger, so it is refused
-- where it begins: an INSERT over a row that is there.
CREATE TRIGGER log_update BEFORE UPDATE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only: its name is never changed'); END;
CREATE TRIGGER log_delete BEFORE DELETE ON log BEGIN SELECT RAISE(ABORT, 'the log is append-only: its name is never deleted'); END;
CREATE TRIGGER log_replace BEFORE INSERT ON log WHEN EXISTS (SELECT 1 FROM log WHERE one = NEW.one)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: its name is never replaced'); END;
CREATE TRIGGER leaves_update BEFORE UPDATE ON leaves BEGIN SELECT RAISE(ABORT, 'the log is append-only: leaves are never changed'); END;
CREATE TRIGGER leaves_delete BEFORE DELETE ON leaves BEGIN SELECT RAISE(ABORT, 'the log is append-only: leaves are never deleted'); END;
CREATE TRIGGER leaves_replace BEFORE INSERT ON leaves WHEN EXISTS (SELECT 1 FROM leaves WHERE seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: leaves are never replaced'); END;
CREATE TRIGGER nodes_update BEFORE UPDATE ON nodes BEGIN SELECT RAISE(ABORT, 'the log is append-only: nodes are never changed'); END;
CREATE TRIGGER nodes_delete BEFORE DELETE ON nodes BEGIN SELECT RAISE(ABORT, 'the log is append-only: nodes are never deleted'); END;
CREATE TRIGGER nodes_replace BEFORE INSERT ON nodes WHEN EXISTS (SELECT 1 FROM nodes WHERE level = NEW.level AND idx = NEW.idx)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: nodes are never replaced'); END;
CREATE TRIGGER heads_update BEFORE UPDATE ON heads BEGIN SELECT RAISE(ABORT, 'the log is append-only: heads are never changed'); END;
CREATE TRIGGER heads_delete BEFORE DELETE ON heads BEGIN SELECT RAISE(ABORT, 'the log is append-only: heads are never deleted'); END;
CREATE TRIGGER heads_replace BEFORE INSERT ON heads WHEN EXISTS (SELECT 1 FROM heads WHERE size = NEW.size)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: heads are never replaced'); END;
CREATE TRIGGER attestations_update BEFORE UPDATE ON attestations BEGIN SELECT RAISE(ABORT, 'the log is append-only: attestations are never changed'); END;
CREATE TRIGGER attestations_delete BEFORE DELETE ON attestations BEGIN SELECT RAISE(ABORT, 'the log is append-only: attestations are never deleted'); END;
CREATE TRIGGER attestations_replace BEFORE INSERT ON attestations WHEN EXISTS (SELECT 1 FROM attestations WHERE digest = NEW.digest)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: attestations are never replaced'); END;
CREATE TRIGGER disposals_update BEFORE UPDATE ON disposals BEGIN SELECT RAISE(ABORT, 'the log is append-only: disposals are never changed'); END;
CREATE TRIGGER disposals_delete BEFORE DELETE ON disposals BEGIN SELECT RAISE(ABORT, 'the log is append-only: disposals are never deleted'); END;
CREATE TRIGGER disposals_replace BEFORE INSERT ON disposals WHEN EXISTS (SELECT 1 FROM disposals WHERE seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: disposals are never replaced'); END;
CREATE TRIGGER payloads_update BEFORE UPDATE ON payloads BEGIN SELECT RAISE(ABORT, 'the log is append-only: payloads are never changed'); END;
CREATE TRIGGER payloads_replace BEFORE INSERT ON payloads WHEN EXISTS (SELECT 1 FROM payloads WHERE seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: payloads are never replaced'); END;

-- A payload goes only if a record says so, and doesn't come back.
CREATE TRIGGER payloads_delete BEFORE DELETE ON payloads WHEN NOT EXISTS (SELECT 1 FROM disposals WHERE seq = OLD.seq)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: payloads are deleted only if a disposal names them'); END;
CREATE TRIGGER payloads_return BEFORE INSERT ON payloads WHEN EXISTS (SELECT 1 FROM disposals WHERE seq = NEW.seq)
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: a payload that was disposed of does not come back'); END;
CREATE TRIGGER disposals_record BEFORE INSERT ON disposals
  WHEN NOT EXISTS (SELECT 1 FROM records WHERE seq = NEW.record AND kind = 'disposal') OR NEW.seq >= NEW.record
  BEGIN SELECT RAISE(ABORT, 'the log is append-only: only a record of kind disposal, later than what it names, disposes'); END;
