"""docker-compose.yml as data: its services, and the variables it takes from the environment."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
VARIABLE = re.compile(r"(?<!\$)\$\{(?P<name>\w+)(?P<operator>:[-?])(?P<rest>[^}]*)\}")
ENGINES = {"postgres", "valkey"}


def services() -> dict[str, dict[str, Any]]:
    """Every service, with YAML's anchors and merges resolved."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if name not in ENGINES}


def variables() -> dict[str, str]:
    """name → `:?` (it must be set) or `:-` (it has a default)"""
    return {match["name"]: match["operator"] for match in VARIABLE.finditer(COMPOSE.read_text())}
