"""Multi-factor login: who has it, secrets of authenticator apps, recovery codes. Sessions end when it changes."""

from alembic import op

revision = "0011"
down_revision = "0010"

SCHEMA = """
ALTER TABLE users ADD COLUMN mfa_since timestamptz;
COMMENT ON COLUMN users.mfa_since IS 'multi-factor login was confirmed then; null: the password suffices';

ALTER TABLE sessions
    DROP CONSTRAINT ck_sessions_reason_known,
    ADD CONSTRAINT ck_sessions_reason_known
        CHECK (ended_because IN ('logout', 'reuse', 'password_changed', 'password_set', 'disabled', 'mfa_changed'));

CREATE TABLE totp (
    user_id UUID NOT NULL,
    sealed_secret BYTEA NOT NULL,
    last_step BIGINT DEFAULT 0 NOT NULL,
    wrong_codes INTEGER DEFAULT 0 NOT NULL,
    not_before timestamptz,
    began_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_totp PRIMARY KEY (user_id),
    CONSTRAINT fk_totp_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);
COMMENT ON COLUMN totp.sealed_secret IS 'AES-256-GCM: nonce, then ciphertext';
COMMENT ON COLUMN totp.last_step IS 'codes of this step (Unix time / 30 s) and of earlier ones are spent';
COMMENT ON COLUMN totp.wrong_codes IS 'since the last right one';
COMMENT ON COLUMN totp.not_before IS 'until then no code is looked at';

CREATE TABLE recovery_codes (
    user_id UUID NOT NULL,
    sha256 BYTEA NOT NULL,
    used_at timestamptz,
    CONSTRAINT pk_recovery_codes PRIMARY KEY (user_id, sha256),
    CONSTRAINT fk_recovery_codes_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);
"""

GRANTS = """
GRANT DELETE, INSERT, SELECT, UPDATE ON totp TO orders_api;
GRANT DELETE, INSERT, SELECT, UPDATE ON recovery_codes TO orders_api;
"""


# The older code asks nobody for a second factor. Who had one logs in with the password alone.
BACK = """
DROP TABLE recovery_codes, totp;
ALTER TABLE users DROP COLUMN mfa_since;
UPDATE sessions SET ended_because = 'disabled' WHERE ended_because = 'mfa_changed';
ALTER TABLE sessions
    DROP CONSTRAINT ck_sessions_reason_known,
    ADD CONSTRAINT ck_sessions_reason_known
        CHECK (ended_because IN ('logout', 'reuse', 'password_changed', 'password_set', 'disabled'));
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute(BACK)
