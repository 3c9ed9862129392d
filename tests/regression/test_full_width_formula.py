"""A cell that began with a full-width sign was exported as it was (25 November 2026).

`＝HYPERLINK(…)` as a client reference is a formula to spreadsheets that take full-width signs for the plain ones
(OWASP, CSV injection). Only `=`, `+`, `-`, `@`, tab and carriage return got their apostrophe.
"""

import csv

import pytest

from api.answers import sheets


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\t", "\r", "\n"])
def test_no_sign_that_opens_a_formula_opens_a_cell(start: str) -> None:
    written = sheets.rows(["client_reference"], [{"client_reference": f"{start}1+1"}])
    [[cell]] = csv.reader([written])
    assert cell.startswith("'")
