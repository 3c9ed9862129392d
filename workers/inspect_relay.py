"""`celery -A workers.app inspect relay`: what each relay node says about itself, over the broker."""

from typing import Any

from celery.worker.control import inspect_command


@inspect_command(name="relay")
def relay(state: Any) -> dict[str, object]:
    """Who leads, how much work waits for how long, and what was dispatched (`-d relay@HOST` asks one node)."""
    step = state.consumer.controller.relay
    return dict(step.facts) if step is not None else {"error": "this node is no relay"}
