"""Every table, by name: importing this module is what makes the metadata complete."""

from models.analytics.aggregates import daily_fulfilment, daily_orders, daily_user_revenue, monthly_user_revenue
from models.analytics.rollups import rollup_state
from models.analytics.standard_windows import standard_windows, top_users
from models.audit_chain import audit_seals
from models.audit_log import audit_log, audit_unsealed
from models.dead_letters import dead_letters
from models.idempotency import idempotency_keys
from models.identity.api_keys import api_keys
from models.identity.recovery_codes import recovery_codes
from models.identity.refresh_tokens import refresh_tokens
from models.identity.revocations import revocations
from models.identity.sessions import sessions
from models.identity.signing_keys import signing_keys
from models.identity.totp import totp
from models.identity.users import users
from models.lifecycle import legal_moves
from models.metadata import metadata
from models.nodes import nodes
from models.orders import order_events, order_items, orders
from models.outbox import outbox
from models.products import products
from models.schedule import schedule_state
from models.transition_requests import transition_requests

__all__ = [
    "api_keys",
    "audit_log",
    "audit_seals",
    "audit_unsealed",
    "daily_fulfilment",
    "daily_orders",
    "daily_user_revenue",
    "dead_letters",
    "idempotency_keys",
    "legal_moves",
    "metadata",
    "monthly_user_revenue",
    "nodes",
    "order_events",
    "order_items",
    "orders",
    "outbox",
    "products",
    "recovery_codes",
    "refresh_tokens",
    "revocations",
    "rollup_state",
    "schedule_state",
    "sessions",
    "signing_keys",
    "standard_windows",
    "top_users",
    "totp",
    "transition_requests",
    "users",
]
