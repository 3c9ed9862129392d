"""The tests' authenticator app computes what the RFCs print."""

import pytest
from phone import hotp

KEY = b"12345678901234567890"


@pytest.mark.parametrize(("counter", "code"), [(0, "755224"), (1, "287082"), (9, "520489")])
def test_mfa_the_tests_codes_are_those_of_rfc_4226(counter: int, code: str) -> None:
    assert hotp(KEY, counter) == code


@pytest.mark.parametrize(
    ("seconds", "code"),
    [(59, "94287082"), (1111111109, "07081804"), (2000000000, "69279037"), (20000000000, "65353130")],
)
def test_mfa_the_tests_codes_are_those_of_rfc_6238(seconds: int, code: str) -> None:
    assert hotp(KEY, seconds // 30, digits=8) == code
