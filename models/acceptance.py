"""Accepting orders: the one place where they come into being.

A batch is priced from memory, and one statement does the rest (`models/placement.py`), or finds the answers that
retries have already. What a race has left open after that is tried again, in a turn of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, tzinfo
from typing import NamedTuple, Protocol
from uuid import UUID

from sqlalchemy import Connection, Text, Uuid, text
from sqlalchemy.exc import DBAPIError

from models import errors, placement
from models.documents import dumps
from models.idempotency import Stored, idempotency_keys
from models.identifiers import order_number, uuid7
from models.lifecycle import Actor, Policy, Status
from models.money import amount_minor
from models.orders import ONE_ORDER_PER_REFERENCE, Line, Order
from models.price_list import Price, PriceList
from runtime import clock, database

ROUTE = "POST /v1/orders"
BATCH_ROUTE = "POST /v1/orders/batch"
# The second turn is for who lost a race in the first. A third needs another race, or prices that change all the time.
TURNS_MAX = 5

Claim = tuple[UUID, str]
Reference = tuple[UUID, str]


class Item(NamedTuple):
    """What is ordered, and how many of it. A tuple, like `Line`, because each order makes several of both."""

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
    traceparent: str | None = None

    @property
    def claim(self) -> Claim:
        """Whose key it is: there is one order for it."""
        return (self.user_id, self.key)

    @property
    def reference(self) -> Reference | None:
        """Whose reference it is, if it has one: there is one order for it, too."""
        return None if self.client_reference is None else (self.user_id, self.client_reference)


@dataclass(frozen=True)
class Answer:
    """The stored answer to a key: these bytes go out now and with every retry."""

    status: int
    body: bytes
    order_id: UUID | None
    replayed: bool = False


Outcome = Answer | errors.OrderPipelineError


class Renderer(Protocol):
    """How the edge spells an answer: before it is written, because the answer is stored with the order."""

    def order(self, order: Order) -> Answer: ...

    def refusal(self, error: errors.OrderPipelineError, request_id: str | None) -> Answer: ...


@dataclass(frozen=True)
class Terms:
    """What holds for every order that this process accepts."""

    policy: Policy
    zone: tzinfo
    render: Renderer
    prices: PriceList = field(default_factory=PriceList)


class ReferenceRace(Exception):
    """Another transaction has placed an order with one of the references in this very moment."""


_REFERENCES = text(
    """
    SELECT user_id, client_reference, orders.id
    FROM jsonb_to_recordset(CAST(:asked AS jsonb)) AS asked(user_id uuid, client_reference text)
    JOIN orders USING (user_id, client_reference)
    """
).columns(user_id=Uuid, client_reference=Text, id=Uuid)


@dataclass(frozen=True)
class _Draft:
    """A request with the answer it gets if its claim is won, and the order that answer speaks of."""

    request: Request
    answer: Answer
    order: Order | None

    @property
    def stored(self) -> Stored:
        """What a retry finds once this draft is written."""
        return Stored(self.request.fingerprint, self.answer.status, self.answer.body, self.answer.order_id)


def accept(connection: Connection, batch: Sequence[Request], terms: Terms, route: str = ROUTE) -> list[Outcome]:
    """Accept a batch; the outcomes stand in the sequence of the requests. Keys are keys of `route`.

    An outcome is an answer to send (201, or a refusal that is stored too), or an error that is not stored:
    `IdempotencyKeyReused`, `Unavailable`. Usually this is one statement, which may be a transaction of its own.

    Raises:
        errors.IdempotencyInProgress: a key of the batch is held by a transaction that outlasts `lock_timeout`.
        ReferenceRace: another transaction placed an order with one of the references meanwhile. Nothing was written by
            the statement that failed; in a new transaction, the batch can be accepted as it is.
    """
    outcomes: dict[int, Outcome] = {}
    for _ in range(TURNS_MAX):
        waiting = {place: request for place, request in enumerate(batch) if place not in outcomes}
        if not waiting:
            break
        try:
            outcomes |= _take_turn(connection, waiting, terms, route)
        except (errors.IdempotencyInProgress, ReferenceRace):
            if not outcomes:
                raise
            break  # What was settled may be committed: it keeps its outcomes, and the rest may come again.
    lost = errors.Cause.TRIES_EXHAUSTED
    return [outcomes.get(place) or errors.Unavailable(cause=lost) for place in range(len(batch))]


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


def _take_turn(connection: Connection, requests: Mapping[int, Request], terms: Terms, route: str) -> dict[int, Outcome]:
    """Try each request once. The outcomes by place, without those of requests that have to be tried again."""
    firsts: dict[Claim, int] = {}
    for place, request in requests.items():
        firsts.setdefault(request.claim, place)
    asked = [requests[place] for place in firsts.values()]
    prices = terms.prices.of(connection, {item.sku for request in asked for item in request.items})
    drafts = _without_rivals(_draft_all(connection, asked, prices, terms))
    lost = _place(connection, drafts, prices, terms, route)
    outcomes: dict[int, Outcome] = {}
    for place, request in requests.items():
        draft = drafts.get(request.claim)
        if draft is None:
            continue
        is_won = request.claim not in lost
        if is_won and firsts[request.claim] == place:
            outcomes[place] = draft.answer
        elif stored := draft.stored if is_won else lost[request.claim]:
            outcomes[place] = _replay(request, stored)
    return outcomes


def _draft_all(
    connection: Connection, requests: Sequence[Request], prices: Mapping[str, Price], terms: Terms
) -> dict[Claim, _Draft]:
    now = clock.now()
    taken = _taken_references(connection, requests)
    return {request.claim: _draft(request, now, prices, taken, terms) for request in requests}


def _without_rivals(drafts: Mapping[Claim, _Draft]) -> dict[Claim, _Draft]:
    """The drafts without the orders whose reference an order before them has: in their turn, it will be taken."""
    held: set[Reference] = set()
    alone = {}
    for claim, draft in drafts.items():
        reference = draft.request.reference if draft.order else None
        if reference not in held:
            alone[claim] = draft
        if reference:
            held.add(reference)
    return alone


def _taken_references(connection: Connection, requests: Sequence[Request]) -> dict[Reference, UUID]:
    """The orders that have these requests' references already."""
    asked = [
        {"user_id": request.user_id, "client_reference": request.client_reference}
        for request in requests
        if request.client_reference is not None
    ]
    if not asked:
        return {}
    rows = connection.execute(_REFERENCES, {"asked": dumps(asked)})
    return {(row.user_id, row.client_reference): row.id for row in rows}


def _draft(
    request: Request,
    now: datetime,
    prices: Mapping[str, Price],
    taken: Mapping[Reference, UUID],
    terms: Terms,
) -> _Draft:
    try:
        order = _order(request, now, prices, terms)
        if request.reference is not None and request.reference in taken:
            raise errors.DuplicateReference(taken[request.reference])
    except errors.OrderPipelineError as refusal:
        return _Draft(request, terms.render.refusal(refusal, request.request_id), None)
    return _Draft(request, terms.render.order(order), order)


def _order(request: Request, now: datetime, prices: Mapping[str, Price], terms: Terms) -> Order:
    """The order a request makes, at these prices.

    Raises:
        errors.UnacceptableOrder: a product is not for sale, or they have several currencies.
    """
    flaws = [
        errors.Flaw(f"/items/{position}/sku", "unknown_product", "This product is not for sale.")
        for position, item in enumerate(request.items)
        if item.sku not in prices
    ]
    if flaws:
        raise errors.UnknownProduct(flaws=flaws)
    priced = [(prices[item.sku], item.quantity) for item in request.items]
    currency = priced[0][0].currency
    if any(price.currency != currency for price, _ in priced):
        raise errors.MixedCurrencies
    order_id = uuid7()
    return Order(
        id=order_id,
        number=order_number(order_id),
        user_id=request.user_id,
        status=Status.PENDING,
        version=1,
        currency=currency,
        total_minor=sum(amount_minor(price.price_minor, quantity) for price, quantity in priced),
        client_reference=request.client_reference,
        metadata=request.metadata,
        tracking_number=None,
        placed_at=now,
        placed_on=clock.business_day(now, terms.zone),
        due_at=None,  # by the database's clock, when the order is placed
        updated_at=now,
        lines=tuple(
            Line(number, price.sku, price.name, quantity, price.price_minor)
            for number, (price, quantity) in enumerate(priced, start=1)
        ),
    )


def _place(
    connection: Connection, drafts: Mapping[Claim, _Draft], prices: Mapping[str, Price], terms: Terms, route: str
) -> dict[Claim, Stored | None]:
    """Place what can be placed; returns the claims that were lost, with the answer they have if it can be seen."""
    documents = [_document(draft, terms) for draft in drafts.values()]
    try:
        lost = placement.place(connection, documents, prices.values(), route)
    except DBAPIError as error:
        # Somebody else holds one of the keys (or references) in a transaction that does not end.
        if database.has_waited_for_row_of(error, idempotency_keys.name, ONE_ORDER_PER_REFERENCE):
            raise errors.IdempotencyInProgress from None
        if database.violated_constraint(error) == ONE_ORDER_PER_REFERENCE:
            raise ReferenceRace from None
        raise
    if any(not each.prices_hold for each in lost):
        terms.prices.forget(prices)
    return {each.claim: each.stored for each in lost}


def _replay(request: Request, stored: Stored) -> Outcome:
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
        "actor": str(request.actor),
        "currency": order.currency,
        "total_minor": order.total_minor,
        "client_reference": order.client_reference,
        "metadata": order.metadata,
        "placed_at": order.placed_at,
        "placed_on": order.placed_on,
        "stays": terms.policy.deadline(Status.PENDING),
        "request_id": request.request_id,
        "traceparent": request.traceparent,
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
