"""What is ordered: the catalogue, the lifecycle, orders with their lines and events, idempotency keys."""

from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = """
CREATE TABLE products (
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    price_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    on_hand INTEGER NOT NULL,
    reserved INTEGER DEFAULT 0 NOT NULL,
    active BOOLEAN NOT NULL,
    CONSTRAINT pk_products PRIMARY KEY (sku),
    CONSTRAINT ck_products_price_not_negative CHECK (price_minor >= 0),
    CONSTRAINT ck_products_currency_is_iso_4217 CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ck_products_reserved_within_on_hand CHECK (reserved >= 0 AND reserved <= on_hand)
) WITH (fillfactor = 70);
COMMENT ON COLUMN products.reserved IS 'promised to confirmed orders';

CREATE TABLE legal_moves (
    from_status TEXT NOT NULL,
    to_status TEXT NOT NULL,
    CONSTRAINT pk_legal_moves PRIMARY KEY (from_status, to_status)
);
COMMENT ON TABLE legal_moves IS
    'the database''s copy of MOVES in models/lifecycle.py';

CREATE TABLE orders (
    id UUID NOT NULL,
    number TEXT NOT NULL,
    user_id UUID NOT NULL,
    status TEXT NOT NULL,
    version INTEGER NOT NULL,
    currency TEXT NOT NULL,
    total_minor BIGINT NOT NULL,
    client_reference TEXT,
    metadata JSONB NOT NULL,
    tracking_number TEXT,
    placed_at timestamptz NOT NULL,
    placed_on DATE NOT NULL,
    due_at timestamptz,
    updated_at timestamptz NOT NULL,
    CONSTRAINT pk_orders PRIMARY KEY (id),
    CONSTRAINT ck_orders_status_known
        CHECK (status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered',
            'cancelled', 'expired', 'failed')),
    CONSTRAINT ck_orders_version_from_one CHECK (version >= 1),
    CONSTRAINT ck_orders_total_not_negative CHECK (total_minor >= 0),
    CONSTRAINT fk_orders_user_id FOREIGN KEY(user_id) REFERENCES users (id)
) WITH (fillfactor = 85);
CREATE INDEX ix_orders_client_reference_placed_at_id ON orders (client_reference, placed_at, id)
    WHERE client_reference IS NOT NULL;
COMMENT ON INDEX ix_orders_client_reference_placed_at_id IS
    'the staff''s list, filtered by client_reference; orders without one do not pay for it';
CREATE INDEX ix_orders_due_at ON orders (due_at)
    WHERE status NOT IN ('cancelled', 'delivered', 'expired');
COMMENT ON INDEX ix_orders_due_at IS
    'stuck orders, and the expiry of pending ones';
CREATE INDEX ix_orders_placed_at_id ON orders (placed_at, id);
COMMENT ON INDEX ix_orders_placed_at_id IS
    'the staff''s list of everything';
CREATE INDEX ix_orders_status_placed_at_id ON orders (status, placed_at, id);
COMMENT ON INDEX ix_orders_status_placed_at_id IS
    'the staff''s list, filtered by status';
CREATE INDEX ix_orders_user_id_placed_at_id ON orders (user_id, placed_at, id);
COMMENT ON INDEX ix_orders_user_id_placed_at_id IS
    'a customer''s list of orders';
CREATE UNIQUE INDEX uq_orders_user_id_client_reference ON orders (user_id, client_reference)
    WHERE client_reference IS NOT NULL;
COMMENT ON INDEX uq_orders_user_id_client_reference IS
    'one order per client_reference, and the list filtered by it';
COMMENT ON COLUMN orders.number IS 'for people; derived from the id';
COMMENT ON COLUMN orders.version IS 'one more with every move';
COMMENT ON COLUMN orders.placed_on IS 'business day in REPORTING_TZ, fixed at acceptance';
COMMENT ON COLUMN orders.due_at IS 'when its present status is overstayed';

CREATE TABLE order_items (
    order_id UUID NOT NULL,
    line INTEGER NOT NULL,
    sku TEXT NOT NULL,
    name TEXT NOT NULL,
    quantity INTEGER NOT NULL,
    unit_price_minor BIGINT NOT NULL,
    placed_at timestamptz NOT NULL,
    CONSTRAINT pk_order_items PRIMARY KEY (order_id, line),
    CONSTRAINT ck_order_items_quantity_positive CHECK (quantity >= 1),
    CONSTRAINT fk_order_items_order_id FOREIGN KEY(order_id) REFERENCES orders (id)
);
CREATE UNIQUE INDEX uq_order_items_sku_placed_at_order_id ON order_items (sku, placed_at, order_id);
COMMENT ON INDEX uq_order_items_sku_placed_at_order_id IS
    'the list filtered by sku, and no sku twice in one order';
COMMENT ON COLUMN order_items.name IS 'as it was when the order was placed';
COMMENT ON COLUMN order_items.placed_at IS 'its order''s, which never changes: a list by sku is in the order of time';

CREATE TABLE order_events (
    order_id UUID NOT NULL,
    version INTEGER NOT NULL,
    from_status TEXT,
    to_status TEXT NOT NULL,
    actor TEXT NOT NULL,
    reason TEXT,
    request_id TEXT,
    amount_minor BIGINT NOT NULL,
    currency TEXT NOT NULL,
    user_id UUID NOT NULL,
    placed_on DATE NOT NULL,
    xid xid8 DEFAULT pg_current_xact_id() NOT NULL,
    at timestamptz DEFAULT now() NOT NULL,
    CONSTRAINT pk_order_events PRIMARY KEY (order_id, version),
    CONSTRAINT fk_order_events_from_status_to_status
        FOREIGN KEY(from_status, to_status) REFERENCES legal_moves (from_status, to_status),
    CONSTRAINT ck_order_events_to_status_known
        CHECK (to_status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered',
            'cancelled', 'expired', 'failed')),
    CONSTRAINT ck_order_events_actor_known CHECK (actor IN ('owner', 'staff', 'system')),
    CONSTRAINT ck_order_events_begins_pending
        CHECK ((version = 1) = (from_status IS NULL) AND (version > 1 OR to_status = 'pending')),
    CONSTRAINT fk_order_events_order_id FOREIGN KEY(order_id) REFERENCES orders (id)
);
CREATE INDEX ix_order_events_xid ON order_events (xid);
COMMENT ON INDEX ix_order_events_xid IS
    'fold, exact answers and feed: events since a transaction';
COMMENT ON TABLE order_events IS
    'append only; carries what the aggregates need, so that folding reads no other table';
COMMENT ON COLUMN order_events.from_status IS 'null for the first event';

CREATE TABLE idempotency_keys (
    user_id UUID NOT NULL,
    route TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    status INTEGER NOT NULL,
    body BYTEA NOT NULL,
    order_id UUID,
    expires_at timestamptz NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (user_id, route, key),
    CONSTRAINT fk_idempotency_keys_user_id FOREIGN KEY(user_id) REFERENCES users (id)
);
CREATE INDEX ix_idempotency_keys_expires_at ON idempotency_keys (expires_at);
COMMENT ON INDEX ix_idempotency_keys_expires_at IS
    'the pruning of expired keys';
COMMENT ON COLUMN idempotency_keys.fingerprint IS 'SHA-256 of the canonical request';
COMMENT ON COLUMN idempotency_keys.body IS 'the bytes that were sent';

INSERT INTO legal_moves (from_status, to_status) VALUES
    ('pending', 'confirmed'),
    ('pending', 'cancelled'),
    ('pending', 'expired'),
    ('pending', 'failed'),
    ('confirmed', 'processing'),
    ('confirmed', 'cancelled'),
    ('confirmed', 'failed'),
    ('processing', 'shipped'),
    ('processing', 'cancelled'),
    ('processing', 'failed'),
    ('shipped', 'delivered'),
    ('failed', 'pending');
"""


def upgrade() -> None:
    op.execute(SCHEMA)


def downgrade() -> None:
    op.execute("DROP TABLE idempotency_keys, order_events, order_items, orders, legal_moves, products")
