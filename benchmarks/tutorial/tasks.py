"""The tutorial's Celery application. No worker runs while acceptance is measured."""

import os

from celery import Celery

celery = Celery("tutorial", broker=os.environ["TUTORIAL_REDIS_URL"])
celery.conf.update(broker_pool_limit=64, task_ignore_result=True)


@celery.task
def process_order(order_id: str) -> None:
    pass
