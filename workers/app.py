"""The Celery application: one for workers, relay, beat and Flower, told apart by their queues and node names.

The broker carries nothing that is not in PostgreSQL too, so messages are acknowledged early, results are not kept, and
nothing is published from anywhere but the relay.
"""

import sys
from typing import Any

from celery import Celery
from celery.signals import setup_logging

from runtime import logs, settings
from runtime.settings import Settings, SettingsError
from workers.heartbeat import Heartbeat
from workers.node_name import process_name
from workers.relay_step import RelayStep

TASK_TIME_LIMIT_SECONDS = 60

TRANSPORT = {
    "visibility_timeout": 180,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # Without these a half-open connection hangs worker and beat without end.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 5,
}


def _configuration(configured: Settings) -> dict[str, Any]:
    return {
        "broker_url": configured.broker_url.get_secret_value(),
        "broker_transport_options": TRANSPORT,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_default_queue": "orders",
        "task_routes": {"orders.*": "orders", "rollups.*": "rollups", "upkeep.*": "rollups"},
        "task_ignore_result": True,
        "task_time_limit": TASK_TIME_LIMIT_SECONDS,
        "task_track_started": False,
        "worker_prefetch_multiplier": 1,
        "worker_max_tasks_per_child": 10_000,
        "worker_send_task_events": True,
        "worker_soft_shutdown_timeout": 20,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_enable_remote_control": True,
        "timezone": "UTC",
        "beat_scheduler": "schedules.scheduler:PostgresScheduler",
        "beat_max_loop_interval": 1,
        "include": ["workers.orders", "workers.rollups", "workers.upkeep"],
    }


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    configured = settings.current()
    logs.configure(process_name(sys.argv), configured.log_level, configured.log_format)


def _create() -> Celery:
    try:
        configured = settings.current()
    except SettingsError as error:
        raise SystemExit(f"The configuration is incomplete:\n{error}") from None
    created = Celery("orders")
    created.conf.update(_configuration(configured))
    created.steps["worker"].update({Heartbeat, RelayStep})
    return created


app = _create()
