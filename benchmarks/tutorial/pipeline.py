"""The tutorial's worker: one Celery task per order, which moves it one step with an ORM session.

The row is locked, its status checked and changed, the event written, all committed: what our own pipeline does to a
batch, done as one would write it first. Early acknowledgement, no results, no task events: Celery at its cheapest.
"""

import json
import os
import sys
from collections.abc import Iterable
from uuid import UUID

from celery import Celery
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from benchmarks.tutorial.models import Order, OrderEvent

celery = Celery("tutorial", broker=os.environ.get("TUTORIAL_REDIS_URL"))
celery.conf.update(task_ignore_result=True, worker_hijack_root_logger=False, task_default_queue="tutorial")
# Connections are made when a child first needs one, so that none crosses a fork.
engine = create_engine(os.environ.get("TUTORIAL_DATABASE_URL", "postgresql+psycopg://"))


@celery.task(name="tutorial.start_processing")
def start_processing(order_id: str) -> None:
    with Session(engine) as session:
        order = session.scalars(select(Order).where(Order.id == UUID(order_id)).with_for_update()).one()
        if order.status != "confirmed":
            return
        order.status = "processing"
        session.add(OrderEvent(order_id=order.id, from_status="confirmed", to_status="processing"))
        session.commit()


def enqueue(order_ids: Iterable[str]) -> None:
    with celery.producer_pool.acquire(block=True) as producer:
        for order_id in order_ids:
            start_processing.apply_async((order_id,), producer=producer)


if __name__ == "__main__":
    enqueue(json.load(sys.stdin))
