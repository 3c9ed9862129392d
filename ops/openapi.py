"""`orders openapi`: the description of the API as a file, the same for the same code. Needs no database."""

import json
from pathlib import Path

from api.app import create_app
from ops.failures import LocalError
from runtime import settings

COMMITTED = Path(__file__).parents[1] / "docs" / "openapi.json"
# An app that only describes itself connects to nothing; these are the settings it cannot be made without.
NOWHERE = {
    "ENVIRONMENT": "local",
    "LOG_LEVEL": "ERROR",
    "DATABASE_URL": "postgresql://nowhere",
    "BROKER_URL": "redis://nowhere",
    "SECRET_KEY": "signs-nothing-" + "0" * 32,
}


def text() -> str:
    """The description as JSON, in the one spelling that is committed."""
    described = create_app(settings.read(NOWHERE)).openapi()
    return json.dumps(described, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def check(file: Path) -> None:
    """
    Raises:
        LocalError: the file does not say what the code does.
    """
    if not file.is_file() or file.read_text(encoding="utf-8") != text():
        raise LocalError(f"{file} is not current; write it anew with: orders openapi --output {file}")
