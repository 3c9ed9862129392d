"""Roles and what each may do, as data. A permission is named after the sentence it allows."""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    CUSTOMER = "customer"
    STAFF = "staff"
    ANALYST = "analyst"
    ADMIN = "admin"


class Permission(StrEnum):
    SEE_ACCOUNT = "account:read"
    CHANGE_PASSWORD = "account:change-password"
    SEE_USERS = "users:read"
    CHANGE_USERS = "users:write"
    MANAGE_MFA = "mfa:manage"
    SEE_PRODUCTS = "products:read"
    WRITE_PRODUCTS = "products:write"
    PLACE_ORDERS = "orders:place"
    SEE_OWN_ORDERS = "orders:read-own"
    SEE_ALL_ORDERS = "orders:read-all"
    MOVE_OWN_ORDERS = "orders:move-own"
    MOVE_ALL_ORDERS = "orders:move-all"
    SEE_ANALYTICS = "analytics:read"
    SEE_PIPELINE = "pipeline:read"
    SEE_DEAD_LETTERS = "dead-letters:read"
    RESOLVE_DEAD_LETTERS = "dead-letters:resolve"
    MANAGE_OWN_KEYS = "api-keys:manage-own"
    MANAGE_ALL_KEYS = "api-keys:manage-all"


_P = Permission
_EVERYBODY = {_P.SEE_ACCOUNT, _P.CHANGE_PASSWORD, _P.MANAGE_MFA, _P.MANAGE_OWN_KEYS, _P.SEE_PRODUCTS}
_ORDERING = {_P.PLACE_ORDERS, _P.SEE_OWN_ORDERS, _P.MOVE_OWN_ORDERS}
_RUNNING = {_P.SEE_ALL_ORDERS, _P.MOVE_ALL_ORDERS, _P.WRITE_PRODUCTS, _P.SEE_ANALYTICS, _P.SEE_PIPELINE}
_MENDING = {_P.SEE_DEAD_LETTERS, _P.RESOLVE_DEAD_LETTERS}

GRANTED: Mapping[Role, frozenset[Permission]] = {
    Role.CUSTOMER: frozenset(_EVERYBODY | _ORDERING),
    Role.STAFF: frozenset(_EVERYBODY | _ORDERING | _RUNNING | _MENDING),
    Role.ANALYST: frozenset(_EVERYBODY | {_P.SEE_ANALYTICS}),
    Role.ADMIN: frozenset(Permission),
}

# What a token permits whose owner has yet to set up multi-factor login, whatever their role.
ENROLMENT: frozenset[Permission] = frozenset({_P.MANAGE_MFA})

# What an API key can be given at all. A machine does the business of its owner, and has no say over accounts,
# passwords, sessions or keys; what could not be done is for people to look at, who see tracebacks there.
FOR_KEYS: frozenset[Permission] = frozenset(
    {_P.SEE_ACCOUNT, _P.SEE_PRODUCTS, _P.WRITE_PRODUCTS, _P.SEE_ANALYTICS, _P.SEE_PIPELINE}
    | _ORDERING
    | {_P.SEE_ALL_ORDERS, _P.MOVE_ALL_ORDERS}
)
