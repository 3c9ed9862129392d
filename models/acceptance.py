"""Accepting orders: the one place where they come into being.

A batch is priced, claims its idempotency keys and writes orders, lines, first events, outbox rows and the answers'
very bytes in two statements of one transaction. Retries find their stored answer in a third.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import Protocol
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, select, text
from sqlalchemy.exc import DBAPIError

from models import errors, idempotency
from models.documents import dumps
from models.identifiers import order_number, uuid7
from models.lifecycle import Actor, Policy, Status
from models.money import amount_minor
from models.orders import Line, Order, orders
from models.products import Price, prices
from runtime import clock, database

ROUTE = "POST /v1/orders"
BATCH_ROUTE = "POST /v1/orders/batch"


@dataclass(frozen=True)
class Item:
    sku: str
    quantity: int


@dataclass(frozen=True)
class Request:
    """What a client asked for, with the key under which it will ask again."""

    user_id: UUID
    actor: Actor
    key: str
    fingerprint: bytes
    items: tuple[Item, ...]
    client_reference: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None

    @property
    def claim(self) -> tuple[UUID, str]:
        return (self.user_id, self.key)


@dataclass(frozen=True)
class Answer:
    """The stored answer to a key: these bytes go out now and with every retry."""

    status: int
    body: bytes
    order_id: UUID | None
    replayed: bool = False


Outcome = Answer | errors.OrderPipelineError


class Renderer(Protocol):
    """How the edge spells an answer: within the transaction, because the answer is stored with the order."""

    def order(self, order: Order) -> Answer: ...

    def refusal(self, error: errors.OrderPipelineError, request_id: str | None) -> Answer: ...


@dataclass(frozen=True)
class Terms:
    """What holds for every order that this process accepts."""

    policy: Policy
    zone: tzinfo
    render: Renderer


_CLAIM_AND_PLACE = text(
    """
    WITH asked AS (
        SELECT * FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS a(
            user_id uuid, key text, fingerprint text, answer_status int, answer_body text,
            order_id uuid, number text, actor text, currency text, total_minor bigint, client_reference text,
            metadata jsonb, placed_at timestamptz, placed_on date, stays interval, request_id text,
            follow_up text, follow_up_in interval, lines jsonb)
    ), claimed AS (
        INSERT INTO idempotency_keys (user_id, route, key, fingerprint, status, body, order_id, expires_at)
        SELECT user_id, :route, key, decode(fingerprint, 'hex'), answer_status, convert_to(answer_body, 'UTF8'),
            order_id, now() + :kept
        FROM asked ORDER BY user_id, key
        ON CONFLICT (user_id, route, key) DO UPDATE SET
            fingerprint = excluded.fingerprint, status = excluded.status, body = excluded.body,
            order_id = excluded.order_id, expires_at = excluded.expires_at
        WHERE idempotency_keys.expires_at <= now()
        RETURNING user_id, key
    ), placed AS (
        INSERT INTO orders (id, number, user_id, status, version, currency, total_minor, client_reference, metadata,
            placed_at, placed_on, due_at, updated_at)
        SELECT order_id, number, user_id, :pending, 1, currency, total_minor, client_reference, metadata,
            placed_at, placed_on, placed_at + stays, placed_at
        FROM asked JOIN claimed USING (user_id, key)
        WHERE order_id IS NOT NULL ORDER BY user_id, client_reference
        ON CONFLICT (user_id, client_reference) WHERE client_reference IS NOT NULL DO NOTHING
        RETURNING id
    ), lines AS (
        INSERT INTO order_items (order_id, line, sku, name, quantity, unit_price_minor, placed_at)
        SELECT placed.id, l.line, l.sku, l.name, l.quantity, l.unit_price_minor, asked.placed_at
        FROM placed JOIN asked ON asked.order_id = placed.id, jsonb_to_recordset(asked.lines) AS l(
            line int, sku text, name text, quantity int, unit_price_minor bigint)
    ), opened AS (
        INSERT INTO order_events (order_id, version, to_status, actor, request_id, amount_minor, currency, user_id,
            placed_on)
        SELECT id, 1, :pending, actor, request_id, total_minor, currency, user_id, placed_on
        FROM placed JOIN asked ON asked.order_id = placed.id
    ), queued AS (
        INSERT INTO outbox (kind, order_id, expected_version, request_id, available_at)
        SELECT follow_up, id, 1, request_id, now() + follow_up_in
        FROM placed JOIN asked ON asked.order_id = placed.id WHERE follow_up IS NOT NULL
    )
    SELECT claimed.user_id, claimed.key, placed.id AS order_id
    FROM claimed JOIN asked USING (user_id, key) LEFT JOIN placed ON placed.id = asked.order_id
    """
).columns(user_id=Uuid, key=Text, order_id=Uuid)


@dataclass(frozen=True)
class _Draft:
    """A request with the answer it gets if its claim is won, and the order that answer speaks of."""

    request: Request
    answer: Answer
    order: Order | None


def accept(connection: Connection, batch: Sequence[Request], terms: Terms, route: str = ROUTE) -> list[Outcome]:
    """Accept a batch; the outcomes stand in the sequence of the requests. Keys are keys of `route`.

    An outcome is an answer to send (201, or a refusal that is stored too), or an error that is not stored:
    `IdempotencyKeyReused`, `IdempotencyInProgress`.

    Raises:
        errors.IdempotencyInProgress: a key of the batch is held by a transaction that outlasts `lock_timeout`.
    """
    firsts: dict[tuple[UUID, str], int] = {}
    for place, request in enumerate(batch):
        firsts.setdefault(request.claim, place)
    asked_at, price_list = prices(connection, (item.sku for place in firsts.values() for item in batch[place].items))
    drafts = {claim: _draft(batch[place], asked_at, price_list, terms) for claim, place in firsts.items()}
    won = _claim_and_place(connection, drafts, terms, route)
    is_ours = [request.claim in won and firsts[request.claim] == place for place, request in enumerate(batch)]
    lost = {request.claim for request, ours in zip(batch, is_ours, strict=True) if not ours}
    kept = idempotency.stored(connection, route, lost) if lost else {}
    return [won[request.claim] if ours else _retry(request, kept) for request, ours in zip(batch, is_ours, strict=True)]


def accept_together(connection: Connection, batch: Sequence[Request], terms: Terms) -> list[Answer]:
    """Accept the orders of one request, each with its own outcome; all of them are new, or all are retries.

    Every request of the batch carries the client's one key and the fingerprint of the whole; its place is added to the
    key here, so that the answers can be put together again from what is stored.

    Raises:
        errors.IdempotencyKeyReused: the key was used for another batch; nothing of this one is written.
        errors.IdempotencyInProgress: the batch is being accepted elsewhere.
    """
    numbered = [replace(request, key=f"{request.key}#{place}") for place, request in enumerate(batch)]
    outcomes = accept(connection, numbered, terms, BATCH_ROUTE)
    for outcome in outcomes:
        if isinstance(outcome, errors.OrderPipelineError):
            raise outcome
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]


def _draft(request: Request, now: datetime, price_list: Mapping[str, Price], terms: Terms) -> _Draft:
    try:
        order = _order(request, now, price_list, terms)
    except errors.UnacceptableOrder as refusal:
        return _Draft(request, terms.render.refusal(refusal, request.request_id), None)
    return _Draft(request, terms.render.order(order), order)


def _order(request: Request, now: datetime, price_list: Mapping[str, Price], terms: Terms) -> Order:
    """The order a request makes, at the prices of the moment.

    Raises:
        errors.UnacceptableOrder: a product is not for sale, or they have several currencies.
    """
    flaws = [
        errors.Flaw(f"/items/{position}/sku", "unknown_product", "This product is not for sale.")
        for position, item in enumerate(request.items)
        if item.sku not in price_list
    ]
    if flaws:
        raise errors.UnknownProduct(flaws=flaws)
    priced = [(price_list[item.sku], item.quantity) for item in request.items]
    if len({price.currency for price, _ in priced}) > 1:
        raise errors.MixedCurrencies
    lines = tuple(
        Line(number, price.sku, price.name, quantity, price.price_minor)
        for number, (price, quantity) in enumerate(priced, start=1)
    )
    order_id = uuid7()
    stays = terms.policy.deadline(Status.PENDING)
    return Order(
        id=order_id,
        number=order_number(order_id),
        user_id=request.user_id,
        status=Status.PENDING,
        version=1,
        currency=priced[0][0].currency,
        total_minor=sum(amount_minor(line.unit_price_minor, line.quantity) for line in lines),
        client_reference=request.client_reference,
        metadata=request.metadata,
        tracking_number=None,
        placed_at=now,
        placed_on=clock.business_day(now, terms.zone),
        due_at=now + stays if stays else None,
        updated_at=now,
        lines=lines,
    )


def _claim_and_place(
    connection: Connection, drafts: Mapping[tuple[UUID, str], _Draft], terms: Terms, route: str
) -> dict[tuple[UUID, str], Answer]:
    """The answers of the claims that were won. A won claim whose reference is taken gets its refusal stored instead."""
    documents = [_document(draft, terms) for draft in drafts.values()]
    parameters = {
        "asked": dumps(documents),
        "route": route,
        "kept": idempotency.KEPT,
        "pending": Status.PENDING,
    }
    try:
        rows = connection.execute(_CLAIM_AND_PLACE, parameters).all()
    except DBAPIError as error:
        # Somebody else holds one of the keys (or references) in a transaction that does not end.
        raise errors.IdempotencyInProgress if database.is_lock_timeout(error) else error from None
    won = {}
    for row in rows:
        draft = drafts[row.user_id, row.key]
        is_duplicate = draft.order is not None and row.order_id is None
        won[draft.request.claim] = _refuse_duplicate(connection, draft, terms, route) if is_duplicate else draft.answer
    return won


def _refuse_duplicate(connection: Connection, draft: _Draft, terms: Terms, route: str) -> Answer:
    request = draft.request
    query = select(orders.c.id).where(
        orders.c.user_id == request.user_id, orders.c.client_reference == request.client_reference
    )
    error = errors.DuplicateReference(connection.execute(query).scalar_one())
    answer = terms.render.refusal(error, request.request_id)
    idempotency.replace_answer(connection, request.user_id, route, request.key, answer.status, answer.body)
    return answer


def _retry(request: Request, kept: Mapping[tuple[UUID, str], idempotency.Stored]) -> Outcome:
    stored = kept.get(request.claim)
    if stored is None:  # It expired, or was pruned, between the claim that lost to it and this look.
        return errors.IdempotencyInProgress()
    if stored.fingerprint != request.fingerprint:
        return errors.IdempotencyKeyReused()
    return Answer(stored.status, stored.body, stored.order_id, replayed=True)


def _document(draft: _Draft, terms: Terms) -> dict[str, object]:
    request, order = draft.request, draft.order
    claim: dict[str, object] = {
        "user_id": request.user_id,
        "key": request.key,
        "fingerprint": request.fingerprint.hex(),
        "answer_status": draft.answer.status,
        "answer_body": draft.answer.body.decode(),
    }
    if order is None:
        return claim
    follow_up = terms.policy.follow_up(Status.PENDING)
    return claim | {
        "order_id": order.id,
        "number": order.number,
        "actor": request.actor,
        "currency": order.currency,
        "total_minor": order.total_minor,
        "client_reference": order.client_reference,
        "metadata": order.metadata,
        "placed_at": order.placed_at,
        "placed_on": order.placed_on,
        "stays": terms.policy.deadline(Status.PENDING),
        "request_id": request.request_id,
        "follow_up": follow_up.kind if follow_up else None,
        "follow_up_in": follow_up.delay if follow_up else None,
        "lines": [
            {
                "line": line.line,
                "sku": line.sku,
                "name": line.name,
                "quantity": line.quantity,
                "unit_price_minor": line.unit_price_minor,
            }
            for line in order.lines
        ],
    }
