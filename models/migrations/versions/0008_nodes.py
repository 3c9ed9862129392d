"""Who is there: one row per worker, relay and beat."""

from alembic import op

revision = "0008"
down_revision = "0007"

SCHEMA = """
CREATE TABLE nodes (
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    pid INTEGER NOT NULL,
    host TEXT NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at timestamptz DEFAULT now() NOT NULL,
    leads_since timestamptz,
    facts JSONB DEFAULT '{}' NOT NULL,
    CONSTRAINT pk_nodes PRIMARY KEY (name),
    CONSTRAINT ck_nodes_role_known CHECK (role IN ('worker', 'relay', 'beat'))
) WITH (fillfactor = 50);
COMMENT ON TABLE nodes IS
    'the processes of the pipeline, as each of them says every few seconds';
COMMENT ON COLUMN nodes.name IS 'of a Celery node; unique';
COMMENT ON COLUMN nodes.leads_since IS 'null: it does not lead, or has nothing to lead';
COMMENT ON COLUMN nodes.facts IS 'what a relay counts';
"""

GRANTS = """
GRANT SELECT ON nodes TO orders_api;
GRANT DELETE, INSERT, SELECT, UPDATE ON nodes TO orders_worker;
"""


def upgrade() -> None:
    op.execute(SCHEMA)
    op.execute(GRANTS)


def downgrade() -> None:
    op.execute("DROP TABLE nodes")
