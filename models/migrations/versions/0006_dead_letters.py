"""Dead letters that can be resolved: what they came from, and who resolved them how and why."""

from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = """
ALTER TABLE dead_letters
    ADD COLUMN origin TEXT DEFAULT 'outbox' NOT NULL,
    ADD COLUMN resolved_because TEXT,
    ADD CONSTRAINT ck_dead_letters_origin_known CHECK (origin IN ('outbox', 'message')),
    ADD CONSTRAINT ck_dead_letters_resolved_how_known
        CHECK (resolved_how IN ('replayed', 'retried', 'moot', 'discarded')),
    ADD CONSTRAINT ck_dead_letters_resolved_whole
        CHECK (num_nulls(resolved_at, resolved_by, resolved_how) IN (0, 3));
COMMENT ON COLUMN dead_letters.origin IS 'an outbox row, or a message that no row stood behind';
CREATE INDEX ix_dead_letters_order_id_id ON dead_letters (order_id, id);
COMMENT ON INDEX ix_dead_letters_order_id_id IS
    'the dead letters of one order';
ALTER TABLE transition_requests ALTER COLUMN requested_by DROP NOT NULL;
COMMENT ON COLUMN transition_requests.requested_by IS 'null: somebody at the command line, who needs no account';
GRANT UPDATE (resolved_at, resolved_because, resolved_by, resolved_how) ON dead_letters TO orders_api;
"""

# What the code of before cannot hold goes first. To it every request is somebody's, so those that were asked for at the
# command line are deleted, once they are settled; one that is pending is a promise, and stops the way back (the column
# contains null values) until a worker has settled it. And it would take a message's letter for that of an outbox row.
BACK = """
DELETE FROM transition_requests WHERE requested_by IS NULL AND state <> 'pending';
DELETE FROM dead_letters WHERE origin = 'message';
REVOKE UPDATE (resolved_at, resolved_because, resolved_by, resolved_how) ON dead_letters FROM orders_api;
COMMENT ON COLUMN transition_requests.requested_by IS NULL;
ALTER TABLE transition_requests ALTER COLUMN requested_by SET NOT NULL;
DROP INDEX ix_dead_letters_order_id_id;
ALTER TABLE dead_letters
    DROP CONSTRAINT ck_dead_letters_resolved_whole,
    DROP CONSTRAINT ck_dead_letters_resolved_how_known,
    DROP CONSTRAINT ck_dead_letters_origin_known,
    DROP COLUMN resolved_because,
    DROP COLUMN origin;
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute(BACK)
