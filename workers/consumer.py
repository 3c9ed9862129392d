"""Celery's consumer, which asks for task messages, with our own answer to those that cannot become a task.

Celery's logs such a message with its whole body and forgets it. Ours leaves a dead letter and logs no body.
"""

from collections.abc import Callable, Mapping
from typing import Any

from kombu.exceptions import ContentDisallowed
from kombu.log import get_logger

from runtime import logs
from workers import messages
from workers.patient_consumer import PatientConsumer

log = logs.get(__name__)
# What kombu wants to complain to when the broker is gone before the refusal reaches it.
broker_log = get_logger(__name__)


class StrictConsumer(PatientConsumer):
    """Refuses what is no message of ours, and goes on."""

    # Celery sets them when it connects; the stubs do not know them.
    connection_errors: tuple[type[Exception], ...]
    channel_errors: tuple[type[Exception], ...]

    def create_task_handler(self, *arguments: Any) -> Callable[[Any], None]:
        take_up = super().create_task_handler(*arguments)
        # To kombu a KeyError is a lost connection: the worker would connect again, be given the same message that lacks
        # something, and so on, until it gives up. While a message is taken up, it is the message that lacks it.
        troubles = (*self.connection_errors, *self.channel_errors)
        of_the_broker = tuple(kind for kind in troubles if not issubclass(kind, LookupError))

        def on_task_received(message: Any) -> None:
            try:
                take_up(message)
            except of_the_broker:
                raise
            except Exception:
                self._refuse(message, messages.NOT_IDS)

        return on_task_received

    def on_unknown_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, messages.UNKNOWN_TASK)

    def on_unknown_message(self, body: Any, message: Any) -> None:
        self._refuse(message, messages.NO_TASK)

    def on_invalid_task(self, body: Any, message: Any, exc: Exception) -> None:
        self._refuse(message, messages.NOT_JSON if isinstance(exc, ContentDisallowed) else messages.NOT_IDS)

    def on_decode_error(self, message: Any, exc: Exception) -> None:
        self._refuse(message, messages.NOT_JSON)

    def _refuse(self, message: Any, why: str) -> None:
        headers = message.headers if isinstance(message.headers, Mapping) else {}
        try:
            messages.refuse(messages.name_of(headers.get("task")), why, _row_ids(message))
        except Exception as error:  # Without the database there is no letter; the worker goes on all the same.
            log.exception("message refused, and no dead letter of it", why=why, error=type(error).__name__)
        if not message.acknowledged:
            message.reject_log_error(broker_log, self.connection_errors)


def _row_ids(message: Any) -> list[int]:
    try:
        arguments, named, *_ = message.payload
    except Exception:  # It may be anything; what cannot be read has no rows.
        return []
    return messages.row_ids(arguments, named) or []
