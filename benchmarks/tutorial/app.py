"""The tutorial's API: one endpoint that places an order."""

import os
from datetime import datetime
from typing import Annotated
from uuid import UUID

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Response
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel, ConfigDict, Field
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from benchmarks.tutorial.models import Order, OrderItem, Product, User
from benchmarks.tutorial.session import get_session
from benchmarks.tutorial.tasks import process_order

KEPT_SECONDS = 24 * 3600

app = FastAPI()
cache = Redis.from_url(os.environ["TUTORIAL_REDIS_URL"])
bearer = OAuth2PasswordBearer(tokenUrl="token")

OurSession = Annotated[Session, Depends(get_session)]


class ItemIn(BaseModel):
    sku: str
    quantity: Annotated[int, Field(ge=1)]


class OrderIn(BaseModel):
    items: Annotated[list[ItemIn], Field(min_length=1)]


class ItemOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    sku: str
    quantity: int
    unit_price_minor: int


class OrderOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    status: str
    currency: str
    total_minor: int
    created_at: datetime
    items: list[ItemOut]


def get_current_user(token: Annotated[str, Depends(bearer)], session: OurSession) -> User:
    try:
        claims = jwt.decode(token, os.environ["TUTORIAL_SECRET_KEY"], algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Could not validate credentials") from None
    user = session.get(User, UUID(claims["sub"]))
    if user is None:
        raise HTTPException(404, "User not found")
    return user


CurrentUser = Annotated[User, Depends(get_current_user)]


@app.post("/orders", status_code=201, response_model=OrderOut)
def create_order(
    order_in: OrderIn, user: CurrentUser, session: OurSession, idempotency_key: Annotated[str, Header()]
) -> Order | Response:
    cache_key = f"idempotency:{user.id}:{idempotency_key}"
    if stored := cache.get(cache_key):
        return Response(stored, 201, media_type="application/json")
    skus = [item.sku for item in order_in.items]
    products = {product.sku: product for product in session.scalars(select(Product).where(Product.sku.in_(skus)))}
    if missing := set(skus) - products.keys():
        raise HTTPException(422, f"Unknown products: {', '.join(sorted(missing))}")
    items = [
        OrderItem(sku=item.sku, quantity=item.quantity, unit_price_minor=products[item.sku].price_minor)
        for item in order_in.items
    ]
    total = sum(item.quantity * item.unit_price_minor for item in items)
    order = Order(user_id=user.id, currency=products[skus[0]].currency, total_minor=total, items=items)
    session.add(order)
    session.commit()
    session.refresh(order)
    cache.set(cache_key, OrderOut.model_validate(order).model_dump_json(), ex=KEPT_SECONDS)
    process_order.delay(str(order.id))
    return order
