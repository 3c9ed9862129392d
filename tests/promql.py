"""The part of PromQL that our rules and our dashboard are written in, evaluated over a few real scrapes.

There is no Prometheus where tests run. What is not known here is refused, so that no rule is misunderstood: selectors,
ranges, `sum`, `max`, `min` (`by`), `rate`, `increase`, `delta`, `histogram_quantile`, `absent`, `* / + -`, comparisons.
Rates are from the first to the last scrape, however long a range says; Prometheus would also extrapolate.
"""

import math
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = Vector | float
Evaluate = Callable[[Sequence["Scrape"]], Value]

TOKEN = re.compile(r'\s*(\d+\.?\d*(?![\w:])|[a-zA-Z_:][\w:]*|"[^"]*"|\[\w+\]|==|!=|>=|<=|=~|!~|[-+*/><=(){},])')
LINE = re.compile(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
ARITHMETIC = ({"+": operator.add, "-": operator.sub}, {"*": operator.mul, "/": operator.truediv})
AGGREGATIONS: Mapping[str, Callable[[list[float]], float]] = {"sum": sum, "max": max, "min": min}

FUNCTIONS = frozenset({"rate", "increase", "delta", "histogram_quantile", "absent"})


@dataclass(frozen=True)
class Scrape:
    """What was read at one time: name → labels → value."""

    at: float
    samples: Mapping[str, Vector]


def scrape(at: float, text: str | None, **labels: str) -> Scrape:
    """A scrape as Prometheus keeps it: its own labels on every series, and `up`. Without a text nobody answered."""
    own = frozenset(labels.items())
    samples: dict[str, Vector] = defaultdict(dict)
    samples["up"][own] = float(text is not None)
    for line in (text or "").splitlines():
        if not line.startswith("#"):
            match = LINE.fullmatch(line)
            assert match, line
            samples[match[1]][own | frozenset(LABEL.findall(match[2] or ""))] = float(match[3])
    return Scrape(at, samples)


def names(expression: str) -> set[str]:
    """The metrics that an expression asks for."""
    parser = _Parser(expression)
    parser.parse()
    return parser.names


def evaluate(expression: str, scrapes: Sequence[Scrape]) -> Vector:
    """The series for which it holds, as of the last scrape: for an alert, those that it fires for."""
    found = _Parser(expression).parse()(scrapes)
    assert isinstance(found, dict), expression
    return found


class _Parser:
    def __init__(self, expression: str) -> None:
        self._tokens = list(self._split(expression))
        self.names: set[str] = set()

    @staticmethod
    def _split(expression: str) -> Iterator[str]:
        place, expression = 0, expression.strip()
        while place < len(expression):
            match = TOKEN.match(expression, place)
            assert match, f"not understood: {expression[place:]}"
            yield match[1]
            place = match.end()

    def parse(self) -> Evaluate:
        parsed = self._comparison()
        assert not self._tokens, self._tokens
        return parsed

    @property
    def _next(self) -> str:
        return self._tokens[0] if self._tokens else ""

    def _take(self, *expected: str) -> str:
        token = self._tokens.pop(0)
        assert not expected or token in expected, (token, expected)
        return token

    def _comparison(self) -> Evaluate:
        left = self._arithmetic(0)
        if self._next not in COMPARISONS:
            return left
        compare, right = COMPARISONS[self._take()], self._arithmetic(0)
        return lambda scrapes: _where(compare, left(scrapes), right(scrapes))

    def _arithmetic(self, level: int) -> Evaluate:
        if level == len(ARITHMETIC):
            return self._operand()
        left = self._arithmetic(level + 1)
        while self._next in ARITHMETIC[level]:
            left = _computed(ARITHMETIC[level][self._take()], left, self._arithmetic(level + 1))
        return left

    def _operand(self) -> Evaluate:
        token = self._take()
        if token == "(":
            inner = self._comparison()
            self._take(")")
            return inner
        if token[0].isdigit():
            return lambda scrapes: float(token)
        if token in AGGREGATIONS or token in FUNCTIONS:
            return self._call(token)
        select = self._selector(token)
        return lambda scrapes: select(scrapes[-1])

    def _call(self, function: str) -> Evaluate:
        if function in AGGREGATIONS:
            return self._aggregation(AGGREGATIONS[function])
        if function == "histogram_quantile":
            return self._quantile()
        return self._absent() if function == "absent" else self._change(function)

    def _aggregation(self, aggregate: Callable[[list[float]], float]) -> Evaluate:
        kept: list[str] = []
        if self._next == "by":
            self._take()
            kept = self._list()
        self._take("(")
        inner = self._comparison()
        self._take(")")

        def evaluate_(scrapes: Sequence[Scrape]) -> Vector:
            groups: dict[Labels, list[float]] = defaultdict(list)
            for labels, value in _vector(inner(scrapes)).items():
                groups[frozenset(each for each in labels if each[0] in kept)].append(value)
            return {labels: aggregate(values) for labels, values in groups.items()}

        return evaluate_

    def _list(self) -> list[str]:
        self._take("(")
        found = []
        while (token := self._take()) != ")":
            found += [token] if token != "," else []
        return found

    def _absent(self) -> Evaluate:
        self._take("(")
        inner = self._comparison()
        self._take(")")
        return lambda scrapes: {} if _vector(inner(scrapes)) else {frozenset(): 1.0}

    def _quantile(self) -> Evaluate:
        self._take("(")
        quantile = float(self._take())
        self._take(",")
        inner = self._comparison()
        self._take(")")
        return lambda scrapes: _quantiles(quantile, _vector(inner(scrapes)))

    def _change(self, function: str) -> Evaluate:
        self._take("(")
        select = self._selector(self._take())
        assert re.fullmatch(r"\[\d+[smh]\]", self._take())
        self._take(")")
        return lambda scrapes: _changes(function, select, scrapes)

    def _selector(self, name: str) -> Callable[[Scrape], Vector]:
        assert re.fullmatch(r"[a-z]\w*", name), name
        self.names.add(name)
        matchers = []
        if self._next == "{":
            self._take("{")
            while self._next != "}":
                matchers.append((self._take(), self._take("=", "!=", "=~", "!~"), self._take()[1:-1]))
                self._take(",") if self._next == "," else None
            self._take("}")
        return lambda scrape: {
            labels: value for labels, value in scrape.samples.get(name, {}).items() if _match(dict(labels), matchers)
        }


def _match(labels: Mapping[str, str], matchers: Sequence[tuple[str, str, str]]) -> bool:
    def holds(label: str, how: str, wanted: str) -> bool:
        given = labels.get(label, "")
        same = bool(re.fullmatch(wanted, given)) if how.endswith("~") else given == wanted
        return same is not how.startswith("!")

    return all(holds(*matcher) for matcher in matchers)


def _vector(value: Value) -> Vector:
    assert isinstance(value, dict)
    return value


def _where(compare: Callable[[float, float], bool], left: Value, right: Value) -> Vector:
    assert isinstance(right, float), "compared with numbers only"
    return {labels: value for labels, value in _vector(left).items() if compare(value, right)}


def _computed(compute: Callable[[float, float], float], left: Evaluate, right: Evaluate) -> Evaluate:
    def safely(one: float, other: float) -> float:
        return math.nan if compute is operator.truediv and not other else compute(one, other)

    def evaluate_(scrapes: Sequence[Scrape]) -> Value:
        one, other = left(scrapes), right(scrapes)
        if isinstance(one, float):
            return {labels: safely(one, value) for labels, value in _vector(other).items()}
        if isinstance(other, float):
            return {labels: safely(value, other) for labels, value in one.items()}
        return {labels: safely(one[labels], other[labels]) for labels in one.keys() & other.keys()}

    return evaluate_


def _changes(function: str, select: Callable[[Scrape], Vector], scrapes: Sequence[Scrape]) -> Vector:
    series: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for each in scrapes:
        for labels, value in select(each).items():
            series[labels].append((each.at, value))
    changed = {}
    for labels, points in series.items():
        if len(points) > 1:
            seconds = points[-1][0] - points[0][0]
            # A counter that is less than before began anew in between.
            grown = sum(now - before if now >= before else now for (_, before), (_, now) in pairwise(points))
            change = points[-1][1] - points[0][1] if function == "delta" else grown
            changed[labels] = change / seconds if function == "rate" else change
    return changed


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    """Linear within the bucket that the quantile falls into, as Prometheus does it."""
    groups: dict[Labels, list[tuple[float, float]]] = defaultdict(list)
    for labels, count in buckets.items():
        bound = next(value for name, value in labels if name == "le")
        groups[frozenset(each for each in labels if each[0] != "le")].append((float(bound), count))
    return {labels: _quantile_of(quantile, sorted(bounds)) for labels, bounds in groups.items()}


def _quantile_of(quantile: float, bounds: Sequence[tuple[float, float]]) -> float:
    rank, lower, below = quantile * bounds[-1][1], 0.0, 0.0
    if not bounds[-1][1]:
        return math.nan
    for bound, count in bounds:
        if count >= rank:
            return lower if math.isinf(bound) else lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
