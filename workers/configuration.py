"""Celery's configuration. The app loads this module when it first needs it: that is when the environment must be right.

The broker carries nothing that is not in PostgreSQL too, so messages are acknowledged early, results are not kept, and
nothing is published from anywhere but the relay.
"""

from runtime import settings, shutdown
from runtime.settings import Settings, SettingsError


def _settings() -> Settings:
    try:
        return settings.current()
    except SettingsError as error:
        raise SystemExit(f"The configuration is incomplete:\n{error}") from None


broker_url = _settings().broker_url.get_secret_value()
broker_transport_options = {
    "visibility_timeout": 180,
    "unacked_restore_interval": 5,
    "unacked_restore_throttle": 1,
    # Without these a half-open connection hangs worker and beat without end.
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "socket_keepalive": True,
    "health_check_interval": 5,
    # Whoever finds the broker gone decides when to try again; kombu itself would try for six seconds, and block.
    "max_retries": 0,
}
broker_connection_retry_on_startup = True
broker_connection_max_retries = None

accept_content = ["json"]
task_serializer = "json"
task_ignore_result = True
task_default_queue = "orders"
task_routes = {"orders.*": "orders", "rollups.*": "rollups", "upkeep.*": "rollups"}
task_time_limit = 60
# Millions of orders are counted anew in one task; it is asked for once, after a dump was restored.
task_annotations = {"rollups.rebuild": {"time_limit": 3600}}

worker_consumer = "workers.consumer:StrictConsumer"
worker_prefetch_multiplier = 1
worker_max_tasks_per_child = 10_000
worker_send_task_events = True
# Tasks of ours are acknowledged early, so there is none to cancel; unset, Celery warns of it at every lost connection.
worker_cancel_long_running_tasks_on_connection_loss = True
# SIGTERM means SIGQUIT (REMAP_SIGTERM): what is in work gets so many seconds, and then the node ends. Batches take
# milliseconds. Celery's warm shutdown has no such bound: under load, about one in five waited for a child for ever.
worker_soft_shutdown_timeout = shutdown.WORK_SECONDS
worker_hijack_root_logger = False
worker_redirect_stdouts = False

beat_scheduler = "schedules.scheduler:PostgresScheduler"
beat_max_loop_interval = 1

timezone = "UTC"
include = ["workers.orders", "workers.rollups", "workers.upkeep"]
