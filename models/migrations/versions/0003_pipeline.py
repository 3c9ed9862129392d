"""What is to be done: outbox, transition requests, dead letters, the timetable's state."""

from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = """
CREATE TABLE outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    order_id UUID,
    expected_version INTEGER,
    available_at timestamptz DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    last_error TEXT,
    request_id TEXT,
    traceparent TEXT,
    created_at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_outbox PRIMARY KEY (id)
) WITH (fillfactor = 70,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0);
CREATE INDEX ix_outbox_available_at_id ON outbox (available_at, id);
COMMENT ON INDEX ix_outbox_available_at_id IS
    'the relay: work that has become due';
CREATE UNIQUE INDEX uq_outbox_kind ON outbox (kind)
    WHERE order_id IS NULL;
COMMENT ON INDEX uq_outbox_kind IS
    'the scheduler: a tick that was not done yet is not queued twice';
COMMENT ON COLUMN outbox.kind IS 'the name of the task that does it';
COMMENT ON COLUMN outbox.order_id IS 'null for work that belongs to the timetable';
COMMENT ON COLUMN outbox.expected_version IS 'the order''s version this work was meant for';

CREATE TABLE transition_requests (
    id UUID NOT NULL,
    order_id UUID NOT NULL,
    to_status TEXT NOT NULL,
    reason TEXT,
    tracking_number TEXT,
    actor TEXT NOT NULL,
    requested_by UUID NOT NULL,
    expected_version INTEGER,
    state TEXT NOT NULL,
    refusal TEXT,
    request_id TEXT,
    created_at timestamptz DEFAULT now() NOT NULL,
    resolved_at timestamptz,
    CONSTRAINT pk_transition_requests PRIMARY KEY (id),
    CONSTRAINT ck_transition_requests_to_status_known
        CHECK (to_status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered',
            'cancelled', 'expired', 'failed')),
    CONSTRAINT ck_transition_requests_actor_known CHECK (actor IN ('owner', 'staff', 'system')),
    CONSTRAINT ck_transition_requests_state_known CHECK (state IN ('pending', 'applied', 'refused')),
    CONSTRAINT fk_transition_requests_order_id FOREIGN KEY(order_id) REFERENCES orders (id),
    CONSTRAINT fk_transition_requests_requested_by FOREIGN KEY(requested_by) REFERENCES users (id)
);
CREATE INDEX ix_transition_requests_order_id_id ON transition_requests (order_id, id);
COMMENT ON INDEX ix_transition_requests_order_id_id IS
    'the worker: an order''s requests in turn';
COMMENT ON COLUMN transition_requests.expected_version IS 'from If-Match';
COMMENT ON COLUMN transition_requests.refusal IS 'the error code of a refused request';

CREATE TABLE dead_letters (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    order_id UUID,
    expected_version INTEGER,
    request_id TEXT,
    error TEXT NOT NULL,
    traceback TEXT,
    attempts INTEGER NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolved_by TEXT,
    resolved_how TEXT,
    CONSTRAINT pk_dead_letters PRIMARY KEY (id)
);
CREATE INDEX ix_dead_letters_id ON dead_letters (id)
    WHERE resolved_at IS NULL;
COMMENT ON INDEX ix_dead_letters_id IS
    'the list of dead letters that wait for somebody';

CREATE TABLE schedule_state (
    entry TEXT NOT NULL,
    last_run_at timestamptz,
    last_success_at timestamptz,
    CONSTRAINT pk_schedule_state PRIMARY KEY (entry)
);
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE schedule_state, dead_letters, transition_requests, outbox")
