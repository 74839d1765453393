"""The form of a flow in the Prefect UI: its name, what it does, and the JSON Schema of its parameters."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from prefect import Flow
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema


@dataclass(frozen=True, slots=True)
class Form:
    """What the code says of a flow."""

    flow: str
    entrypoint: str
    schema: dict[str, Any]


def form_of(entrypoint: str) -> Form:
    """Of a flow by its module path, such as flows.deploy.deploy; loads it."""
    flow: Flow[..., Any] = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    return Form(flow.name, entrypoint, parameter_schema(flow).model_dump(exclude_unset=True))


def narrowed(schema: dict[str, Any], **values: str) -> dict[str, Any]:
    """The schema of a deployment that is for one thing only: its parameters may be nothing else."""
    own = deepcopy(schema)
    for name, value in values.items():
        own["properties"][name] |= {"enum": [value]}
    return own
