"""Parameters that do not fit a flow: said in the state of the run that was started with them.

Prefect binds parameters before a run begins, so that a run with an unknown or without a required one just crashes.
Its API refuses most of that, but lets names through that it does not know, and everything when it is asked to.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from prefect import Flow, State, get_client
from prefect.client.schemas.objects import FlowRun
from prefect.states import Failed

from tasks.failures.errors import ParameterError
from tasks.failures.spelling import meant


async def refuse_parameters(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """The first hook of crashed runs; Prefect passes its arguments by these names.

    A run that crashed over its parameters is failed instead, with the reason in its state.
    """
    misfit = unfit(inspect.signature(flow.fn), flow_run.parameters)
    if misfit:
        remedy = f"start {flow.name} with parameters of its form in the Prefect UI."
        refusal: State[Any] = Failed(message=str(ParameterError(misfit, remedy)))
        async with get_client() as client:
            await client.set_flow_run_state(flow_run.id, refusal, force=True)


def unfit(signature: inspect.Signature, given: Iterable[str] | Mapping[str, object]) -> str:
    """What is wrong with the names of the given parameters, '' if nothing is."""
    names, known = set(given), signature.parameters
    unknown = [f"there is no parameter {name}{_meant(name, known)}" for name in sorted(names - set(known))]
    required = [name for name, parameter in known.items() if parameter.default is parameter.empty]
    missing = [f"parameter {name} is missing" for name in required if name not in names]
    return f"{'; '.join(missing + unknown)}." if missing or unknown else ""


def _meant(name: str, known: Iterable[str]) -> str:
    return f" ({found})" if (found := meant(name, known)) else ""
