"""What each database role may do: the first state of models/grants.py."""

from alembic import op

revision = "0005"
down_revision = "0004"

GRANTS = """
GRANT INSERT, SELECT, UPDATE ON users TO orders_api;
GRANT INSERT, SELECT, UPDATE ON refresh_tokens TO orders_api;
GRANT SELECT ON signing_keys TO orders_api;
GRANT INSERT, SELECT, UPDATE ON products TO orders_api;
GRANT INSERT, SELECT, UPDATE ON idempotency_keys TO orders_api;
GRANT INSERT, SELECT ON orders TO orders_api;
GRANT INSERT, SELECT ON order_items TO orders_api;
GRANT INSERT, SELECT ON order_events TO orders_api;
GRANT SELECT ON legal_moves TO orders_api;
GRANT INSERT, SELECT ON outbox TO orders_api;
GRANT INSERT, SELECT ON transition_requests TO orders_api;
GRANT SELECT ON dead_letters TO orders_api;
GRANT SELECT ON daily_orders TO orders_api;
GRANT SELECT ON daily_user_revenue TO orders_api;
GRANT SELECT ON rollup_state TO orders_api;
GRANT SELECT ON schedule_state TO orders_api;
GRANT SELECT ON alembic_version TO orders_api;
GRANT SELECT, UPDATE ON products TO orders_worker;
GRANT DELETE, SELECT, UPDATE ON idempotency_keys TO orders_worker;
GRANT SELECT, UPDATE ON orders TO orders_worker;
GRANT SELECT ON order_items TO orders_worker;
GRANT INSERT, SELECT ON order_events TO orders_worker;
GRANT SELECT ON legal_moves TO orders_worker;
GRANT DELETE, INSERT, SELECT, UPDATE ON outbox TO orders_worker;
GRANT SELECT, UPDATE ON transition_requests TO orders_worker;
GRANT INSERT, SELECT, UPDATE ON dead_letters TO orders_worker;
GRANT INSERT, SELECT, UPDATE ON daily_orders TO orders_worker;
GRANT INSERT, SELECT, UPDATE ON daily_user_revenue TO orders_worker;
GRANT SELECT, UPDATE ON rollup_state TO orders_worker;
GRANT INSERT, SELECT, UPDATE ON schedule_state TO orders_worker;
GRANT SELECT ON alembic_version TO orders_worker;
"""


def upgrade() -> None:
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM orders_api, orders_worker")
