"""The page for people works without the internet: everything it loads is ours, and its CSP allows nothing else."""

import re

import pytest
from api_client import Client, assert_problem

CARRIED = ("swagger-ui.css", "favicon.png", "swagger-ui-bundle.js", "start.js")


def test_the_page_loads_only_what_we_serve(anonymous: Client) -> None:
    page = anonymous.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert sorted(loaded) == sorted(f"docs/{name}" for name in CARRIED)
    assert not re.search(r"<script>|<style|style=| on[a-z]+=", page.text), "the CSP allows no script in the page"
    for address in loaded:
        assert anonymous.get(f"/{address}").is_success


@pytest.mark.parametrize(
    ("name", "media_type"),
    list(zip(CARRIED, ("text/css", "image/png", "text/javascript", "text/javascript"), strict=True)),
)
def test_its_files_are_what_they_are_called_and_may_be_kept(anonymous: Client, name: str, media_type: str) -> None:
    file = anonymous.get(f"/docs/{name}")
    assert file.headers["Content-Type"].partition(";")[0] == media_type
    assert "max-age" in file.headers["Cache-Control"]
    assert file.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2Fcore.py", "%2Fetc%2Fpasswd", "nothing"])
def test_no_other_file_is_served(anonymous: Client, name: str) -> None:
    assert_problem(anonymous.get(f"/docs/{name}"), 404, "not_found")


def test_the_policy_names_nobody_but_us(anonymous: Client) -> None:
    header = anonymous.get("/docs").headers["Content-Security-Policy"]
    policy = dict(part.strip().split(" ", 1) for part in header.split(";"))
    assert policy == {
        "default-src": "'none'",
        "connect-src": "'self'",
        "frame-ancestors": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
    }
