"""The Celery application: one for workers, relay, beat and Flower, told apart by their queues and node names."""

import sys
from typing import Any

from celery import Celery
from celery.signals import import_modules, setup_logging, worker_process_shutdown

from runtime import logs, settings, tracing
from workers import flower_rules, redis_transport
from workers.heartbeat import LoopBeat, PresenceStep
from workers.inspect_relay import relay
from workers.node_name import process_name
from workers.relay_step import RelayStep

__all__ = ["app", "relay"]

redis_transport.install()
app = Celery("orders")
app.config_from_object("workers.configuration")
app.steps["worker"].update({PresenceStep, RelayStep})
app.steps["consumer"].add(LoopBeat)


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    configured = settings.current()
    name = process_name(sys.argv)
    logs.configure(name, configured.log_level, configured.log_format)
    if name == "worker":
        tracing.configure(name, configured)


@worker_process_shutdown.connect
def _send_spans(**_: Any) -> None:
    tracing.flush()


@import_modules.connect
def _check_flower(**_: Any) -> None:
    if process_name(sys.argv) == "flower":
        flower_rules.apply()
