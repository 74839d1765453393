"""The deployments of one app: for each environment of its slipway.yaml those that a person would start there."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deployments.forms import Form, narrowed
from deployments.wanted import RECOVERY, Timetable, Wanted
from tasks.manifest.manifest import Manifest
from tasks.names.tags import BRANCH, REGISTERED, tags_of
from tasks.source.source import Source

CLEANUP = "cleanup"
# A worker has Slipway installed, and a run needs no other files. Without a step Prefect would copy the worker's folder.
NO_PULL = ({"prefect.deployments.steps.set_working_directory": {"directory": "."}},)
STAGING, PRODUCTION = "staging", "production"


@dataclass(frozen=True, slots=True)
class App:
    """An app as it is registered."""

    name: str
    environments: Mapping[str, str]  # where each is, in the words of its form; as slipway.yaml lists them
    source: Source
    pool: str
    provisioned: frozenset[str] = frozenset()  # environments around which Terraform makes something
    branches: Mapping[str, str] = field(default_factory=dict)  # which branch is shipped to an environment when pushed

    def called(self, environment: str) -> str:
        """Its deployments for an environment."""
        return f"{self.name}-{environment}"


def entrypoint_of(flow: str) -> str:
    return f"flows.{flow}.{flow}"


def app_of(manifest: Manifest, source: Source, pool: str) -> App:
    """The deployments follow the default branch, or the folder as it is: a ref is for the form."""
    places = {
        name: f"project {environment.project}, {', '.join(environment.regions)}"
        for name, environment in manifest.environments.items()
    }
    provisioned = frozenset(name for name, environment in manifest.environments.items() if environment.provision)
    branches = {name: environment.branch for name, environment in manifest.environments.items() if environment.branch}
    return App(manifest.app, places, source.model_copy(update={"ref": None}), pool, provisioned, branches)


def own_deployments(app: App, form_of: Callable[[str], Form]) -> list[Wanted]:
    """Those of every environment, and the clean-up, which is about all of them."""
    wanted = [each for name in app.environments for each in _of_environment(app, name, form_of)]
    return [*wanted, _cleanup(app, form_of)]


def origin_of(environment: str, environments: Sequence[str]) -> str | None:
    """From where a release is usually promoted: the environment before it in slipway.yaml, but never production."""
    before = [name for name in environments[: environments.index(environment)] if name != PRODUCTION]
    if before:
        return before[-1]
    return STAGING if environment == PRODUCTION and STAGING in environments else None


def minute_of(*names: str, of: int = 60) -> int:
    """Spread over the hour, so that not all apps begin at once; always the same for one app."""
    return zlib.crc32("/".join(names).encode()) % of


def own_names(app: App) -> set[str]:
    """The full names of all of them."""
    found = {f"{flow}/{app.called(name)}" for name in app.environments for flow in _said(app, name)}
    return found | {f"{CLEANUP}/{app.name}"}


def _said(app: App, environment: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """By the name of the flow: its description there, and what its form says besides source and environment."""
    where = f"{app.name} in {environment} ({app.environments[environment]})"
    origin = origin_of(environment, list(app.environments))
    promoted = f"Ships to {where} what was proven in {origin}, from the same images."
    return {
        "deploy": (f"Ships {where}.", {}),
        **({"promote": (promoted, {"origin": origin})} if origin else {}),
        "rollback": (f"Gives the traffic of {where} back to an earlier release, in seconds.", {}),
        "drift": (
            f"Reports what was changed besides Slipway: {where}. Ships the release again with refresh.",
            {"refresh": False},
        ),
        "reconcile": (f"Tidies up after runs that died in the middle: {where}.", {}),
        "doctor": (f"Tells whether the project is ready, and what to do if not: {where}. Changes nothing.", {}),
        **(_provisioning(where) if environment in app.provisioned else {}),
    }


def _provisioning(where: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """What runs by itself only plans."""
    return {
        "provision": (f"Makes with Terraform what is around {where}; every day it shows what differs.", {}),
        "destroy": (f"Shows, and takes away when told to, what Terraform has made around {where}.", {"dry_run": True}),
    }


def _of_environment(app: App, environment: str, form_of: Callable[[str], Form]) -> Iterator[Wanted]:
    minute = minute_of(app.name, environment)
    timetables = {
        "drift": Timetable(f"{minute} * * * *"),
        "reconcile": Timetable(f"{(minute + 20) % 60} * * * *"),
        "provision": Timetable(f"{(minute + 40) % 60} 5 * * *", parameters=(("plan_only", True),)),
    }
    for flow, (description, parameters) in _said(app, environment).items():
        form = form_of(entrypoint_of(flow))
        yield Wanted(
            flow=form.flow,
            name=app.called(environment),
            entrypoint=form.entrypoint,
            description=description,
            parameters={"source": _source(app), "environment": environment, **parameters},
            tags=_tags(app, flow, environment),
            pool=app.pool,
            schema=narrowed(form.schema, environment=environment),
            timetable=timetables.get(flow),
            limit=1 if flow in timetables and flow != "provision" else None,  # a person's run waits for its turn
            pull_steps=NO_PULL,
            queue=RECOVERY if flow in ("rollback", "reconcile") else None,
            keeps_timetable=True,
        )


def _cleanup(app: App, form_of: Callable[[str], Form]) -> Wanted:
    form = form_of(entrypoint_of(CLEANUP))
    hour = 1 + minute_of(app.name, CLEANUP, of=5)  # at night
    return Wanted(
        flow=form.flow,
        name=app.name,
        entrypoint=form.entrypoint,
        description=f"Shows which images, revisions, sources and logs of {app.name} nothing needs any more, in all "
        "environments; deletes them without dry_run.",
        parameters={"source": _source(app), "dry_run": True},
        tags=_tags(app, CLEANUP),
        pool=app.pool,
        schema=form.schema,
        timetable=Timetable(f"{minute_of(app.name)} {hour} * * *"),
        limit=1,
        pull_steps=NO_PULL,
        keeps_timetable=True,
    )


def _source(app: App) -> dict[str, Any]:
    return app.source.model_dump(mode="json", exclude_none=True)


def _tags(app: App, flow: str, environment: str = "") -> tuple[str, ...]:
    branch = app.branches.get(environment) if flow == "deploy" else None
    pushed = [f"{BRANCH}{branch}"] if branch else []
    return (*tags_of(app.name, environment), *pushed, flow, "slipway", REGISTERED)
