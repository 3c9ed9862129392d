"""Refusals spoke in pydantic's words (25 November 2026).

An id that is none was refused with a character of it ("found `x` at 0"), though no value is ever repeated. A body that
is no object should have been a "dictionary or instance of OrderForm", two equal skus were a "Value error, …", and a
metadata name that is too long had the pointer /metadata/…/[key], where nothing can be.
"""

import json
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from api import forms, problems
from models.errors import Flaw

LINE = {"sku": "BOWL", "quantity": 1}


def flaws(model: type[object], value: object, where: str = "body") -> list[Flaw]:
    with pytest.raises(ValidationError) as refused:
        TypeAdapter(model).validate_json(json.dumps(value))
    return problems.flaws_of([each | {"loc": (where, *each["loc"])} for each in refused.value.errors()])


@pytest.mark.parametrize("form", [forms.OrderForm, forms.BatchForm, forms.TransitionForm])
@pytest.mark.parametrize("value", [None, [], 7, "x"])
def test_what_is_no_object_should_be_one(form: type[forms.Form], value: object) -> None:
    assert [(flaw.pointer, flaw.detail) for flaw in flaws(form, value)] == [("", problems.OBJECT_EXPECTED)]


def test_metadata_should_be_an_object() -> None:
    [flaw] = flaws(forms.OrderForm, {"items": [LINE], "metadata": None})
    assert (flaw.pointer, flaw.detail) == ("/metadata", problems.OBJECT_EXPECTED)


def test_an_id_that_is_none_is_refused_without_a_character_of_it() -> None:
    [flaw] = flaws(UUID, "~", where="query")
    assert flaw.detail == "Input should be a valid UUID"


def test_a_rule_of_our_own_is_told_in_our_own_words() -> None:
    [flaw] = flaws(forms.OrderForm, {"items": [LINE, LINE]})
    assert flaw.detail.startswith("the same sku")


@pytest.mark.parametrize("name", ["", "x" * 41])
def test_a_bad_name_is_found_at_its_object(name: str) -> None:
    [flaw] = flaws(forms.OrderForm, {"items": [LINE], "metadata": {name: "v"}})
    assert flaw.pointer == "/metadata"
