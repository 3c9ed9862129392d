"""Each rule of the house notices who breaks it: a rule that cannot fail protects nothing."""

import shutil
from pathlib import Path

import house_rules
import pytest
from house_rules import Rule

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "benchmarks", "models", "ops", "runtime", "schedules", "workers")
LINES = "    pass\n"
BROKEN: dict[str, tuple[Rule, str]] = {
    "a long file": (house_rules.too_long, "\n" * (house_rules.FILE_LINES_MAX + 1)),
    "a long function": (house_rules.with_a_function_too_long, f"def f():\n{LINES * house_rules.FUNCTION_LINES_MAX}"),
    "a hidden import": (house_rules.hiding_an_import, "class A:\n    async def f(self):\n        import json\n"),
    "an import for types": (house_rules.hiding_an_import, "if typing.TYPE_CHECKING:\n    import json\n"),
    "no docstring": (house_rules.without_a_docstring, "import json\n"),
    "a delayed task": (house_rules.publishing, "confirm.delay(1)\n"),
    "a task by its name": (house_rules.publishing, "app.send_task('orders.confirm')\n"),
    "a commit": (house_rules.committing, "connection.commit()\n"),
    "a transaction": (house_rules.beginning_a_transaction, "with database.transaction() as connection:\n    pass\n"),
    "a transaction on a connection": (house_rules.beginning_a_transaction, "with self.connection.begin():\n    pass\n"),
}


@pytest.mark.parametrize(("rule", "words"), BROKEN.values(), ids=BROKEN)
def test_a_rule_notices_who_breaks_it_and_nobody_else(tmp_path: Path, rule: Rule, words: str) -> None:
    broken, good = tmp_path / "broken.py", tmp_path / "good.py"
    broken.write_text(words)
    good.write_text('"""Adds."""\n\n\ndef add(a: int, b: int) -> int:\n    return a + b\n')
    [found] = rule([broken, good])
    assert found.startswith(str(broken))


@pytest.mark.parametrize(
    ("package", "imported", "broken"),
    [
        ("models", "workers", True),
        ("api", "workers", True),
        ("workers", "api", True),
        ("runtime", "models", True),
        ("api", "celery", True),
        ("ops", "api", False),
        ("api/edge", "api.identity", True),
        ("api/services", "api.routes", True),
        ("api/identity", "api.edge", False),
    ],
)
def test_an_import_that_points_up_is_noticed(tmp_path: Path, package: str, imported: str, broken: bool) -> None:
    """In a house of the same rooms, all of them empty."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module in (path for name in PACKAGES for path in (ROOT / name).rglob("*.py")):
        copy = tmp_path / module.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    importing = tmp_path / package
    importing = importing / "__init__.py" if importing.is_dir() else importing.with_suffix(".py")
    importing.write_text(f"import {imported}\n")
    assert ("BROKEN" in house_rules.importing_upwards(tmp_path)) == broken
