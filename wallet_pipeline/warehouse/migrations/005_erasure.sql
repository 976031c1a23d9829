-- Passes that are to stay forgotten, known by keyed hashes alone. All times are UTC.
CREATE TABLE raw.erasure_key (key VARCHAR);
COMMENT ON TABLE raw.erasure_key IS 'The secret of this installation with which pass ids are hashed: one row, made by the first wallet-pipeline forget.';
COMMENT ON COLUMN raw.erasure_key.key IS '256 random bits, in hex.';

CREATE TABLE raw.forgotten_passes (pass_hash VARCHAR, forgotten_at TIMESTAMP);
COMMENT ON TABLE raw.forgotten_passes IS 'Passes of people who were forgotten: what is told of them is left out. Key: pass_hash.';
COMMENT ON COLUMN raw.forgotten_passes.pass_hash IS 'SHA-256 of the key of this installation and the pass id.';
COMMENT ON COLUMN raw.forgotten_passes.forgotten_at IS 'When wallet-pipeline forget removed it, UTC.';

CREATE TABLE raw.erasures (erased_at TIMESTAMP, passes BIGINT, row_count BIGINT, finished_at TIMESTAMP);
COMMENT ON TABLE raw.erasures IS 'One row for each time that wallet-pipeline forget removed somebody. Says nothing of whom. Key: erased_at.';
COMMENT ON COLUMN raw.erasures.erased_at IS 'When the rows were removed, UTC.';
COMMENT ON COLUMN raw.erasures.passes IS 'Number of passes that were forgotten.';
COMMENT ON COLUMN raw.erasures.row_count IS 'Number of rows that were removed from the warehouse.';
COMMENT ON COLUMN raw.erasures.finished_at IS 'When the files had been written anew, UTC; null when that was broken off: the next wallet-pipeline forget, of anybody, finishes it.';

CREATE MACRO raw.pass_hash(id) AS sha256((SELECT max(key) FROM raw.erasure_key) || id);

-- False too for an id that is null.
CREATE MACRO raw.is_forgotten(id) AS coalesce(raw.pass_hash(id) IN (SELECT pass_hash FROM raw.forgotten_passes), FALSE);

ALTER TABLE raw.snapshots ADD COLUMN forgotten BIGINT;
ALTER TABLE raw.snapshots ADD COLUMN forgotten_apple BIGINT;
ALTER TABLE raw.snapshots ADD COLUMN forgotten_google BIGINT;
UPDATE raw.snapshots SET forgotten = 0, forgotten_apple = 0, forgotten_google = 0;
COMMENT ON COLUMN raw.snapshots.passes IS 'Distinct passes listed, forgotten ones included.';
COMMENT ON COLUMN raw.snapshots.forgotten IS 'Passes listed that are forgotten: they were counted and left out.';
COMMENT ON COLUMN raw.snapshots.forgotten_apple IS 'Those of them that are installed in Apple Wallet.';
COMMENT ON COLUMN raw.snapshots.forgotten_google IS 'Those of them that are installed in Google Wallet.';
