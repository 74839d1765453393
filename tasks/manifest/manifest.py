"""slipway.yaml: what an app consists of and where it goes.

`python -m tasks.manifest.manifest > slipway.schema.json` writes the JSON Schema that editors complete and check it
with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationInfo, field_validator

from tasks.failures.errors import Cause, ManifestError
from tasks.manifest.document import Flaw, read_yaml
from tasks.manifest.document import Path as FilePath
from tasks.manifest.flaws import validated
from tasks.manifest.rules import broken_rules, dependency_waves, hint
from tasks.manifest.settings import APP_NAME, OWN_NAME, Drift, Environment, Retention, Runtime, Service, Strict
from tasks.manifest.values import EditorSchema, Name

__all__ = ["MANIFEST_NAME", "Environment", "Manifest", "Service", "json_schema", "load_manifest", "parse_manifest"]

V = TypeVar("V")

MANIFEST_NAME = "slipway.yaml"

_EXAMPLE = """\
app: shop
services:
  web: {source: .}
environments:
  staging: {project: my-project, regions: [europe-west1]}"""


class Manifest(Strict):
    """An app, its services and its environments. Made by `load_manifest`, which also checks what types cannot."""

    app: Name = Field(description="First part of the name of everything that is made.")
    services: dict[Name, Service] = Field(min_length=1, description="What the app consists of.")
    environments: dict[Name, Environment] = Field(min_length=1, description="Where it is released to.")
    retention: Retention = Field(default_factory=Retention, description="What clean-up keeps.")
    drift: Drift = Field(default_factory=Drift, description="How deployed and described configuration are compared.")

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

    def service_in(self, environment: str, name: str) -> Service:
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


def load_manifest(path: Path) -> Manifest:
    """Read slipway.yaml, or the one in a folder; ManifestError that lists everything wrong with it."""
    path = path / MANIFEST_NAME if path.is_dir() else path
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ManifestError(f"{path.name}:{line}: not UTF-8.", "save the file with the encoding UTF-8.") from None
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read: {error.strerror}.",
            f"describe the app there, for instance:\n{_EXAMPLE}",
            Cause.NOT_FOUND,
        ) from None
    return parse_manifest(text, path.name)


def parse_manifest(text: str, name: str = MANIFEST_NAME) -> Manifest:
    """The manifest in a YAML text; ManifestError that lists everything wrong with it, as `name:line: key: problem`."""
    document = read_yaml(text, name)
    if document is None or document.data in ({}, None):
        raise ManifestError(f"{name} is empty.", f"describe the app, for instance:\n{_EXAMPLE}")
    manifest, flaws = validated(Manifest, document.data)
    broken = broken_rules(manifest) if manifest else ()
    placed = [*document.repeated, *((document.line(flaw.path), flaw) for flaw in (*flaws, *broken))]
    if manifest is None or placed:
        raise _refusal(name, placed)
    return manifest


def json_schema() -> dict[str, Any]:
    """The JSON Schema of slipway.yaml, for editors and for the reference of its keys."""
    schema = Manifest.model_json_schema(schema_generator=EditorSchema)
    return {"$schema": EditorSchema.schema_dialect, **schema, "title": MANIFEST_NAME}


def _refusal(name: str, placed: Iterable[tuple[int, Flaw]]) -> ManifestError:
    lines = sorted({(line, f"{name}:{line}: {_key(flaw.path)}{flaw.text}") for line, flaw in placed})
    count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
    return ManifestError(
        "\n  ".join([f"{name} has {count}:", *(text for _, text in lines)]),
        "correct these lines; an editor that knows slipway.schema.json completes and checks every key.",
    )


def _key(path: FilePath) -> str:
    """`services.api.depends_on[0]: `; nothing for the whole file."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return f"{''.join(steps).removeprefix('.')}: " if path else ""


def _without(variables: dict[str, V], names: Collection[str]) -> dict[str, V]:
    return {name: value for name, value in variables.items() if name not in names}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(json_schema(), indent=2) + "\n")
