"""Every filter of the list of orders led by an index in the order of the list: those by sku and by client_reference."""

from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = """
ALTER TABLE order_items ADD COLUMN placed_at timestamptz;
UPDATE order_items SET placed_at = orders.placed_at FROM orders WHERE orders.id = order_items.order_id;
ALTER TABLE order_items ALTER COLUMN placed_at SET NOT NULL;
COMMENT ON COLUMN order_items.placed_at IS 'its order''s, which never changes: a list by sku is in the order of time';

CREATE UNIQUE INDEX uq_order_items_sku_placed_at_order_id ON order_items (sku, placed_at, order_id);
COMMENT ON INDEX uq_order_items_sku_placed_at_order_id IS
    'the list filtered by sku, and no sku twice in one order';

CREATE INDEX ix_orders_client_reference_placed_at_id ON orders (client_reference, placed_at, id)
    WHERE client_reference IS NOT NULL;
COMMENT ON INDEX ix_orders_client_reference_placed_at_id IS
    'the staff''s list, filtered by client_reference; orders without one do not pay for it';
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP INDEX ix_orders_client_reference_placed_at_id")
    op.execute("ALTER TABLE order_items DROP COLUMN placed_at")
