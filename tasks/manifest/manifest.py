"""slipway.yaml as one value: what an app consists of and where it goes."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TypeVar

from pydantic import Field, ValidationInfo, field_validator

from tasks.failures.errors import Cause, ManifestError
from tasks.failures.hints import hint
from tasks.manifest.order import dependency_waves
from tasks.manifest.settings import (
    APP_NAME,
    OWN_NAME,
    DriftSettings,
    Environment,
    Retention,
    Runtime,
    ServiceSettings,
    Strict,
)
from tasks.manifest.values import Name

V = TypeVar("V")

MANIFEST_NAME = "slipway.yaml"


class Manifest(Strict):
    """An app, its services and its environments. Made by `load_manifest`, which also checks what types cannot."""

    app: Name = Field(description="First part of the name of everything that is made.")
    services: dict[Name, ServiceSettings] = Field(min_length=1, description="What the app consists of.")
    environments: dict[Name, Environment] = Field(min_length=1, description="Where it is released to.")
    retention: Retention = Field(default_factory=Retention, description="What clean-up keeps.")
    drift: DriftSettings = Field(
        default_factory=DriftSettings, description="How deployed and described configuration are compared."
    )

    @field_validator("services", "environments", mode="before")
    @classmethod
    def _tell_names(cls, value: object, info: ValidationInfo) -> object:
        """Services and environments know what they are called; one with nothing to say may be left empty."""
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

    def service_in(self, environment: str, name: str) -> ServiceSettings:
        """The service as it runs in an environment; ManifestError when either does not exist.

        The environment's `services.<name>` wins over the environment's `env`, and that over the service. A variable
        that `services.<name>` moves from env to secrets, or back, leaves the other.
        """
        settings = self.environment(environment)
        if name not in self.services:
            raise self._unknown("service", name, self.services)
        service, own = self.services[name], settings.services.get(name, Runtime())
        changes = {field: getattr(own, field) for field in own.model_fields_set}
        changes["service_account"] = service.service_account or settings.service_account
        changes["env"] = _without(service.env | settings.env, own.secrets) | own.env
        changes["secrets"] = _without(service.secrets, own.env) | own.secrets
        return service.model_copy(update=changes)

    def order(self, services: Iterable[str] | None = None) -> tuple[tuple[str, ...], ...]:
        """The services (by default all) in waves; none depends, even over others, on one of its own or a later wave."""
        wanted = set(self.services if services is None else services)
        for name in sorted(wanted - self.services.keys()):
            raise self._unknown("service", name, self.services)
        waves = dependency_waves({name: service.depends_on for name, service in self.services.items()})
        chosen = (tuple(name for name in wave if name in wanted) for wave in waves)
        return tuple(wave for wave in chosen if wave)

    def _unknown(self, what: str, name: str, known: Iterable[str]) -> ManifestError:
        return ManifestError(
            f"the app {self.app} has no {what} {name!r}{hint(name, known)}",
            f"choose one of: {', '.join(known)}; or add it to {MANIFEST_NAME}.",
            Cause.NOT_FOUND,
        )


def _without(variables: dict[str, V], names: Collection[str]) -> dict[str, V]:
    return {name: value for name, value in variables.items() if name not in names}
