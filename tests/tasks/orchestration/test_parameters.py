"""Which names of parameters fit a flow."""

from __future__ import annotations

import inspect

import pytest

from flows.deploy import deploy
from tasks.orchestration.parameters import unfit

SIGNATURE = inspect.signature(deploy.fn)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"source", "environment"}, ""),
        ({"source", "environment", "services"}, ""),
        ({"source", "environment", "service"}, "there is no parameter service (did you mean 'services'?)."),
        ({"source", "environment", "colour"}, "there is no parameter colour."),
        ({"environment"}, "parameter source is missing."),
        (
            {"source", "enviroment"},
            "parameter environment is missing; there is no parameter enviroment (did you mean 'environment'?).",
        ),
    ],
    ids=["required ones", "an optional one", "nearly one", "another", "too few", "misspelt"],
)
def test_what_does_not_fit_is_named(given: set[str], said: str) -> None:
    assert unfit(SIGNATURE, given) == said
