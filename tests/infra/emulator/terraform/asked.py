"""The stand-in asked as Terraform asks it, without Terraform: every value goes over the wire's encoding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.emulator.terraform.client import Cloud
from infra.emulator.terraform.engine import Provider
from infra.emulator.terraform.schema import Block, Nested, State, hollow
from infra.emulator.terraform.table import CONFIGURATION, PROVIDERS
from infra.emulator.terraform.wire import M, pack, unpack

OPENAPI = """\
swagger: "2.0"
info: {title: shop, version: "1"}
paths:
  /hello:
    get:
      operationId: hello
      x-google-backend: {address: "https://shop-abc-ew.a.run.app"}
      responses: {"200": {description: ok}}
"""


class Refused(Exception):
    """What Terraform would show; `state`: what it would keep all the same."""

    def __init__(self, text: str, state: State | None = None) -> None:
        super().__init__(text)
        self.state = state


def checked(answer: Any) -> Any:
    if answer.diagnostics:
        state = unpack(answer.new_state) if "new_state" in answer.DESCRIPTOR.fields_by_name else None
        raise Refused("\n".join(f"{each.summary} {each.detail}".strip() for each in answer.diagnostics), state)
    return answer


@dataclass
class Asked:
    """One provider, configured; `name` is google or google-beta."""

    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = "google-beta"

    def __post_init__(self) -> None:
        self.cloud = Cloud()
        self.provider = Provider(CONFIGURATION, PROVIDERS[self.name], self.cloud)
        whole = {name: self.config.get(name) for name in CONFIGURATION.fields}
        checked(self.provider.Configure(M["ConfigureRequest"](config=pack(whole))))

    def block(self, kind: str) -> Block:
        return PROVIDERS[self.name][kind].block

    def validate(self, kind: str, config: State) -> None:
        request = M["ValidateRequest"](type_name=kind, config=pack(hollow(self.block(kind)) | config))
        checked(self.provider.ValidateResourceTypeConfig(request))

    def plan(self, kind: str, prior: State | None, config: State | None) -> tuple[State | None, list[str]]:
        """What will be, and the arguments that make another resource."""
        proposed = None if config is None else proposal(self.block(kind), prior, config)
        request = M["PlanRequest"](type_name=kind, prior_state=pack(prior), proposed_new_state=pack(proposed))
        answer = checked(self.provider.PlanResourceChange(request))
        return unpack(answer.planned_state), [
            ".".join(str(step.attribute_name or step.element_key_int) for step in path.steps)
            for path in answer.requires_replace
        ]

    def apply(self, kind: str, prior: State | None, config: State | None) -> State | None:
        planned, _ = self.plan(kind, prior, config)
        whole = None if config is None else hollow(self.block(kind)) | config
        request = M["ApplyRequest"](
            type_name=kind, prior_state=pack(prior), planned_state=pack(planned), config=pack(whole)
        )
        return _state(unpack(checked(self.provider.ApplyResourceChange(request)).new_state))

    def create(self, kind: str, **config: Any) -> State:
        made = self.apply(kind, None, config)
        assert made is not None
        return made

    def read(self, kind: str, state: State) -> State | None:
        request = M["ReadRequest"](type_name=kind, current_state=pack(state))
        return _state(unpack(checked(self.provider.ReadResource(request)).new_state))

    def adopt(self, kind: str, name: str) -> State | None:
        """As an import block does: what the id says, and then what is there."""
        answer = checked(self.provider.ImportResourceState(M["ImportRequest"](type_name=kind, id=name)))
        return self.read(kind, unpack(answer.imported_resources[0].state))

    def changes(self, kind: str, state: State, config: State) -> dict[str, Any]:
        """Which arguments a plan would change, and to what; a resource made anew is `replaced`."""
        planned, anew = self.plan(kind, state, config)
        assert planned is not None
        found = {name: value for name, value in planned.items() if (value or None) != (state.get(name) or None)}
        return {**found, **({"replaced": anew} if anew else {})}


def _state(value: Any) -> State | None:
    return value if value is None else dict(value)


def proposal(block: Block, prior: State | None, config: State) -> State:
    """What Terraform proposes: the configuration, and of what it does not say what is there.

    https://github.com/hashicorp/terraform/blob/v1.11.4/internal/plans/objchange/objchange.go
    """
    out = hollow(block)
    for name, each in block.fields.items():
        given = config.get(name)
        kept = given is None and not isinstance(each, Nested) and each.computed and prior is not None
        out[name] = (prior or {}).get(name) if kept else ([] if isinstance(each, Nested) and given is None else given)
    return {**out, **({"timeouts": config.get("timeouts")} if block.timeouts else {})}
