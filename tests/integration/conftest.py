"""Integration tests begin with an empty database."""

import pytest


@pytest.fixture(autouse=True)
def _begin_empty(clean_database: None) -> None:
    """Every test here."""
