"""What analysts read: the daily aggregates and their watermark."""

from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = """
CREATE TABLE daily_orders (
    placed_on DATE NOT NULL,
    currency TEXT NOT NULL,
    status TEXT NOT NULL,
    orders BIGINT NOT NULL,
    amount_minor BIGINT NOT NULL,
    CONSTRAINT pk_daily_orders PRIMARY KEY (placed_on, currency, status),
    CONSTRAINT ck_daily_orders_status_known
        CHECK (status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered',
            'cancelled', 'expired', 'failed'))
) WITH (fillfactor = 50);
COMMENT ON TABLE daily_orders IS
    'orders and their totals by day placed and present status';

CREATE TABLE daily_user_revenue (
    placed_on DATE NOT NULL,
    user_id UUID NOT NULL,
    currency TEXT NOT NULL,
    orders INTEGER NOT NULL,
    revenue_minor BIGINT NOT NULL,
    CONSTRAINT pk_daily_user_revenue PRIMARY KEY (placed_on, user_id, currency)
) WITH (fillfactor = 80);
COMMENT ON TABLE daily_user_revenue IS
    'orders that count as revenue, and their totals, by day placed and user';

CREATE TABLE rollup_state (
    name TEXT NOT NULL,
    upto xid8 NOT NULL,
    as_of timestamptz NOT NULL,
    horizon xid8 NOT NULL,
    horizon_at timestamptz NOT NULL,
    folded_at timestamptz NOT NULL,
    CONSTRAINT pk_rollup_state PRIMARY KEY (name)
);
COMMENT ON COLUMN rollup_state.upto IS 'events of older transactions are folded';
COMMENT ON COLUMN rollup_state.as_of IS 'what was committed by then is folded';
COMMENT ON COLUMN rollup_state.horizon IS 'at horizon_at, no transaction from here on had begun';

-- A new system has no events: everything from the first transaction on is still to be folded.
INSERT INTO rollup_state (name, upto, as_of, horizon, horizon_at, folded_at)
VALUES ('orders', '0', now(), '0', now(), now());
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE rollup_state, daily_user_revenue, daily_orders")
