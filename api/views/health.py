"""What goes out about this process: that it lives, and whether it can serve."""

from enum import StrEnum
from typing import Literal

from api.views.base import View


class Check(StrEnum):
    OK = "ok"
    FAILED = "failed"
    BEHIND = "behind"
    DEGRADED = "degraded"


class LivenessView(View):
    status: Literal["ok"] = "ok"


class ChecksView(View):
    database: Check
    migrations: Check
    broker: Check


class ReadinessView(View):
    status: Literal["ok", "degraded", "unavailable"]
    checks: ChecksView
