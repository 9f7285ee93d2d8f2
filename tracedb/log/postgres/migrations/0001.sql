-- The log: never derived, never changed.

CREATE TABLE log (one integer PRIMARY KEY CHECK (one = 1), origin text NOT NULL, created bigint NOT NULL);

-- leaf is the canonical JSON of the entry, hash its RFC 6962 leaf hash.
CREATE TABLE leaves (seq bigint PRIMARY KEY, leaf bytea NOT NULL, hash bytea NOT NULL CHECK (length(hash) = 32));

CREATE TABLE payloads (seq bigint PRIMARY KEY, body bytea NOT NULL);

-- Roots of complete subtrees of 256, 65536, … leaves: level 0 is in leaves.
CREATE TABLE nodes (level integer NOT NULL, idx bigint NOT NULL, hash bytea NOT NULL CHECK (length(hash) = 32),
  PRIMARY KEY (level, idx));

-- The tree after each batch.
CREATE TABLE heads (size bigint PRIMARY KEY, root bytea NOT NULL CHECK (length(root) = 32), time bigint NOT NULL);

-- Which attestation came with which record: none comes twice.
CREATE TABLE attestations (digest text COLLATE "C" PRIMARY KEY, seq bigint NOT NULL);

-- Whose payload was disposed of, and the record of kind disposal that says so.
CREATE TABLE disposals (seq bigint PRIMARY KEY, record bigint NOT NULL);

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the log is append-only: no % of %', lower(TG_OP), TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;

-- A payload goes only if a record says so, and doesn't come back.
CREATE FUNCTION payload_goes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NOT EXISTS (SELECT 1 FROM disposals WHERE seq = OLD.seq) THEN
    RAISE EXCEPTION 'the log is append-only: payloads are deleted only if a disposal names them' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN OLD;
END $$;
CREATE FUNCTION payload_comes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT 1 FROM added a JOIN disposals d ON d.seq = a.seq) THEN
    RAISE EXCEPTION 'the log is append-only: a payload that was disposed of does not come back' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE FUNCTION disposal_comes() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.seq >= NEW.record OR NOT EXISTS (SELECT 1 FROM records WHERE seq = NEW.record AND kind = 'disposal') THEN
    RAISE EXCEPTION 'the log is append-only: only a record of kind disposal, later than what it names, disposes' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NEW;
END $$;

-- ALWAYS: a session that switches triggers off for replication doesn't switch these off.
CREATE TRIGGER log_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE log ENABLE ALWAYS TRIGGER log_append_only;
CREATE TRIGGER leaves_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON leaves FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE leaves ENABLE ALWAYS TRIGGER leaves_append_only;
CREATE TRIGGER nodes_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON nodes FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE nodes ENABLE ALWAYS TRIGGER nodes_append_only;
CREATE TRIGGER heads_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON heads FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE heads ENABLE ALWAYS TRIGGER heads_append_only;
CREATE TRIGGER attestations_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON attestations FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE attestations ENABLE ALWAYS TRIGGER attestations_append_only;
CREATE TRIGGER disposals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON disposals FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE disposals ENABLE ALWAYS TRIGGER disposals_append_only;
CREATE TRIGGER payloads_append_only BEFORE UPDATE OR TRUNCATE ON payloads FOR EACH STATEMENT EXECUTE FUNCTION refuse();
ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_append_only;
CREATE TRIGGER payloads_go BEFORE DELETE ON payloads FOR EACH ROW EXECUTE FUNCTION payload_goes();
ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_go;
CREATE TRIGGER payloads_come AFTER INSERT ON payloads REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION payload_comes();
ALTER TABLE payloads ENABLE ALWAYS TRIGGER payloads_come;
CREATE TRIGGER disposals_come BEFORE INSERT ON disposals FOR EACH ROW EXECUTE FUNCTION disposal_comes();
ALTER TABLE disposals ENABLE ALWAYS TRIGGER disposals_come;
