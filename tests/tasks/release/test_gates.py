"""Freezes in front of a release."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.failures.errors import Frozen
from tasks.manifest.settings import FreezeDates
from tasks.release.gates import refuse_frozen
from tests.tasks.builders import a_request


def test_a_freeze_holds_a_release_that_nobody_answers_for() -> None:
    always = FreezeDates.model_validate({"from": "2000-01-01", "to": "2100-01-01", "reason": "holidays"})
    request = a_request()
    frozen = replace(request, settings=request.settings.model_copy(update={"freeze": (always,)}))
    with pytest.raises(Frozen, match="holidays"):
        refuse_frozen(frozen, None)
