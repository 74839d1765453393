"""Freezes in front of a release."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.failures.errors import Frozen
from tasks.manifest.settings import FreezeDates
from tasks.release.gates import refuse_frozen
from tests.tasks.builders import a_request

HOLIDAYS = FreezeDates.model_validate({"from": "2026-12-20", "to": "2027-01-04", "reason": "holidays"})
PRODUCTION = a_request().settings.model_copy(update={"freeze": (HOLIDAYS,)})


def test_a_freeze_holds_a_release_that_nobody_answers_for() -> None:
    with pytest.raises(Frozen, match=r"production is .*holidays") as frozen:
        refuse_frozen(PRODUCTION, None, datetime(2026, 12, 24, tzinfo=UTC))
    assert frozen.value.state == "Live traffic was not moved."


def test_before_and_after_it_nothing_is_held() -> None:
    refuse_frozen(PRODUCTION, None, datetime(2026, 12, 19, 23, 59, tzinfo=UTC))
    refuse_frozen(PRODUCTION, None, datetime(2027, 1, 4, tzinfo=UTC))
