"""docker-compose.yml as Docker Compose reads it, and the `.env` beside it that docs/operations.md makes."""

import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker-compose.yml"
OPERATIONS = ROOT / "docs" / "operations.md"
VARIABLE = re.compile(r"\$\$|\$\{(?P<name>\w+):(?P<operator>[-?])(?P<rest>[^}]*)\}")


def document() -> dict[str, Any]:
    """The whole file, with YAML's anchors and merges resolved, and each `${…}` as it stands."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = document()["services"]
    return found


def variables() -> dict[str, str]:
    """name → `?` (it must be set) or `-` (it has a default)"""
    return {match["name"]: match["operator"] for match in VARIABLE.finditer(COMPOSE.read_text()) if match["name"]}


def rewritten(part: Any, rewrite: Callable[[str], str]) -> Any:
    """A part of the file with each of its words passed through `rewrite`."""
    if isinstance(part, dict):
        return {key: rewritten(value, rewrite) for key, value in part.items()}
    if isinstance(part, list):
        return [rewritten(value, rewrite) for value in part]
    return rewrite(part) if isinstance(part, str) else part


def filled(part: Any, given: Mapping[str, str]) -> Any:
    """A part of the file with its variables filled in; KeyError where one that must be set is not."""
    return rewritten(part, lambda words: VARIABLE.sub(lambda found: _value(found, given), words))


def _value(found: re.Match[str], given: Mapping[str, str]) -> str:
    if found["name"] is None:  # `$$` is a dollar
        return "$"
    return given[found["name"]] if found["operator"] == "?" else given.get(found["name"]) or found["rest"]


def documented_environment(directory: Path) -> dict[str, str]:
    """The `.env` that the commands of docs/operations.md make in `directory`."""
    blocks = re.findall(r"```sh\n(.*?)```", OPERATIONS.read_text(), re.DOTALL)
    [commands] = [block for block in blocks if "> .env" in block]
    subprocess.run(["/bin/bash", "-euc", commands], cwd=directory, check=True)
    return dict(line.split("=", 1) for line in (directory / ".env").read_text().splitlines())


def documented_statements(password: str) -> list[bytes]:
    """What docs/operations.md gives psql: the login of the services, with this password."""
    _, _, rest = OPERATIONS.read_text().partition("<<'SQL'\n")
    block = rest.partition("SQL\n")[0].replace(":'password'", f"'{password}'")
    return [line.encode() for line in block.splitlines() if line]


def documented_commands(heading: str, service: str) -> list[str]:
    """What docs/operations.md runs once in a container of the service, below this heading."""
    section = OPERATIONS.read_text().partition(f"# {heading}\n")[2].partition("\n#")[0]
    return re.findall(rf"(?m)^docker compose run --rm {service} (.+)$", section)
