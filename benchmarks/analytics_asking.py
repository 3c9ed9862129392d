"""Who puts the questions of the analytics' benchmark: analysts to the API, and readers to the databases alone."""

import http.client
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, text

from benchmarks import callers, stand
from benchmarks.analytics_questions import RAW, Question
from models.identity.permissions import Role
from ops.failures import LocalError
from ops.processes.ports import LOOPBACK
from runtime import database, settings

SMALL, LARGE = "small", "large"
ANALYST = 1

_SET = text("SELECT set_config(:option, :value, false)")

Ask = Callable[[Question], object]


@dataclass(frozen=True)
class Times:
    """Medians in milliseconds."""

    small_ms: float
    large_ms: float

    @property
    def ratio(self) -> float:
        return self.large_ms / self.small_ms


def times(asked: Mapping[str, Ask], questions: Mapping[str, Question], rounds: int) -> dict[str, Times]:
    """Every question, put to the small and to the large system in turns.

    Who is asked second finds the processor's caches filled by the first: they take turns in that, too.
    """
    took: dict[tuple[str, str], list[float]] = {(each, name): [] for each in questions for name in asked}
    for number in range(rounds):
        for each in questions:
            for name in (SMALL, LARGE) if number % 2 else (LARGE, SMALL):
                took[each, name].append(_milliseconds(asked[name], questions[each]))
    medians = {key: statistics.median(milliseconds) for key, milliseconds in took.items()}
    return {each: Times(medians[each, SMALL], medians[each, LARGE]) for each in questions}


def raw_ms(connection: Connection, rounds: int) -> dict[str, float]:
    """Medians of the same asked of the raw orders, which PostgreSQL may read as it likes."""
    _set(connection, {"enable_seqscan": "on"})
    return {
        name: statistics.median(_milliseconds(_in_transaction, connection, verb) for _ in range(rounds))
        for name, verb in RAW.items()
    }


def _milliseconds(ask: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    ask(*arguments)
    return (time.perf_counter() - began) * 1000


@contextmanager
def analysts(environments: Mapping[str, Mapping[str, str]], directory: Path) -> Iterator[Mapping[str, Ask]]:
    """One for each system, on a connection that stays, to an API process that has nothing else to do."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(_analyst(environment, directory / name))
            for name, environment in environments.items()
        }


@contextmanager
def _analyst(environment: Mapping[str, str], directory: Path) -> Iterator[Ask]:
    directory.mkdir(exist_ok=True)
    [token] = callers.sign_tokens(settings.read(environment), [ANALYST], Role.ANALYST)
    with stand.api(environment, directory, processes=1) as listeners:
        connection = http.client.HTTPConnection(LOOPBACK, listeners.port)

        def ask(question: Question) -> None:
            connection.request("GET", question.path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise LocalError(f"{question.path} was answered {answer.status}: {body.decode()}")
            if json.loads(body).get("computed") != question.computed:
                raise LocalError(f"{question.path} was not answered from a {question.computed}.")

        yield ask
        connection.close()


@contextmanager
def readers(environments: Mapping[str, Mapping[str, str]]) -> Iterator[Mapping[str, Connection]]:
    """A connection to each system, as an API process has it, but for the time limit: what takes longer is measured."""
    with ExitStack() as stack:
        made = {}
        for name, environment in environments.items():
            engine = database.engine(settings.read(environment), database.Role.API)
            stack.callback(engine.dispose)
            made[name] = stack.enter_context(engine.connect())
            _set(made[name], {**database.ALONG_INDEXES, "statement_timeout": "0"})
        yield made


def asking(connection: Connection) -> Ask:
    """Who puts each question to the database in a transaction of its own."""
    return lambda question: _in_transaction(connection, question.verb)


def _in_transaction(connection: Connection, verb: Callable[[Connection], object]) -> None:
    with connection.begin():
        verb(connection)


def _set(connection: Connection, options: Mapping[str, str]) -> None:
    """For the whole session."""
    with connection.begin():
        for option, value in options.items():
            connection.execute(_SET, {"option": option, "value": value})
