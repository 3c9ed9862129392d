"""The broker, as the relay rings it: messages go out, and how many still wait can be asked."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from amqp.exceptions import ChannelError
from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from workers.relay import Batch, BrokerUnreachable

TROUBLE = (KombuError, RedisError, OSError)


class CeleryBell:
    """Rings by publishing to Celery's queues, all messages of a turn in one round trip."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self.is_reachable: bool | None = None  # None: nobody has tried yet

    def queue(self, kind: str) -> str:
        return str(self._app.amqp.router.route({}, kind)["queue"].name)

    def ring(self, batches: Sequence[Batch]) -> None:
        producer: Any  # the stubs do not know `batch` yet
        with self._noting(), self._app.producer_pool.acquire(block=True) as producer, producer.batch():
            for batch in batches:
                self._app.send_task(
                    batch.kind,
                    args=[list(batch.ids)],
                    argsrepr=f"({len(batch.ids)} rows)",
                    headers={"request_ids": batch.request_ids, "traceparents": batch.traceparents},
                    producer=producer,
                    retry=False,
                    ignore_result=True,
                )

    def waiting(self, queue: str) -> int:
        with self._noting(), self._app.connection_for_read() as connection:
            channel: Any = connection.default_channel
            try:
                return int(channel.queue_declare(queue, passive=True).message_count)
            except ChannelError:  # To Redis an empty list does not exist.
                return 0

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except TROUBLE as error:
            self.is_reachable = False
            raise BrokerUnreachable from error
        self.is_reachable = True
