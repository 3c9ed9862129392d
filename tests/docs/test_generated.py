"""What ops/diagrams.py draws stands in the pages as it would draw it now."""

import pytest

from ops import diagrams


@pytest.mark.parametrize("page", list(diagrams.PAGES))
def test_the_pictures_and_tables_of_a_page_are_made_from_the_code(page: str) -> None:
    written = (diagrams.ROOT / page).read_text()
    assert written == diagrams.filled(page), "python -m ops.diagrams --write"
