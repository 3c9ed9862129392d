"""Sessions that can be ended, what was revoked lately, and signing keys that are published before they sign."""

from alembic import op

revision = "0010"
down_revision = "0009"

SESSIONS = """
CREATE TABLE sessions (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    began_at timestamptz DEFAULT now() NOT NULL,
    ends_at timestamptz NOT NULL,
    ended_at timestamptz,
    ended_because TEXT,
    CONSTRAINT pk_sessions PRIMARY KEY (id),
    CONSTRAINT fk_sessions_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT ck_sessions_end_has_a_reason CHECK ((ended_at IS NULL) = (ended_because IS NULL)),
    CONSTRAINT ck_sessions_reason_known
        CHECK (ended_because IN ('logout', 'reuse', 'password_changed', 'password_set', 'disabled'))
);
CREATE INDEX ix_sessions_user_id ON sessions (user_id) WHERE ended_at IS NULL;
COMMENT ON INDEX ix_sessions_user_id IS 'end all sessions of a user';
CREATE INDEX ix_sessions_ends_at ON sessions (ends_at);
COMMENT ON INDEX ix_sessions_ends_at IS 'the pruning of sessions that were over long ago';
COMMENT ON TABLE sessions IS
    'one login each: a family of refresh tokens, and the access tokens that were issued to it';
COMMENT ON COLUMN sessions.ends_at IS 'however often it is refreshed';
COMMENT ON COLUMN sessions.ended_at IS 'null: by nobody';

-- What is alive now goes on, for as long as a session of today may last.
INSERT INTO sessions (id, user_id, began_at, ends_at)
SELECT family, user_id, min(issued_at), min(issued_at) + interval '90 days' FROM refresh_tokens
GROUP BY family, user_id HAVING bool_or(used_at IS NULL AND expires_at > now());

ALTER TABLE refresh_tokens ADD COLUMN salt BYTEA;
COMMENT ON COLUMN refresh_tokens.salt IS
    'with the token itself and a key of ours, it makes the successor once more';
COMMENT ON COLUMN refresh_tokens.family IS 'its session; all its successors have the same one';
COMMENT ON COLUMN refresh_tokens.used_at IS 'when it was exchanged';
"""

REVOCATIONS = """
CREATE TABLE revocations (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    subject UUID NOT NULL,
    epoch INTEGER NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_revocations PRIMARY KEY (id)
);
CREATE INDEX ix_revocations_xid ON revocations (xid);
COMMENT ON INDEX ix_revocations_xid IS 'every API process: what was revoked since a transaction';
CREATE INDEX ix_revocations_at ON revocations (at);
COMMENT ON INDEX ix_revocations_at IS 'an API process that starts, and the pruning of old ones';
COMMENT ON TABLE revocations IS 'what was revoked lately, for every API process to hear of';
COMMENT ON COLUMN revocations.subject IS 'a user, or a session';
COMMENT ON COLUMN revocations.epoch IS 'credentials of the subject that are of an older epoch are void';
"""

KEYS = """
ALTER TABLE signing_keys
    DROP CONSTRAINT ck_signing_keys_state_known,
    ADD COLUMN activated_at timestamptz,
    ADD COLUMN trusted_until timestamptz,
    ALTER COLUMN sealed_private_key DROP NOT NULL;
-- No command has made more than one; where hands have, the newest signs, as it did.
UPDATE signing_keys SET activated_at = created_at;
UPDATE signing_keys SET state = 'retired'
WHERE state = 'active' AND kid <> (
    SELECT kid FROM signing_keys WHERE state = 'active' ORDER BY created_at DESC LIMIT 1);
UPDATE signing_keys SET trusted_until = now() + interval '17 minutes', sealed_private_key = NULL
WHERE state = 'retired';
ALTER TABLE signing_keys
    ADD CONSTRAINT ck_signing_keys_state_known CHECK (state IN ('published', 'active', 'retired')),
    ADD CONSTRAINT ck_signing_keys_only_a_retired_one_ends CHECK ((state = 'retired') = (trusted_until IS NOT NULL)),
    ADD CONSTRAINT ck_signing_keys_a_retired_one_cannot_sign
        CHECK ((state = 'retired') = (sealed_private_key IS NULL));
CREATE UNIQUE INDEX uq_signing_keys_state ON signing_keys (state) WHERE state <> 'retired';
COMMENT ON INDEX uq_signing_keys_state IS 'one key signs, and at most one is to sign next';
COMMENT ON COLUMN signing_keys.sealed_private_key IS
    'AES-256-GCM: nonce, then ciphertext; destroyed when the key retires';
COMMENT ON COLUMN signing_keys.activated_at IS 'since when it signed';
COMMENT ON COLUMN signing_keys.trusted_until IS
    'of a retired key: until when the tokens that it signed are good';
"""

USERS = """
CREATE INDEX ix_users_role ON users (role, id);
COMMENT ON INDEX ix_users_role IS 'the list of users, filtered by role';
CREATE INDEX ix_users_disabled ON users (id) WHERE disabled_at IS NOT NULL;
COMMENT ON INDEX ix_users_disabled IS 'the list of users, disabled ones only';
"""

GRANTS = """
GRANT INSERT, SELECT, UPDATE ON sessions TO orders_api;
GRANT INSERT, SELECT ON revocations TO orders_api;
GRANT DELETE, SELECT ON sessions TO orders_worker;
GRANT DELETE, SELECT ON revocations TO orders_worker;
"""

# A key that is not used yet, or any more, is nothing that the older code could hold.
BACK = """
DROP INDEX ix_users_role, ix_users_disabled;
DROP INDEX uq_signing_keys_state;
ALTER TABLE signing_keys
    DROP CONSTRAINT ck_signing_keys_state_known,
    DROP CONSTRAINT ck_signing_keys_only_a_retired_one_ends,
    DROP CONSTRAINT ck_signing_keys_a_retired_one_cannot_sign;
DELETE FROM signing_keys WHERE state <> 'active';
ALTER TABLE signing_keys
    DROP COLUMN activated_at,
    DROP COLUMN trusted_until,
    ALTER COLUMN sealed_private_key SET NOT NULL,
    ADD CONSTRAINT ck_signing_keys_state_known CHECK (state IN ('active', 'retired'));
COMMENT ON COLUMN signing_keys.sealed_private_key IS 'AES-256-GCM: nonce, then ciphertext';

-- The older code looks at the tokens alone: those of ended sessions must not come back to life.
UPDATE refresh_tokens AS t SET used_at = now() FROM sessions AS s
WHERE s.id = t.family AND t.used_at IS NULL AND (s.ended_at IS NOT NULL OR s.ends_at <= now());
ALTER TABLE refresh_tokens DROP COLUMN salt;
COMMENT ON COLUMN refresh_tokens.family IS 'one login; all its successors carry the same family';
COMMENT ON COLUMN refresh_tokens.used_at IS 'exchanged or revoked';
DROP TABLE sessions, revocations;
"""


def upgrade() -> None:
    for statements in (SESSIONS, REVOCATIONS, KEYS, USERS, GRANTS):
        op.execute(statements)


def downgrade() -> None:
    op.execute(BACK)
