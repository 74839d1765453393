"""slipway.yaml as one value: what an app consists of and where it goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from tasks.failures.cause import Cause
from tasks.failures.errors import ManifestError
from tasks.failures.spelling import hint
from tasks.manifest.environment import Difference, Environment
from tasks.manifest.jobs import JobRuntime, PoolRuntime, Workload
from tasks.manifest.members import in_full
from tasks.manifest.order import dependency_waves
from tasks.manifest.retention import DriftSettings, Retention
from tasks.manifest.settings import (
    APP_NAME,
    OWN_NAME,
    Beside,
    JobSettings,
    PoolSettings,
    ServiceSettings,
    account_email,
)
from tasks.manifest.silence import silenced
from tasks.manifest.values import Name, Strict

V = TypeVar("V")
P = TypeVar("P", JobSettings, PoolSettings)

MANIFEST_NAME = "slipway.yaml"
BESIDE = ("jobs", "worker_pools")  # what is deployed with the services
# Merged by what their entries are called, beside env and secrets.
BY_NAME = (
    "labels", "service_labels", "revision_labels", "annotations", "service_annotations", "volumes", "sidecars"
)  # fmt: skip


class Manifest(Strict):
    """An app, its services and its environments. Made by `load_manifest`, which also checks what types cannot."""

    app: Name = Field(description="First part of the name of everything that is made.")
    services: dict[Name, ServiceSettings] = Field(
        {}, description="What the app consists of; an app may be of jobs or worker pools alone."
    )
    jobs: dict[Name, JobSettings] = Field({}, description="Cloud Run jobs that are deployed with its services.")
    worker_pools: dict[Name, PoolSettings] = Field({}, description="Cloud Run worker pools, deployed with them too.")
    environments: dict[Name, Environment] = Field(min_length=1, description="Where it is released to.")
    retention: Retention = Field(default_factory=Retention, description="What clean-up keeps.")
    drift: DriftSettings = Field(
        default_factory=DriftSettings, description="How deployed and described configuration are compared."
    )

    @field_validator("services", "jobs", "worker_pools", "environments", mode="before")
    @classmethod
    def _tell_names(cls, value: object, info: ValidationInfo) -> object:
        """Services, jobs, pools, environments know what they are called; one with nothing to say may be left empty."""
        if not isinstance(value, dict):
            return value
        names = {APP_NAME: info.data.get("app", "app")} if info.field_name == "environments" else {}
        return {
            key: {**(item or {}), OWN_NAME: key, **names} if isinstance(item, dict | None) else item
            for key, item in value.items()
        }

    def environment(self, name: str) -> Environment:
        """ManifestError when there is no such environment."""
        if name not in self.environments:
            raise self._unknown("environment", name, self.environments)
        return self.environments[name]

    def without_values(self) -> dict[str, Any]:
        """As slipway.yaml says it, but for what may be secret: values of variables and build arguments, and hooks."""
        return silenced(self.model_dump(mode="json", by_alias=True, exclude_unset=True))

    def service_in(self, environment: str, name: str) -> ServiceSettings:
        """The service as it runs in an environment; ManifestError when either does not exist.

        The environment's `services.<name>` wins over the environment's `env`, and that over the service. A variable
        that `services.<name>` moves from env to secrets, or back, leaves the other.
        """
        settings = self.environment(environment)
        if name not in self.services:
            raise self._unknown("service", name, self.services)
        service, own = self.services[name], settings.services.get(name, Difference())
        changes = {field: getattr(own, field) for field in own.model_fields_set}
        account = changes.get("service_account", service.service_account)
        changes["service_account"] = account_email(account, settings.project) if account else settings.service_account
        changes["invokers"] = in_full(changes.get("invokers", service.invokers), settings.project)
        health = {field: getattr(own.health, field) for field in own.health.model_fields_set}
        changes["health"] = service.health.model_copy(update=health | {"prober": settings.prober or ""})
        for field in BY_NAME:
            if field in changes:
                changes[field] = _given(getattr(service, field) | changes[field])
        env, secrets = _given(own.env), _given(own.secrets)
        changes["env"] = _without(service.env | settings.env, own.env.keys() | secrets) | env
        changes["secrets"] = _without(service.secrets, own.secrets.keys() | env) | secrets
        return service.model_copy(update=changes)

    def job_in(self, environment: str, name: str) -> JobSettings:
        """The job as it runs in an environment, by the rules of `service_in`."""
        settings = self.environment(environment)
        if name not in self.jobs:
            raise self._unknown("job", name, self.jobs)
        return _within(settings, self.jobs[name], settings.jobs.get(name, JobRuntime()))

    def pool_in(self, environment: str, name: str) -> PoolSettings:
        """The worker pool as it runs in an environment, by the same rules."""
        settings = self.environment(environment)
        if name not in self.worker_pools:
            raise self._unknown("worker pool", name, self.worker_pools)
        return _within(settings, self.worker_pools[name], settings.worker_pools.get(name, PoolRuntime()))

    @property
    def beside(self) -> tuple[JobSettings | PoolSettings, ...]:
        """What is deployed with the services."""
        return (*self.jobs.values(), *self.worker_pools.values())

    def image_of(self, part: Beside) -> str:
        """Whose image a job or a pool runs: a service's, or its own, by its own name."""
        if part.has_image:
            return part.name
        return part.service or next(iter(self.services))

    def renamed(self, environment: str, name: str) -> str:
        """What slipway.yaml calls the service in Cloud Run; '' for `<app>-<service>`."""
        given = self.service_in(environment, name).run_name
        return given if given and given != f"{self.app}-{name}" else ""

    def order(self, services: Iterable[str] | None = None) -> tuple[tuple[str, ...], ...]:
        """The services (by default all) in waves; none depends, even over others, on one of its own or a later wave."""
        wanted = set(self.services if services is None else services)
        for name in sorted(wanted - self.services.keys()):
            raise self._unknown("service", name, self.services)
        waves = dependency_waves({name: service.needs for name, service in self.services.items()})
        chosen = (tuple(name for name in wave if name in wanted) for wave in waves)
        return tuple(wave for wave in chosen if wave)

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> ManifestError:
        return ManifestError(
            f"the app {self.app} has no {what} {name!r}{hint(name, known)}",
            f"choose one of: {', '.join(known)}; or add it to {MANIFEST_NAME}.",
            Cause.NOT_FOUND,
        )


def _within(environment: Environment, part: P, own: Workload) -> P:
    changes = {field: getattr(own, field) for field in own.model_fields_set}
    account = part.service_account
    changes["service_account"] = account_email(account, environment.project) if account else environment.service_account
    for field in ("labels", "annotations", "volumes"):
        if field in changes:
            changes[field] = getattr(part, field) | changes[field]
    changes["env"] = _without(part.env | environment.env, own.secrets) | own.env
    changes["secrets"] = _without(part.secrets, own.env) | own.secrets
    return part.model_copy(update=changes)


def _given(entries: Mapping[str, V | None]) -> dict[str, V]:
    return {name: value for name, value in entries.items() if value is not None}


def _without(variables: dict[str, V], names: Collection[str]) -> dict[str, V]:
    return {name: value for name, value in variables.items() if name not in names}
