"""The rules of slipway.yaml that concern more than one of its values. Pure: a manifest in, its flaws out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from graphlib import CycleError

from tasks.failures.errors import ManifestError
from tasks.failures.spelling import hint
from tasks.manifest.beside_rules import beside_flaws, environment_flaws
from tasks.manifest.cloud_run import cloud_run_flaws
from tasks.manifest.document import Flaw, Path
from tasks.manifest.environment import Environment
from tasks.manifest.manifest import Manifest
from tasks.manifest.order import dependency_waves
from tasks.manifest.provision_rules import provision_flaws
from tasks.manifest.settings import ServiceSettings
from tasks.manifest.shipping import FreezeDates
from tasks.manifest.values import TAG
from tasks.names.naming import TAGGED_NAME_LIMIT, service_name

BUILT_HERE = frozenset({"source", "dockerfile", "build"})  # keys


def broken_rules(manifest: Manifest) -> Iterator[Flaw]:
    """Every broken rule, with the place of the value that breaks it."""
    if not (manifest.services or manifest.beside):
        yield Flaw(("services",), "must name one at least, where there are neither jobs nor worker_pools")
    yield from _dependencies(manifest.services)
    for name, service in manifest.services.items():
        yield from _service(manifest.app, ("services", name), service)
    yield from beside_flaws(manifest)
    for name, environment in manifest.environments.items():
        yield from _environment(manifest, ("environments", name), environment)
        yield from environment_flaws(manifest, ("environments", name), environment)
    yield from provision_flaws(manifest)
    yield from _one_name_each(manifest)
    yield from _one_namespace_each(manifest)


def _one_name_each(manifest: Manifest) -> Iterator[Flaw]:
    """No two services, of whichever environments, are the same one of Cloud Run: they would take turns in it."""
    taken: dict[tuple[str, str, str], str] = {}
    for environment in manifest.environments.values():
        for name in manifest.services:
            said = manifest.renamed(environment.name, name) or f"{manifest.app}-{name}"
            here = f"{name} in {environment.name}"
            others = [taken.setdefault((environment.project, region, said), here) for region in environment.regions]
            other = next((each for each in others if each != here), "")
            if other:
                text = f"{said} in project {environment.project} is {other} already; give one of them a name of its own"
                yield Flaw((*environment.says(name, "run_name")[:-1], "name"), text)


def _one_namespace_each(manifest: Manifest) -> Iterator[Flaw]:
    """What one environment has left over in a cluster may be what another one defines."""
    taken: dict[tuple[str | None, ...], str] = {}
    for environment in manifest.environments.values():
        part = environment.kubernetes
        for index, namespace in enumerate(part.namespaces if part else ()):
            assert part is not None
            place = part.kubeconfig or f"{environment.project} {part.location or environment.regions[0]}"
            other = taken.setdefault((part.cluster, part.context, place, namespace), environment.name)
            if other != environment.name:
                text = f"namespace {namespace} of this cluster is {other}'s already"
                yield Flaw(("environments", environment.name, "kubernetes", "namespaces", index), text)


def _dependencies(services: Mapping[str, ServiceSettings]) -> Iterator[Flaw]:
    for name, service in services.items():
        for place, needed in _needed(service):
            if needed not in services:
                text = f"there is no service '{needed}'{hint(needed, services)}"
                yield Flaw(("services", name, *place), text)
    try:
        list(dependency_waves({name: service.needs for name, service in services.items()}))
    except CycleError as error:
        cycle = list(reversed(error.args[1]))  # graphlib names each service after what it depends on
        key = "depends_on" if services[cycle[0]].depends_on else "urls"
        yield Flaw(("services", cycle[0], key), f"depends on itself: {' -> '.join(cycle)}")


def _needed(service: ServiceSettings) -> Iterator[tuple[Path, str]]:
    """What it needs, by where it says so."""
    yield from ((("depends_on", index), needed) for index, needed in enumerate(service.depends_on))
    yield from ((("urls", variable), needed) for variable, needed in service.urls.items())


def _service(app: str, path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    yield from _settings(path, service)
    if not service.run_name:
        yield from _fits(app, path, service.name)
    for key in sorted(BUILT_HERE & service.model_fields_set) if service.image else ():
        yield Flaw((*path, key), "is about an image that is built here, but image names one that is built elsewhere")


def _asked(environment: Environment, service: ServiceSettings) -> Iterator[Flaw]:
    """How it is asked whether it is healthy there. `service`: as it is in the environment."""
    health, allowed_s, place = service.health, environment.timeouts.prove_s, environment.says(service.name, "health")
    if health.backoff_min_s > health.backoff_max_s:
        yield Flaw((*place, "backoff_min"), "must not be longer than backoff_max")
    if health.longest_s > allowed_s:
        text = (
            f"{health.tries} tries of {health.timeout_s:g} s and the waits between them may take "
            f"{health.longest_s:g} s, but environments.{environment.name}.timeouts.prove allows {allowed_s:g} s"
        )
        yield Flaw(place, text)
    asked_itself = health.url is not None and TAG not in health.url
    if (length := len(service.run_name or "")) >= TAGGED_NAME_LIMIT and not asked_itself:
        text = (
            f"has {length} characters and leaves no room for a tag in the {TAGGED_NAME_LIMIT} that both have in a "
            "URL, so no revision can be asked before it has traffic: shorten it, or say in health.url, without "
            f"{TAG}, where the service is asked"
        )
        yield Flaw((*environment.says(service.name, "run_name")[:-1], "name"), text)
    if environment.steps and health.url and TAG not in health.url:
        text = f"needs {TAG} in it: in {environment.name} a canary's steps are proven revision by revision"
        yield Flaw((*place, "url"), text)


def _fits(app: str, path: Path, name: str) -> Iterator[Flaw]:
    try:
        service_name(app, name)
    except ManifestError as error:
        yield Flaw(path, f"{error.problem.rstrip('.')}: {error.remedy.rstrip('.')}")


def _environment(manifest: Manifest, path: Path, environment: Environment) -> Iterator[Flaw]:
    yield from _regions(path, environment)
    timeouts = environment.timeouts
    if environment.approval != "none" and environment.approval_timeout_s > timeouts.total_s:
        text = "must not be longer than timeouts.total, or the run ends before anybody has decided"
        yield Flaw((*path, "approval_timeout"), text)
    for index, freeze in enumerate(environment.freeze):
        if isinstance(freeze, FreezeDates) and freeze.start >= freeze.end:
            yield Flaw((*path, "freeze", index), "must end after it begins")
    for name in environment.services:
        if name not in manifest.services:
            text = f"there is no service '{name}'{hint(name, manifest.services)}"
            yield Flaw((*path, "services", name), text)
    yield from _by_region(manifest, path, environment)
    yield from _pools(manifest, path, environment)
    for name in manifest.services:
        yield from _service_there(manifest, path, environment, name)


def _service_there(manifest: Manifest, path: Path, environment: Environment, name: str) -> Iterator[Flaw]:
    """What is wrong with a service as it is in an environment, and not everywhere."""
    service, there = manifest.services[name], manifest.service_in(environment.name, name)
    known = {flaw.text for flaw in _settings((), service)}
    place = (*path, "services", name) if name in environment.services else path
    yield from (flaw for flaw in _settings(place, there) if flaw.text not in known)
    yield from _asked(environment, there)
    for says, needed in _needed(service):
        if needed in manifest.services and not manifest.service_in(environment.name, needed).default_url:
            text = f"'{needed}' has no URL to tell it in {environment.name}: its default_url is false"
            yield Flaw(("services", name, *says), text)


def _by_region(manifest: Manifest, path: Path, environment: Environment) -> Iterator[Flaw]:
    """Connectors and subnets are of one region: https://cloud.google.com/run/docs/configuring/vpc-direct-vpc."""
    for name in manifest.services:
        vpc = manifest.service_in(environment.name, name).vpc
        for key in ("connector", "subnet"):
            given = getattr(vpc, key, None)
            for region in environment.regions:
                if isinstance(given, Mapping) and region not in given:
                    text = f"services.{name}.vpc.{key} names none for {region}, where this environment is"
                    yield Flaw((*path, "regions"), text)


def _pools(manifest: Manifest, path: Path, environment: Environment) -> Iterator[Flaw]:
    """A private pool builds what is asked for in its own region."""
    for name, service in manifest.services.items():
        _, _, where = (service.build.worker_pool or "").rpartition("/locations/")
        region = where.partition("/")[0]
        if "/" in where and region != environment.regions[0]:
            text = f"services.{name}.build.worker_pool is in {region}, but builds are made in {environment.regions[0]}"
            yield Flaw((*path, "regions"), f"{text}, the first region")


def _regions(path: Path, environment: Environment) -> Iterator[Flaw]:
    regions = environment.regions
    for index, region in enumerate(regions):
        if region in regions[:index]:
            yield Flaw((*path, "regions", index), f"{region} is there twice")
    waved = [region for wave in environment.waves for region in wave]
    if sorted(waved) != sorted(regions) and len(set(regions)) == len(regions):
        yield Flaw((*path, "waves"), f"must have each region once: {', '.join(regions)}")


def _settings(path: Path, service: ServiceSettings) -> Iterator[Flaw]:
    yield from cloud_run_flaws(path, service)
    if service.min_instances > service.max_instances:
        text = f"{service.min_instances} is more than max_instances, which is {service.max_instances}"
        yield Flaw((*path, "min_instances"), text)
    for name in service.env.keys() & service.secrets.keys():
        yield Flaw((*path, "secrets", name), f"{name} is in env too; a variable has one source")
    for variable, needed in service.upstreams.items():
        asks = "urls" if variable in service.urls else "depends_on"
        for group in ("env", "secrets"):
            if variable in getattr(service, group):
                yield Flaw((*path, group, variable), f"{variable} is set to the URL of '{needed}', as {asks} asks")
