"""The Celery application: one for workers, relay, beat and Flower, told apart by their queues and node names."""

import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from runtime import logs, settings
from workers.heartbeat import Heartbeat
from workers.node_name import process_name
from workers.relay_step import RelayStep

app = Celery("orders")
app.config_from_object("workers.configuration")
app.steps["worker"].update({Heartbeat, RelayStep})


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    configured = settings.current()
    logs.configure(process_name(sys.argv), configured.log_level, configured.log_format)
