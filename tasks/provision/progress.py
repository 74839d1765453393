"""What is known of each resource of a run, from what Terraform says of it. Values in, values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from infra.terraform.events import Event, Kind
from infra.terraform.plan import Plan
from tasks.failures.redact import redact

DOING = {"create": "making", "update": "changing", "delete": "deleting", "replace": "making anew", "adopt": "adopting"}
DONE = {"create": "made", "update": "changed", "delete": "deleted", "adopt": "adopted", "read": "read"}


class Stage(StrEnum):
    """How far a resource has come."""

    PLANNED = "planned"
    UNDER_WAY = "under way"
    DONE = "done"
    FAILED = "failed"
    LEFT = "left"  # it was under way when Terraform ended: the next run looks for it


@dataclass(frozen=True, slots=True)
class ResourceState:
    """One resource; `error` is what its provider said, masked."""

    address: str
    action: str
    stage: Stage
    seconds: float = 0.0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """All of them, in the order in which they were heard of, and what was said of none."""

    resources: Mapping[str, ResourceState] = field(default_factory=dict)
    errors: tuple[str, ...] = ()

    def heard(self, event: Event) -> Progress:
        """With what one more line tells."""
        if event.kind is Kind.DIAGNOSTIC and event.is_error:
            return self._failed(event)
        stages = {
            Kind.PLANNED: Stage.PLANNED, Kind.STARTED: Stage.UNDER_WAY, Kind.GOES_ON: Stage.UNDER_WAY,
            Kind.DONE: Stage.DONE, Kind.FAILED: Stage.FAILED,
        }  # fmt: skip
        if event.kind not in stages or event.action in ("noop", "read", "import"):
            return self
        known = self.resources.get(event.address)
        action = known.action if known and known.action in ("replace", "adopt") else event.action
        seconds = event.seconds + (known.seconds if known and known.stage is Stage.DONE else 0.0)
        return self._with(
            ResourceState(event.address, action, stages[event.kind], seconds, known.error if known else "")
        )

    def ended(self, *, ok: bool) -> Progress:
        """Terraform is gone: what was under way is left, and of imports nothing more is said."""
        over = {Stage.UNDER_WAY: Stage.LEFT} | ({Stage.PLANNED: Stage.DONE} if ok else {})
        known = {
            address: replace(each, stage=over.get(each.stage, each.stage)) for address, each in self.resources.items()
        }
        return replace(self, resources=known)

    @property
    def done(self) -> tuple[ResourceState, ...]:
        return tuple(each for each in self.resources.values() if each.stage is Stage.DONE)

    @property
    def undone(self) -> tuple[ResourceState, ...]:
        return tuple(each for each in self.resources.values() if each.stage is not Stage.DONE)

    def _failed(self, event: Event) -> Progress:
        said = redact(": ".join(filter(None, (event.message, event.detail))))
        known = self.resources.get(event.address)
        if known is None:
            where = f"{event.address}: " if event.address else ""
            return replace(self, errors=(*self.errors, f"{where}{said}"))
        return self._with(replace(known, stage=Stage.FAILED, error=said))

    def _with(self, resource: ResourceState) -> Progress:
        return replace(self, resources={**self.resources, resource.address: resource})


def planned(plan: Plan) -> Progress:
    """What a plan names, before anything of it is done."""
    states = (ResourceState(each.address, each.word, Stage.PLANNED) for each in plan.changes)
    return Progress({each.address: each for each in states})


def line(event: Event) -> str:
    """What a person is told as it happens; '' for what says nothing."""
    match event.kind:
        case Kind.STARTED:
            return f"{event.address}: {DOING.get(event.action, event.action)}"
        case Kind.GOES_ON:
            return f"{event.address}: still {DOING.get(event.action, event.action)} after {event.seconds:.0f} s"
        case Kind.DONE:
            return f"{event.address}: {DONE.get(event.action, event.action)} after {event.seconds:.0f} s"
        case Kind.FAILED:
            return f"{event.address}: failed after {event.seconds:.0f} s"
        case Kind.DIAGNOSTIC:
            where = f"{event.address}: " if event.address else ""
            return redact(f"{where}{': '.join(filter(None, (event.message, event.detail)))}")
        case _:
            return ""


def rows(resources: Iterable[ResourceState]) -> list[dict[str, str]]:
    """The table at the end of a run."""
    return [
        {
            "resource": each.address,
            "action": each.action,
            "state": str(each.stage),
            "seconds": f"{each.seconds:.0f}",
            "error": each.error,
        }
        for each in resources
    ]
