"""What each database role may do, as data; a migration applies it and a test compares it with the catalogue.

The API may insert orders and ask for transitions, and cannot update an order. Nobody may rewrite history.
"""

from collections.abc import Iterator, Mapping

from runtime.database import Role

READ = frozenset({"SELECT"})
WRITE_ONLY = frozenset({"INSERT"})
ADD = frozenset({"SELECT", "INSERT"})
WRITE = frozenset({"SELECT", "INSERT", "UPDATE"})
ALL = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})

GRANTS: Mapping[Role, Mapping[str, frozenset[str]]] = {
    Role.API: {
        "users": WRITE,
        "sessions": WRITE,
        "refresh_tokens": WRITE,
        "api_keys": ADD,
        "revocations": ADD,
        "totp": ALL,
        "recovery_codes": ALL,
        "signing_keys": READ,
        "products": WRITE,
        "idempotency_keys": WRITE,
        "orders": ADD,
        "order_items": ADD,
        "order_events": ADD,
        "legal_moves": READ,
        "outbox": ADD,
        "transition_requests": ADD,
        "dead_letters": READ,
        "daily_orders": READ,
        "daily_user_revenue": READ,
        "monthly_user_revenue": READ,
        "daily_fulfilment": READ,
        "standard_windows": READ,
        "top_users": READ,
        "rollup_state": READ,
        "schedule_state": READ,
        "nodes": READ,
        "audit_log": WRITE_ONLY,
        "audit_unsealed": WRITE_ONLY,
        "alembic_version": READ,
    },
    Role.WORKER: {
        "products": frozenset({"SELECT", "UPDATE"}),
        "sessions": frozenset({"SELECT", "DELETE"}),
        "refresh_tokens": frozenset({"SELECT", "DELETE"}),
        "api_keys": frozenset({"SELECT", "DELETE"}),
        "revocations": frozenset({"SELECT", "DELETE"}),
        "idempotency_keys": frozenset({"SELECT", "UPDATE", "DELETE"}),
        "orders": frozenset({"SELECT", "UPDATE"}),
        "order_items": READ,
        "order_events": ADD,
        "legal_moves": READ,
        "outbox": ALL,
        "transition_requests": frozenset({"SELECT", "UPDATE", "DELETE"}),
        "dead_letters": ALL,
        "daily_orders": WRITE,
        "daily_user_revenue": WRITE,
        "monthly_user_revenue": WRITE,
        "daily_fulfilment": WRITE,
        "standard_windows": WRITE,
        "top_users": ALL,
        "rollup_state": frozenset({"SELECT", "UPDATE"}),
        "schedule_state": ALL,
        "nodes": ALL,
        "audit_log": ADD,
        "audit_seals": ADD,
        "audit_unsealed": frozenset({"SELECT", "INSERT", "DELETE"}),
        "alembic_version": READ,
    },
}

# Columns that a role may update, of tables that it may not.
COLUMNS: Mapping[Role, Mapping[str, frozenset[str]]] = {
    Role.API: {
        "api_keys": frozenset({"epoch", "expires_at", "last_used_at", "revoked_at", "rotated_to"}),
        "dead_letters": frozenset({"resolved_at", "resolved_because", "resolved_by", "resolved_how"}),
    },
    Role.WORKER: {},
}

# Functions that run with the owner's rights, and who may call them.
FUNCTIONS: Mapping[Role, frozenset[str]] = {
    Role.API: frozenset(),
    Role.WORKER: frozenset({"restamp_future_events(integer)"}),
}


def statements(table: str | None = None) -> Iterator[str]:
    """GRANT statements for `table`, or for all of them."""
    for role, tables in GRANTS.items():
        for name, privileges in tables.items():
            if table in (None, name):
                yield f"GRANT {', '.join(sorted(privileges))} ON {name} TO {role}"
        for name, columns in COLUMNS[role].items():
            if table in (None, name):
                yield f"GRANT UPDATE ({', '.join(sorted(columns))}) ON {name} TO {role}"
