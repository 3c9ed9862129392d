"""Who may log in: users, refresh tokens, signing keys."""

from alembic import op

revision = "0001"
down_revision = None

SCHEMA = """
CREATE TABLE users (
    id UUID NOT NULL,
    email TEXT NOT NULL,
    name TEXT,
    role TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    token_epoch INTEGER DEFAULT 0 NOT NULL,
    disabled_at timestamptz,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT ck_users_role_known CHECK (role IN ('customer', 'staff', 'analyst', 'admin'))
);
CREATE UNIQUE INDEX uq_users_email ON users (email);
COMMENT ON INDEX uq_users_email IS
    'login and registration: one account per address';
COMMENT ON COLUMN users.email IS 'normal form: NFKC, case folded';
COMMENT ON COLUMN users.password_hash IS 'argon2id, PHC string';
COMMENT ON COLUMN users.token_epoch IS 'tokens of older epochs are void';

CREATE TABLE refresh_tokens (
    sha256 BYTEA NOT NULL,
    family UUID NOT NULL,
    user_id UUID NOT NULL,
    issued_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz,
    successor BYTEA,
    CONSTRAINT pk_refresh_tokens PRIMARY KEY (sha256),
    CONSTRAINT fk_refresh_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX ix_refresh_tokens_family ON refresh_tokens (family);
COMMENT ON INDEX ix_refresh_tokens_family IS
    'end a session: void every token of its family';
COMMENT ON COLUMN refresh_tokens.family IS 'one login; all its successors carry the same family';
COMMENT ON COLUMN refresh_tokens.used_at IS 'exchanged or revoked';
COMMENT ON COLUMN refresh_tokens.successor IS 'the token it was exchanged for';

CREATE TABLE signing_keys (
    kid TEXT NOT NULL,
    public_key BYTEA NOT NULL,
    sealed_private_key BYTEA NOT NULL,
    state TEXT NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_signing_keys PRIMARY KEY (kid),
    CONSTRAINT ck_signing_keys_state_known CHECK (state IN ('active', 'retired'))
);
COMMENT ON COLUMN signing_keys.public_key IS '32 raw bytes';
COMMENT ON COLUMN signing_keys.sealed_private_key IS 'AES-256-GCM: nonce, then ciphertext';
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE signing_keys, refresh_tokens, users")
