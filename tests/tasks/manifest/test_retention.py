"""What slipway.yaml says of clean-up: what is kept where it says nothing, and whose things go where it does."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from tasks.cleanup.kinds.registry import KINDS
from tasks.manifest.foreign import ForeignKinds
from tasks.manifest.retention import DriftSettings, Retention

WITH_A_KEY = ["revision", "service", "image", "bucket", "service account"]


def test_where_nothing_is_said_much_is_kept_and_little_goes_at_once() -> None:
    said = Retention()
    assert (said.keep, said.max_age_s, said.max_items, said.max_percent) == (10, 90 * 86400, 50, 20)
    assert (said.protect, said.forget, said.adopt) == ((), (), ())
    assert DriftSettings().ignore == ()


@pytest.mark.parametrize("kind", [each.kind for each in KINDS])
def test_what_is_foreign_is_only_reported_where_nothing_is_said(kind: str) -> None:
    assert Retention().foreign_of(kind) == "report"
    assert Retention(foreign=ForeignKinds()).foreign_of(kind) == "report"


@pytest.mark.parametrize("kind", WITH_A_KEY)
def test_what_is_foreign_goes_by_its_own_kind_alone(kind: str) -> None:
    key = f"{kind.replace(' ', '_')}s"
    said = Retention.model_validate({"foreign": {key: "delete"}})
    assert {each for each in [*WITH_A_KEY, "build log"] if said.foreign_of(each) == "delete"} == {kind}


@pytest.mark.parametrize("kind", [*WITH_A_KEY, "build log"])
def test_one_word_for_all_kinds_is_for_all(kind: str) -> None:
    assert Retention.model_validate({"foreign": "delete"}).foreign_of(kind) == "delete"


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ({"keep": 1}, True),
        ({"keep": 0}, False),
        ({"max_items": 1}, True),
        ({"max_items": 0}, False),
        ({"max_percent": 1}, True),
        ({"max_percent": 0}, False),
        ({"max_percent": 100}, True),
        ({"max_percent": 101}, False),
        ({"max_age": "30d"}, True),
        ({"foreign": {"images": "delete"}}, True),
        ({"foreign": {"sources": "delete"}}, False),
        ({"foreign": "keep"}, False),
        ({"foreign": 7}, False),
    ],
)
def test_what_may_be_said(said: dict[str, Any], allowed: bool) -> None:
    if allowed:
        assert Retention.model_validate(said) != Retention()
        return
    with pytest.raises(pydantic.ValidationError):
        Retention.model_validate(said)
