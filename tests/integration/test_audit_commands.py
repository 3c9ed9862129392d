"""`orders audit`: what somebody at a terminal sees of the audit log, and how its chain is verified."""

import json
import subprocess
import sys
from collections.abc import Mapping
from uuid import uuid4

import pytest
from audit_trail import an_event, entries, record, seal, tamper, told
from typer.testing import CliRunner, Result

from models.audit_log import EventName
from ops import audit, cli


def orders(*arguments: object, env: Mapping[str, str] | None = None, given: str | None = None) -> Result:
    return CliRunner().invoke(cli.app, [*map(str, arguments)], env={"COLUMNS": "240", **(env or {})}, input=given)


def listed(*arguments: object) -> list[str]:
    done = orders("audit", "ls", "--json", *arguments)
    assert done.exit_code == 0, done.output
    return [entry["event"] for entry in json.loads(done.stdout)]


def test_the_list_is_a_table_for_people_and_json_for_programs() -> None:
    user = uuid4()
    record(an_event(EventName.LOGIN_FAILED, user_id=user, facts={"because": "[bold]x[/bold]"}))
    shown = orders("audit", "ls").stdout
    assert str(user) in shown and "login.failed" in shown and "because=[bold]x[/bold]" in shown and "192.0.2.7" in shown
    [entry] = json.loads(orders("audit", "ls", "--json").stdout)
    assert entry.keys() == {"id", "at", "event", "user_id", "actor", "client_address", "request_id", "facts"}
    assert (entry["event"], entry["facts"]) == ("login.failed", {"because": "[bold]x[/bold]"})


def test_an_empty_list_says_so() -> None:
    assert orders("audit", "ls").stdout == "no security event matches\n"
    assert orders("audit", "ls", "--json").stdout == "[]\n"


def test_filters_narrow_the_list() -> None:
    user = uuid4()
    record(an_event(EventName.LOGIN_FAILED), an_event(EventName.LOGGED_OUT, user_id=user), an_event())
    first, second, third = entries()
    assert listed() == ["login.succeeded", "logout", "login.failed"]
    assert listed("--event", "login.failed", "--event", "logout") == ["logout", "login.failed"]
    assert listed("--user", user) == ["logout"]
    assert listed("--actor", first.actor) == ["login.failed"]
    assert listed("--actor", third.actor) == ["login.succeeded"]
    assert listed("--address", second.client_address, "--limit", 2) == ["login.succeeded", "logout"]
    assert listed("--address", "192.0.2.9") == listed("--request", "req_x") == listed("--since", "2100-01-01") == []
    assert len(listed("--request", "req_12345678")) == len(listed("--since", "2000-01-01T10:30:00+0200")) == 3
    assert orders("audit", "ls", "--event", "logins").exit_code == 2


def test_more_events_than_a_page_are_all_found() -> None:
    record(*(an_event() for _ in range(audit.ENTRIES_PER_PAGE + 3)))
    assert len(listed("--limit", 5_000)) == audit.ENTRIES_PER_PAGE + 3
    assert len(listed("--limit", audit.ENTRIES_PER_PAGE + 1)) == audit.ENTRIES_PER_PAGE + 1


def test_s25_verify_says_that_all_is_well_and_prints_the_head() -> None:
    record(an_event(), an_event())
    _, head = seal()
    record(an_event())
    done = orders("audit", "verify")
    assert (done.exit_code, done.stdout) == (
        0,
        f"2 sealed events are as they were recorded; 1 wait for their seal\nhead {head}\n",
    )
    assert json.loads(orders("audit", "verify", "--from", str(head), "--json").stdout) == {
        "clean": True,
        "events": 0,
        "waiting": 1,
        "head": str(head),
        "faults": 0,
        "findings": [],
    }


def test_s25_verify_names_what_was_tampered_with_and_fails() -> None:
    record(an_event(), an_event())
    _, head = seal()
    altered = entries()[1].id
    tamper("UPDATE audit_log SET event = 'logout' WHERE id = :id", id=altered)
    done = orders("audit", "verify")
    assert done.exit_code == 1
    assert f"position 2: event {altered}: altered: " in done.stderr and "1 faults in 2 sealed events" in done.stderr
    told_as_json = orders("audit", "verify", "--json")
    assert told_as_json.exit_code == 1
    assert json.loads(told_as_json.stdout)["findings"] == [
        {"fault": "altered", "position": 2, "event_id": str(altered)}
    ]
    assert orders("audit", "verify", "--from", str(head)).exit_code == 0


def test_a_head_that_is_none_is_refused_in_one_paragraph() -> None:
    command = [sys.executable, "-m", "ops", "audit", "verify", "--from", "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("orders: a head is what") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("password", ["a lovely day in may"])
def test_s25_a_user_made_at_the_command_line_is_recorded_with_who_made_it(password: str) -> None:
    arguments = ("user", "create", "--email", "ada@example.com", "--role", "admin", "--password-stdin")
    done = orders(*arguments, given=f"{password}\n")
    assert done.exit_code == 0, done.output
    [entry] = entries()
    assert told(entry) == ("user.created", done.stdout.strip(), {"role": "admin"})
    assert entry.actor is not None and entry.actor.startswith("cli:")
