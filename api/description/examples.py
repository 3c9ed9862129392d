"""One example for every request and every answer, by operation. All of them tell of one order (`demo_order.py`)."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from api import problems
from api.answers import exports, media_types, sheets
from api.description import demo_order as demo
from api.views.accounts import AccountView, MfaView, RecoveryCodesView, TokensView, TotpView, UserView
from api.views.aggregates import (
    DayView,
    FulfilmentTimesView,
    FulfilmentView,
    OrdersPerDayView,
    RevenueByUserView,
    SpendingView,
    SpendView,
    StatusCountsView,
    UserRevenueView,
)
from api.views.api_keys import ApiKeyView, NewApiKeyView
from api.views.base import PageView, View
from api.views.dead_letters import DeadLetterDetailView, DeadLetterView
from api.views.orders import BatchItemView, BatchView, EventView, FeedEventView, OrderView
from api.views.pipeline import (
    AttendanceView,
    BacklogView,
    LeaderView,
    OutboxView,
    PipelineView,
    RollupsView,
    WorkersView,
)
from api.views.products import ProductView
from models import errors
from models.analytics.freshness import Freshness
from models.analytics.user_revenue import Computed
from models.dead_letters import Resolution
from models.identity.api_key_desk import NewKey
from models.identity.permissions import Role
from models.lifecycle import Status
from models.pipeline import PipelineProblem
from models.transition_requests import RequestState

EMAIL = "clara@example.com"
PASSWORD = "two bowls and one kettle"
REFRESH_TOKEN = "b7Qm2Vt0cX9dLr4sKz8wYp1nHf6jGa3e"
ACCESS_TOKEN = "eyJhbGciOiJFZERTQSIsImtpZCI6IjEifQ.eyJzdWIiOiIwMTljYWRjOCJ9.c2lnbmF0dXJl"
TOTP_CODE = "492039"
TOTP_SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
RECOVERY_CODE = "kzqw-y3lf-onsw-2zlt-orsx-g5bo-m4ud"
CURSOR = "WyIyMDI2LTAzLTAyIl0.5yZ0m3QkVt0cX9dL"
AS_OF = demo.at("2026-03-06T08:00:00")
DAY = date(2026, 3, 2)

_ITEMS = [{"sku": line.sku, "quantity": line.quantity} for line in demo.LINES]
_BOWL = ProductView(
    sku="BOWL-OAK", name="Oak bowl", price_minor=4200, currency="EUR", available=250, active=True
).model_dump(mode="json")
_USER = UserView(
    id=demo.USER_ID,
    email=EMAIL,
    name="Clara Baumgartner",
    role=Role.CUSTOMER,
    created_at=demo.at("2026-03-02T09:02:11.087"),
)
_ACCOUNT = AccountView(**_USER.model_dump(), disabled_at=None)
_SERVICE = AccountView(
    id=demo.SERVICE_ID,
    email=None,
    name="shop-sync",
    role=Role.CUSTOMER,
    created_at=demo.at("2026-03-02T08:58:40"),
    disabled_at=None,
)
_TOKENS = TokensView(access_token=ACCESS_TOKEN, expires_in=900, refresh_token=REFRESH_TOKEN)
_CODES = RecoveryCodesView(recovery_codes=[RECOVERY_CODE, "mfxg-65di-mvza-ozdp-nu3t-qmjs-pb7x"])
_DAY = DayView(day=DAY, currency="EUR", orders=1, revenue_minor=demo.order(1).total_minor, is_final=True)
_USER_REVENUE = UserRevenueView(user_id=demo.USER_ID, currency="EUR", orders=1, revenue_minor=_DAY.revenue_minor)
_FULFILMENT = FulfilmentView(day=DAY, delivered=1, median_seconds=262000, p95_seconds=262000, is_final=True)
_SPEND = SpendView(day=DAY, currency="EUR", orders=1, spend_minor=_DAY.revenue_minor)
_FRESH = {"as_of": AS_OF, "lag_seconds": 0.42}
_EVENTS = [EventView.of(event) for event in demo.EVENTS]
_PIPELINE = PipelineView(
    status="degraded",
    problems=[PipelineProblem.DEAD_LETTERS],
    outbox=OutboxView(
        depth=12,
        lag_seconds=0.018,
        kinds=[
            BacklogView(kind="orders.confirm", depth=8, due=8, lag_seconds=0.018),
            BacklogView(kind="orders.ship", depth=4, due=0, lag_seconds=0),
        ],
    ),
    relay=AttendanceView(alive=2, leader=LeaderView(name="relay@shop-1", since=AS_OF, beat_age_seconds=1.204)),
    workers=WorkersView(alive=3),
    beat=AttendanceView(alive=2, leader=LeaderView(name="beat-7@shop-2", since=AS_OF, beat_age_seconds=0.731)),
    rollups=RollupsView(
        as_of=AS_OF,
        lag_seconds=0.42,
        held_back_by=None,
        audited_at=demo.at("2026-03-06T07:30:00"),
        drift=0,
        trusted=True,
    ),
    stuck_orders=0,
    dead_letters=1,
    overdue=[],
)
_LETTER = DeadLetterDetailView.of(demo.LETTER)
_REPLAYED = DeadLetterDetailView.of(demo.resolved(Resolution.RETRIED, "the warehouse answers again"))
_DISCARDED = DeadLetterDetailView.of(demo.resolved(Resolution.DISCARDED, "the customer bought elsewhere"))
_API_KEY = ApiKeyView.of(demo.api_key())
_CHECKS = {"database": "ok", "migrations": "ok", "broker": "ok"}

PARAMETERS: Mapping[str, object] = {
    "Idempotency-Key": "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "If-Match": '"v3"',
    "If-None-Match": '"v1"',
    "Last-Event-ID": "2",
    "Prefer": "wait=10",
    "order_id": str(demo.ORDER_ID),
    "transition_id": str(demo.TRANSITION_ID),
    "letter_id": str(demo.LETTER.id),
    "user_id": str(demo.USER_ID),
    "key_id": str(demo.API_KEY_ID),
    "kind": demo.LETTER.kind,
    "since": "2026-03-01T00:00:00Z",
    "sku": "BOWL-OAK",
    "role": Role.CUSTOMER,
    "email": EMAIL,
    "status": "pending,confirmed",
    "client_reference": demo.REFERENCE,
    "from": "2026-03-01",
    "to": "2026-03-31",
    "currency": "EUR",
    "group_by": "day",
    "window": "30d",
}

REQUESTS: Mapping[str, object] = {
    "register": {"email": EMAIL, "password": PASSWORD, "name": _USER.name},
    "login": {"email": EMAIL, "password": PASSWORD},
    "refresh": {"refresh_token": REFRESH_TOKEN},
    "logout": {"refresh_token": REFRESH_TOKEN},
    "change_password": {"current_password": PASSWORD, "new_password": "three bowls and no kettle"},
    "change_user": {"role": Role.STAFF, "disabled": False},
    "begin_totp": {"password": PASSWORD},
    "confirm_totp": {"code": TOTP_CODE},
    "renew_recovery_codes": {"password": PASSWORD, "totp_code": TOTP_CODE},
    "disable_totp": {"password": PASSWORD, "recovery_code": RECOVERY_CODE},
    "make_service_account": {"name": _SERVICE.name, "role": _SERVICE.role},
    "make_api_key": {
        "name": _API_KEY.name,
        "permissions": list(_API_KEY.permissions),
        "expires_in_days": 90,
        "password": PASSWORD,
    },
    "rotate_api_key": {"overlap_seconds": 86400, "expires_in_days": 90, "password": PASSWORD},
    "put_product": {"name": "Oak bowl", "price_minor": 4200, "currency": "EUR", "on_hand": 250, "active": True},
    "place_order": {"items": _ITEMS, "client_reference": demo.REFERENCE, "metadata": {"gift": "yes"}},
    "place_orders": {
        "orders": [
            {
                "item_reference": "row-1",
                "items": _ITEMS,
                "client_reference": demo.REFERENCE,
                "metadata": {"gift": "yes"},
            },
            {"item_reference": "row-2", "items": [{"sku": "NO-SUCH-THING", "quantity": 1}]},
        ]
    },
    "request_transition": {"to": Status.SHIPPED, "tracking_number": demo.TRACKING_NUMBER},
    "replay_dead_letter": {"reason": _REPLAYED.resolved_because},
    "discard_dead_letter": {"reason": _DISCARDED.resolved_because},
}


def problem(kind: type[errors.OrderPipelineError]) -> dict[str, Any]:
    """The problem document of a refusal."""
    document: dict[str, Any] = json.loads(problems.document(demo.refusal(kind), demo.REQUEST_ID))
    return document


def _table(row: View) -> str:
    columns = list(type(row).model_fields)
    return sheets.header(columns) + sheets.rows(columns, [row.model_dump(mode="json")])


_BATCH = BatchView(
    data=[
        BatchItemView(item_reference="row-1", status=201, order=demo.order(1)),
        BatchItemView(item_reference="row-2", status=422, problem=problem(errors.UnknownProduct)),
    ]
)

# JSON answers by operation and status.
ANSWERS: Mapping[tuple[str, str], object] = {
    ("liveness", "200"): {"status": "ok"},
    ("readiness", "200"): {"status": "ok", "checks": _CHECKS},
    ("readiness", "503"): {"status": "unavailable", "checks": _CHECKS | {"database": "failed", "migrations": "failed"}},
    ("register", "201"): _USER,
    ("login", "200"): _TOKENS,
    ("refresh", "200"): _TOKENS,
    ("get_me", "200"): _USER,
    ("list_users", "200"): PageView[AccountView](data=[_ACCOUNT], has_more=True, next_cursor=CURSOR),
    ("change_user", "200"): _ACCOUNT.model_copy(update={"role": Role.STAFF}),
    ("get_mfa", "200"): MfaView(enabled_at=demo.at("2026-03-02T09:04:40.512"), required=False, recovery_codes_left=9),
    ("begin_totp", "201"): TotpView(
        secret=TOTP_SECRET,
        otpauth_uri=f"otpauth://totp/Order%20Pipeline:clara%40example.com?secret={TOTP_SECRET}&issuer=Order%20Pipeline",
    ),
    ("confirm_totp", "200"): _CODES,
    ("renew_recovery_codes", "200"): _CODES,
    ("make_service_account", "201"): _SERVICE,
    ("make_api_key", "201"): NewApiKeyView.with_secret(NewKey(demo.api_key(), demo.API_KEY_SECRET)),
    ("list_api_keys", "200"): PageView[ApiKeyView](data=[_API_KEY], has_more=False, next_cursor=None),
    ("get_api_key", "200"): _API_KEY,
    ("rotate_api_key", "201"): NewApiKeyView.with_secret(
        NewKey(demo.api_key(demo.NEXT_API_KEY_ID), demo.API_KEY_SECRET)
    ),
    ("get_keys", "200"): {
        "keys": [
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "use": "sig",
                "alg": "EdDSA",
                "kid": "1",
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }
        ]
    },
    ("list_products", "200"): {"data": [_BOWL], "has_more": True, "next_cursor": CURSOR},
    ("get_product", "200"): _BOWL,
    ("put_product", "200"): _BOWL,
    ("put_product", "201"): _BOWL,
    ("place_order", "201"): demo.order(1),
    ("place_orders", "207"): _BATCH.model_dump(mode="json", exclude_none=False),
    ("get_order", "200"): demo.order(4),
    ("list_orders", "200"): PageView[OrderView](data=[demo.order(4)], has_more=False, next_cursor=None),
    ("get_events", "200"): {"data": [event.model_dump(mode="json") for event in _EVENTS]},
    ("order_events", "200"): PageView[FeedEventView](
        data=[FeedEventView.of(event) for event in demo.EVENTS], has_more=False, next_cursor=CURSOR
    ),
    ("request_transition", "202"): demo.transition(RequestState.PENDING),
    ("request_transition", "200"): demo.transition(RequestState.APPLIED),
    ("get_transition", "200"): demo.transition(RequestState.APPLIED),
    ("list_dead_letters", "200"): PageView[DeadLetterView](
        data=[DeadLetterView.of(demo.LETTER)], has_more=False, next_cursor=None
    ),
    ("get_dead_letter", "200"): _LETTER,
    ("replay_dead_letter", "200"): _REPLAYED,
    ("discard_dead_letter", "200"): _DISCARDED,
    ("orders_per_day", "200"): OrdersPerDayView(data=[_DAY], **_FRESH),
    ("revenue_by_user", "200"): RevenueByUserView(
        data=[_USER_REVENUE], has_more=False, next_cursor=None, computed=Computed.CALENDAR_MONTH, **_FRESH
    ),
    ("fulfilment_times", "200"): FulfilmentTimesView(data=[_FULFILMENT], **_FRESH),
    ("get_spending", "200"): SpendingView(data=[_SPEND], **_FRESH),
    ("get_pipeline", "200"): _PIPELINE,
    ("status_counts", "200"): StatusCountsView.of(
        {status: int(status is Status.DELIVERED) for status in Status}, Freshness(AS_OF, 0.42)
    ),
}
# Answers that are not JSON, by operation and media type.
TEXTS: Mapping[tuple[str, str], str] = {
    ("orders_per_day", media_types.CSV): _table(_DAY),
    ("revenue_by_user", media_types.CSV): _table(_USER_REVENUE),
    ("fulfilment_times", media_types.CSV): _table(_FULFILMENT),
    ("get_spending", media_types.CSV): _table(_SPEND),
    ("list_orders", media_types.NDJSON): exports.lines([demo.record(4)]),
    ("list_orders", media_types.CSV): sheets.header(exports.COLUMNS) + exports.sheet([demo.record(4)]),
    ("stream_order", "text/event-stream"): "retry: 1000\n\n"
    + "".join(f"id: {each.version}\nevent: {each.to_status}\ndata: {each.model_dump_json()}\n\n" for each in _EVENTS),
}


def answer(operation_id: str, status: str, media_type: str) -> object:
    """What is answered; None where there is no example."""
    if media_type != "application/json":
        return TEXTS.get((operation_id, media_type))
    found = ANSWERS.get((operation_id, status))
    return found.model_dump(mode="json") if isinstance(found, View) else found
