"""The audit log, which nobody changes, and the chain over it."""

from alembic import op

revision = "0009"
down_revision = "0008"

SCHEMA = r"""
CREATE TABLE audit_log (
    id UUID NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    event TEXT NOT NULL,
    user_id UUID,
    actor TEXT,
    client_address TEXT,
    request_id TEXT,
    facts JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_audit_log PRIMARY KEY (id),
    CONSTRAINT ck_audit_log_event_named CHECK (event ~ '^[a-z-]+(\.[a-z-]+)*$')
);
CREATE INDEX ix_audit_log_user_id_id ON audit_log (user_id, id);
COMMENT ON INDEX ix_audit_log_user_id_id IS
    'orders audit ls --user: the events of one account';
COMMENT ON TABLE audit_log IS
    'security events; insert only';
COMMENT ON COLUMN audit_log.user_id IS
    'whose account it is about; no foreign key: the log outlives what it speaks of';
COMMENT ON COLUMN audit_log.actor IS
    'who did it: the id of a user, or cli:NAME; null: nobody who was known yet';

CREATE TABLE audit_unsealed (
    event_id UUID NOT NULL,
    CONSTRAINT pk_audit_unsealed PRIMARY KEY (event_id)
);
COMMENT ON TABLE audit_unsealed IS
    'security events that are not in the chain yet';

CREATE TABLE audit_seals (
    position BIGINT NOT NULL,
    event_id UUID NOT NULL,
    hash BYTEA NOT NULL,
    key_id TEXT NOT NULL,
    sealed_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_audit_seals PRIMARY KEY (position)
);
CREATE UNIQUE INDEX uq_audit_seals_event_id ON audit_seals (event_id);
COMMENT ON INDEX uq_audit_seals_event_id IS
    'whether an event is in the chain, and once only';
COMMENT ON TABLE audit_seals IS
    'the chain over audit_log; insert only';
COMMENT ON COLUMN audit_seals.hash IS
    'HMAC-SHA-256 of the seal before and the event';
COMMENT ON COLUMN audit_seals.key_id IS
    'names the key, and tells nothing about it';
"""

# No grant allows it to the services. This is for everybody else: the owner of the schema, a superuser, a slip of the
# hand. Who disables the triggers does it on purpose, and the chain tells afterwards.
TRIGGERS = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
"""

GRANTS = """
GRANT INSERT ON audit_log, audit_unsealed TO orders_api;
GRANT INSERT, SELECT ON audit_log, audit_seals TO orders_worker;
GRANT DELETE, INSERT, SELECT ON audit_unsealed TO orders_worker;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    op.execute(TRIGGERS)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("DROP TABLE audit_seals, audit_unsealed, audit_log")
    op.execute("DROP FUNCTION refuse_change")
