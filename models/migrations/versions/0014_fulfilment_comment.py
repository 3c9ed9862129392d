"""A comment that named a file, which has moved since."""

from alembic import op

revision = "0014"
down_revision = "0013"

COMMENT = "COMMENT ON COLUMN daily_fulfilment.bucket IS 'of the time from placed to delivered: {}'"


def upgrade() -> None:
    op.execute(COMMENT.format("grows by a constant factor"))


def downgrade() -> None:
    op.execute(COMMENT.format("models/fulfilment.py"))
