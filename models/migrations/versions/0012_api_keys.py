"""API keys, and service accounts: users that cannot log in."""

from alembic import op

revision = "0012"
down_revision = "0011"

SERVICES = """
ALTER TABLE users
    ALTER COLUMN email DROP NOT NULL,
    ALTER COLUMN password_hash DROP NOT NULL,
    ADD CONSTRAINT ck_users_a_login_has_both CHECK ((email IS NULL) = (password_hash IS NULL)),
    ADD CONSTRAINT ck_users_a_service_has_a_name
        CHECK (email IS NOT NULL OR (name IS NOT NULL AND name ~ '^[a-z][a-z0-9-]{1,62}$')),
    ADD CONSTRAINT ck_users_a_service_is_no_admin CHECK (email IS NOT NULL OR role <> 'admin');
CREATE UNIQUE INDEX uq_users_service_name ON users (name) WHERE email IS NULL;
COMMENT ON INDEX uq_users_service_name IS 'the command line: one service account per name';
CREATE INDEX ix_users_service ON users (id) WHERE email IS NULL;
COMMENT ON INDEX ix_users_service IS 'the list of users, service accounts only';
COMMENT ON COLUMN users.email IS 'normal form: NFKC, case folded; null: a service account';
"""

API_KEYS = """
CREATE TABLE api_keys (
    id UUID NOT NULL,
    user_id UUID NOT NULL,
    name TEXT NOT NULL,
    prefix TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    permissions TEXT[] NOT NULL,
    epoch INTEGER DEFAULT 0 NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    rotated_to UUID,
    last_used_at timestamptz,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT fk_api_keys_user_id FOREIGN KEY(user_id) REFERENCES users (id),
    CONSTRAINT ck_api_keys_permits_something CHECK (cardinality(permissions) > 0),
    CONSTRAINT ck_api_keys_a_revoked_one_has_ended CHECK (revoked_at IS NULL OR expires_at <= revoked_at)
);
CREATE UNIQUE INDEX uq_api_keys_prefix ON api_keys (prefix);
COMMENT ON INDEX uq_api_keys_prefix IS 'every process: the key that a request shows';
CREATE INDEX ix_api_keys_user_id_id ON api_keys (user_id, id);
COMMENT ON INDEX ix_api_keys_user_id_id IS 'the keys of one owner: listed, counted, revoked';
CREATE INDEX ix_api_keys_expires_at ON api_keys (expires_at);
COMMENT ON INDEX ix_api_keys_expires_at IS 'the pruning of keys that ended long ago';
COMMENT ON TABLE api_keys IS 'credentials of machines';
COMMENT ON COLUMN api_keys.prefix IS 'how the secret begins: what lists and logs may show';
COMMENT ON COLUMN api_keys.sha256 IS 'of the whole secret, which is not stored';
COMMENT ON COLUMN api_keys.permissions IS 'good as far as the role of the owner has them too';
COMMENT ON COLUMN api_keys.epoch IS 'one more with each change; what was remembered of older ones is void';
COMMENT ON COLUMN api_keys.expires_at IS 'rotation and revocation bring it forward';
COMMENT ON COLUMN api_keys.rotated_to IS 'the key that took its place; until expires_at both are good';
COMMENT ON COLUMN api_keys.last_used_at IS 'written once a minute at most; null: never';
COMMENT ON COLUMN revocations.subject IS 'a user, a session, or an API key';
"""

GRANTS = """
GRANT INSERT, SELECT ON api_keys TO orders_api;
GRANT UPDATE (epoch, expires_at, last_used_at, revoked_at, rotated_to) ON api_keys TO orders_api;
GRANT DELETE, SELECT ON api_keys TO orders_worker;
"""

# The older code cannot hold an account without a login, and their orders are there: they get one that nobody can use.
BACK = """
DROP TABLE api_keys;
COMMENT ON COLUMN revocations.subject IS 'a user, or a session';
DROP INDEX uq_users_service_name, ix_users_service;
ALTER TABLE users DROP CONSTRAINT ck_users_a_login_has_both;
UPDATE users SET email = name || '@service.invalid', password_hash = '!' WHERE email IS NULL;
ALTER TABLE users
    DROP CONSTRAINT ck_users_a_service_has_a_name,
    DROP CONSTRAINT ck_users_a_service_is_no_admin,
    ALTER COLUMN email SET NOT NULL,
    ALTER COLUMN password_hash SET NOT NULL;
COMMENT ON COLUMN users.email IS 'normal form: NFKC, case folded';
"""


def upgrade() -> None:
    for statements in (SERVICES, API_KEYS, GRANTS):
        op.execute(statements)


def downgrade() -> None:
    op.execute(BACK)
