"""The rules of slipway.yaml that concern more than one of its values. Pure: a manifest in, its flaws out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError

from tasks.failures.errors import ManifestError
from tasks.failures.hints import hint
from tasks.manifest.document import Flaw, Path
from tasks.manifest.manifest import Manifest
from tasks.manifest.order import dependency_waves
from tasks.manifest.settings import Environment, FreezeDates, ServiceSettings
from tasks.names.naming import service_name, url_variable


def broken_rules(manifest: Manifest) -> Iterator[Flaw]:
    """Every broken rule, with the place of the value that breaks it."""
    yield from _dependencies(manifest.services)
    for name, service in manifest.services.items():
        yield from _service(manifest.app, ("services", name), service)
    for name, environment in manifest.environments.items():
        yield from _environment(manifest, ("environments", name), environment)


def _dependencies(services: Mapping[str, ServiceSettings]) -> Iterator[Flaw]:
    for name, service in services.items():
        for index, needed in enumerate(service.depends_on):
            if needed not in services:
                text = f"there is no service '{needed}'{hint(needed, services)}"
                yield Flaw(("services", name, "depends_on", index), text)
    try:
        list(dependency_waves({name: service.depends_on for name, service in services.items()}))
    except CycleError as error:
        cycle = list(reversed(error.args[1]))  # graphlib names each service after what it depends on
        yield Flaw(("services", cycle[0], "depends_on"), f"depends on itself: {' -> '.join(cycle)}")


def _service(app: str, path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    yield from _settings(path, service)
    try:
        service_name(app, service.name)
    except ManifestError as error:
        yield Flaw(path, f"{error.problem.rstrip('.')}: {error.remedy.rstrip('.')}")
    if service.health.backoff_min_s > service.health.backoff_max_s:
        yield Flaw((*path, "health", "backoff_min"), "must not be longer than backoff_max")


def _environment(manifest: Manifest, path: Path, environment: Environment) -> Iterator[Flaw]:
    yield from _regions(path, environment)
    timeouts = environment.timeouts
    if environment.approval == "required" and environment.approval_timeout_s > timeouts.total_s:
        text = "must not be longer than timeouts.total, or the run ends before anybody has decided"
        yield Flaw((*path, "approval_timeout"), text)
    for index, freeze in enumerate(environment.freeze):
        if isinstance(freeze, FreezeDates) and freeze.start >= freeze.end:
            yield Flaw((*path, "freeze", index), "must end after it begins")
    for name in environment.services:
        if name not in manifest.services:
            text = f"there is no service '{name}'{hint(name, manifest.services)}"
            yield Flaw((*path, "services", name), text)
    for name, service in manifest.services.items():
        known = {flaw.text for flaw in _settings((), service)}
        place = (*path, "services", name) if name in environment.services else path
        here = _settings(place, manifest.service_in(environment.name, name))
        yield from (flaw for flaw in here if flaw.text not in known)


def _regions(path: Path, environment: Environment) -> Iterator[Flaw]:
    regions = environment.regions
    for index, region in enumerate(regions):
        if region in regions[:index]:
            yield Flaw((*path, "regions", index), f"{region} is there twice")
    waved = [region for wave in environment.waves for region in wave]
    if sorted(waved) != sorted(regions) and len(set(regions)) == len(regions):
        yield Flaw((*path, "waves"), f"must have each region once: {', '.join(regions)}")


def _settings(path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    if service.min_instances > service.max_instances:
        text = f"{service.min_instances} is more than max_instances, which is {service.max_instances}"
        yield Flaw((*path, "min_instances"), text)
    for name in service.env.keys() & service.secrets.keys():
        yield Flaw((*path, "secrets", name), f"{name} is in env too; a variable has one source")
    for needed in service.depends_on:
        variable = url_variable(needed)
        for group in ("env", "secrets"):
            if variable in getattr(service, group):
                yield Flaw((*path, group, variable), f"{variable} is set to the URL of '{needed}', as depends_on asks")
