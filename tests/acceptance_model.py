"""What acceptance should answer, in plain dictionaries: keys, references and sums, without the product's code."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from models.acceptance import Answer, Outcome

PLACED, REPLAYED = "placed", "replayed"
REUSED, DUPLICATE = "idempotency_key_reused", "duplicate_reference"


@dataclass(frozen=True)
class Draft:
    """A request as a client would write it."""

    user: UUID
    key: str
    lines: tuple[tuple[str, int], ...]
    reference: str | None = None

    @property
    def claim(self) -> tuple[UUID, str]:
        return (self.user, self.key)

    @property
    def place(self) -> tuple[UUID, str] | None:
        """Where the reference counts; None where there is none."""
        return (self.user, self.reference) if self.reference else None


@dataclass
class AcceptanceModel:
    prices: Mapping[str, tuple[int, str]]
    keys: dict[tuple[UUID, str], tuple[Draft, Answer]] = field(default_factory=dict)
    references: dict[tuple[UUID, str], UUID] = field(default_factory=dict)

    def total(self, draft: Draft) -> int:
        return sum(self.prices[sku][0] * quantity for sku, quantity in draft.lines)

    def currencies(self, draft: Draft) -> set[str]:
        return {self.prices[sku][1] for sku, _ in draft.lines}

    def record(self, batch: Sequence[Draft], outcomes: Sequence[Outcome]) -> list[tuple[Draft, Answer]]:
        """Compare what was answered with what should have been; returns the orders that are new.

        A key belongs to its first request of the batch. Of several new keys with one reference any one may win.
        """
        fresh: dict[tuple[UUID, str], tuple[Draft, Outcome]] = {}
        retries = []
        for draft, outcome in zip(batch, outcomes, strict=True):
            if draft.claim in self.keys or draft.claim in fresh:
                retries.append((draft, outcome))
            else:
                fresh[draft.claim] = (draft, outcome)
        placed = [(draft, answer) for draft, outcome in fresh.values() if (answer := self._first(draft, outcome))]
        for draft, answer in placed:
            if draft.place and answer.order_id:
                assert self.references.setdefault(draft.place, answer.order_id) == answer.order_id, "two of a reference"
        for draft, outcome in fresh.values():
            if verdict(outcome) == DUPLICATE:
                assert draft.place in self.references, "refused as a duplicate of nothing"
        for draft, outcome in retries:
            self._again(draft, outcome)
        return placed

    def _first(self, draft: Draft, outcome: Outcome) -> Answer | None:
        """The first time a key is used; returns the answer if it placed an order."""
        assert isinstance(outcome, Answer), outcome
        self.keys[draft.claim] = (draft, outcome)
        if unknown := [sku for sku, _ in draft.lines if sku not in self.prices]:
            assert verdict(outcome) == "unknown_product", unknown
        elif len(self.currencies(draft)) > 1:
            assert verdict(outcome) == "mixed_currencies"
        elif draft.place in self.references:
            assert verdict(outcome) == DUPLICATE
        elif verdict(outcome) == PLACED:
            body = json.loads(outcome.body)
            assert (body["id"], body["total_minor"]) == (str(outcome.order_id), self.total(draft))
            return outcome
        else:  # Only a neighbour in the same batch can have been quicker; `record` looks for it.
            assert verdict(outcome) == DUPLICATE
        return None

    def _again(self, draft: Draft, outcome: Outcome) -> None:
        first, answer = self.keys[draft.claim]
        if first == draft:
            assert isinstance(outcome, Answer)
            assert (outcome.status, outcome.body, outcome.replayed) == (answer.status, answer.body, True)
        else:
            assert verdict(outcome) == REUSED


def verdict(outcome: Outcome) -> str:
    """How a request ended, in one word."""
    if not isinstance(outcome, Answer):
        return outcome.code
    if outcome.replayed:
        return REPLAYED
    return PLACED if outcome.status == 201 else str(json.loads(outcome.body)["code"])
