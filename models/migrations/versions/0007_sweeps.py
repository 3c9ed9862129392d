"""What the sweeps need: the period of each entry of the timetable, indexes to find what is old, grants to delete it."""

from alembic import op

revision = "0007"
down_revision = "0006"

# A beat of before this revision does not know the period and goes on with the default; the next one corrects it.
UPGRADE = """
ALTER TABLE schedule_state
    ADD COLUMN period INTERVAL DEFAULT '1 day'::interval NOT NULL,
    ADD COLUMN known_since timestamptz DEFAULT now() NOT NULL;
COMMENT ON COLUMN schedule_state.period IS 'how often it is to run; beat keeps it equal to the timetable';
COMMENT ON COLUMN schedule_state.known_since IS 'when the timetable first had it';

CREATE INDEX ix_transition_requests_created_at ON transition_requests (created_at)
    WHERE state = 'pending';
COMMENT ON INDEX ix_transition_requests_created_at IS
    'redispatch: requests that have waited for long';

CREATE INDEX ix_refresh_tokens_expires_at ON refresh_tokens (expires_at);
COMMENT ON INDEX ix_refresh_tokens_expires_at IS
    'the pruning of tokens that expired long ago';

GRANT DELETE ON transition_requests, dead_letters, schedule_state TO orders_worker;
GRANT DELETE, SELECT ON refresh_tokens TO orders_worker;
"""

DOWNGRADE = """
REVOKE DELETE ON transition_requests, dead_letters, schedule_state FROM orders_worker;
REVOKE DELETE, SELECT ON refresh_tokens FROM orders_worker;
DROP INDEX ix_refresh_tokens_expires_at;
DROP INDEX ix_transition_requests_created_at;
ALTER TABLE schedule_state DROP COLUMN known_since, DROP COLUMN period;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
