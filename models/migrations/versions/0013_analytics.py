"""Revenue by month, top users, fulfilment times; sums that cannot overflow; a watermark that knows its cluster."""

from alembic import op

revision = "0013"
down_revision = "0012"

# Aggregates that are new, and events that are there: the first fold of this code finds that nobody has sealed the
# watermark, and has everything rebuilt while orders come in. A new system has nothing to rebuild.
UPGRADE = """
ALTER TABLE daily_orders ALTER COLUMN amount_minor TYPE NUMERIC(38, 0);
ALTER TABLE daily_user_revenue ALTER COLUMN revenue_minor TYPE NUMERIC(38, 0);

CREATE TABLE monthly_user_revenue (
    month DATE NOT NULL,
    user_id UUID NOT NULL,
    currency TEXT NOT NULL,
    orders INTEGER NOT NULL,
    revenue_minor NUMERIC(38, 0) NOT NULL,
    CONSTRAINT pk_monthly_user_revenue PRIMARY KEY (month, user_id, currency)
) WITH (fillfactor = 80);
COMMENT ON TABLE monthly_user_revenue IS
    'daily_user_revenue by calendar month';
COMMENT ON COLUMN monthly_user_revenue.month IS 'its first day';
CREATE INDEX ix_monthly_user_revenue_month_currency_revenue_minor_user_id
    ON monthly_user_revenue (month, currency, revenue_minor, user_id) WHERE orders > 0;
COMMENT ON INDEX ix_monthly_user_revenue_month_currency_revenue_minor_user_id IS
    'the users of a calendar month by revenue';

CREATE TABLE daily_fulfilment (
    placed_on DATE NOT NULL,
    bucket INTEGER NOT NULL,
    orders BIGINT NOT NULL,
    CONSTRAINT pk_daily_fulfilment PRIMARY KEY (placed_on, bucket)
) WITH (fillfactor = 80);
COMMENT ON TABLE daily_fulfilment IS
    'delivered orders by day placed and how long they took: a histogram';
COMMENT ON COLUMN daily_fulfilment.bucket IS 'of the time from placed to delivered: models/fulfilment.py';

CREATE TABLE standard_windows (
    name TEXT NOT NULL,
    first DATE,
    last DATE NOT NULL,
    as_of timestamptz NOT NULL,
    computed_at timestamptz NOT NULL,
    took INTERVAL NOT NULL,
    CONSTRAINT pk_standard_windows PRIMARY KEY (name),
    CONSTRAINT ck_standard_windows_name_known CHECK (name IN ('7d', '30d', '90d', '365d', 'all'))
);
COMMENT ON TABLE standard_windows IS
    'what top_users was computed for, and when';
COMMENT ON COLUMN standard_windows.first IS 'null: since ever';
COMMENT ON COLUMN standard_windows.last IS 'the business day on which it was computed';
COMMENT ON COLUMN standard_windows.as_of IS 'of the aggregates it was computed from';

CREATE TABLE top_users (
    window_name TEXT NOT NULL,
    currency TEXT NOT NULL,
    rank INTEGER NOT NULL,
    user_id UUID NOT NULL,
    orders INTEGER NOT NULL,
    revenue_minor NUMERIC(38, 0) NOT NULL,
    CONSTRAINT pk_top_users PRIMARY KEY (window_name, currency, rank),
    CONSTRAINT ck_top_users_window_name_known CHECK (window_name IN ('7d', '30d', '90d', '365d', 'all'))
);
COMMENT ON TABLE top_users IS
    'the users with the highest revenue of each standard window, the highest first';

ALTER TABLE rollup_state
    ADD COLUMN sealed_upto xid8,
    ADD COLUMN cluster BIGINT,
    ADD COLUMN audited_at timestamptz,
    ADD COLUMN drift BIGINT DEFAULT 0 NOT NULL,
    ADD COLUMN drifted_at timestamptz;
COMMENT ON COLUMN rollup_state.sealed_upto IS
    'upto, as the last fold or rebuild left it: another one was not written by them';
COMMENT ON COLUMN rollup_state.cluster IS 'the system identifier of the cluster whose transaction ids these are';
COMMENT ON COLUMN rollup_state.drift IS 'how many rows the last audit found wrong; it must be 0';
COMMENT ON COLUMN rollup_state.drifted_at IS 'when an audit last found any';
UPDATE rollup_state SET sealed_upto = upto, cluster = (SELECT system_identifier FROM pg_control_system())
WHERE NOT EXISTS (SELECT FROM order_events);

CREATE INDEX ix_order_events_placed_on ON order_events USING brin (placed_on) WITH (autosummarize = on);
COMMENT ON INDEX ix_order_events_placed_on IS
    'the audit: the events of the orders of one day';
"""

# Nobody may update an event. What a rebuild has to do to those of a restored dump, and nothing else, is done by this
# function, with the rights of its owner. 3 is the first transaction id there is: it has ended in every cluster. Whoever
# calls is still running, and has an id that its own snapshot counts to the future: its own events are none of them.
RESTAMP = """
CREATE FUNCTION restamp_future_events (events integer) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH restamped AS (
        UPDATE order_events SET xid = '3' WHERE ctid = ANY (ARRAY (
            SELECT ctid FROM order_events WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
                AND xid IS DISTINCT FROM pg_current_xact_id_if_assigned()
            ORDER BY xid LIMIT events))
        RETURNING 1
    )
    SELECT count(*)::integer FROM restamped
$$;
COMMENT ON FUNCTION restamp_future_events IS
    'gives events whose transaction ids this cluster has yet to give out the id of one that ended long ago; how many';
"""

GRANTS = """
GRANT SELECT ON monthly_user_revenue, daily_fulfilment, standard_windows, top_users TO orders_api;
GRANT INSERT, SELECT, UPDATE ON monthly_user_revenue, daily_fulfilment, standard_windows TO orders_worker;
GRANT DELETE, INSERT, SELECT, UPDATE ON top_users TO orders_worker;
REVOKE ALL ON FUNCTION restamp_future_events (integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION restamp_future_events (integer) TO orders_worker;
"""

DOWNGRADE = """
DROP FUNCTION restamp_future_events (integer);
DROP INDEX ix_order_events_placed_on;
ALTER TABLE rollup_state
    DROP COLUMN drifted_at, DROP COLUMN drift, DROP COLUMN audited_at, DROP COLUMN cluster, DROP COLUMN sealed_upto;
DROP TABLE top_users, standard_windows, daily_fulfilment, monthly_user_revenue;
ALTER TABLE daily_user_revenue ALTER COLUMN revenue_minor TYPE BIGINT;
ALTER TABLE daily_orders ALTER COLUMN amount_minor TYPE BIGINT;
"""


def upgrade() -> None:
    op.execute(UPGRADE)
    op.execute(RESTAMP)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute(DOWNGRADE)
