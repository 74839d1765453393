"""The rules of slipway.yaml about jobs and worker pools that concern more than one of its values. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tasks.failures.errors import ManifestError
from tasks.failures.spelling import hint
from tasks.manifest.cloud_run import workload_flaws
from tasks.manifest.document import Flaw, Path
from tasks.manifest.environment import Environment
from tasks.manifest.manifest import Manifest
from tasks.manifest.settings import JobSettings, PoolSettings
from tasks.manifest.shipping import JobHook
from tasks.names.naming import job_name, pool_name

Part = JobSettings | PoolSettings


@dataclass(frozen=True, slots=True)
class Sort:
    """Jobs, or worker pools."""

    key: str  # in slipway.yaml
    word: str
    called: Callable[[str, str, str | None], str]  # in Cloud Run
    within: Callable[[Manifest, str, str], Any]  # as it is in an environment


SORTS = (
    Sort("jobs", "job", job_name, Manifest.job_in),
    Sort("worker_pools", "worker pool", pool_name, Manifest.pool_in),
)


def beside_flaws(manifest: Manifest) -> Iterator[Flaw]:
    """What is wrong with them wherever they run."""
    with_image: dict[str, str] = dict.fromkeys(manifest.services, "service")
    for sort in SORTS:
        for name, part in getattr(manifest, sort.key).items():
            path = (sort.key, name)
            yield from _image(manifest, path, part, sort.word)
            yield from _settings(path, part)
            if part.has_image:
                if name in with_image:
                    other = f"the image of {with_image[name]} '{name}' has this name already"
                    yield Flaw(path, f"{other}; name the {sort.word} otherwise")
                with_image.setdefault(name, sort.word)
            try:
                sort.called(manifest.app, name, part.run_name)
            except ManifestError as error:
                yield Flaw(path, f"{error.problem.rstrip('.')}: {error.remedy.rstrip('.')}")


def environment_flaws(manifest: Manifest, path: Path, environment: Environment) -> Iterator[Flaw]:
    """What an environment makes wrong with them, and with the hooks that name jobs."""
    for sort in SORTS:
        known_parts, own = getattr(manifest, sort.key), getattr(environment, sort.key)
        for name in own:
            if name not in known_parts:
                yield Flaw((*path, sort.key, name), f"there is no {sort.word} '{name}'{hint(name, known_parts)}")
        for name, part in known_parts.items():
            known = {flaw.text for flaw in _settings((), part)}
            place = (*path, sort.key, name) if name in own else path
            here = sort.within(manifest, environment.name, name)
            yield from (flaw for flaw in _settings(place, here) if flaw.text not in known)
            yield from _by_region(place, f"{sort.key}.{name}", here, environment)
    for when in ("before", "after"):
        for index, hook in enumerate(getattr(environment, when)):
            if isinstance(hook, JobHook) and hook.job.name in manifest.jobs and hook.job.region:
                text = f"jobs.{hook.job.name} says where it is"
                yield Flaw((*path, when, index, "job", "region"), text)


def _image(manifest: Manifest, path: Path, part: Part, word: str) -> Iterator[Flaw]:
    ways = [key for key in ("source", "image", "service") if getattr(part, key) is not None]
    for key in ways[1:]:
        yield Flaw((*path, key), f"must not be there with {'a source' if ways[0] == 'source' else 'an image'}: "
                   "it runs one image")  # fmt: skip
    if part.source is not None:
        return
    for key in ("dockerfile", "build"):
        if key in part.model_fields_set:
            yield Flaw((*path, key), f"is for a {word} with a source of its own")
    if not ways and not manifest.services:
        yield Flaw(path, "must have a source or an image: there is no service whose image it could run")
    if not ways and len(manifest.services) > 1:
        known = ", ".join(manifest.services)
        yield Flaw(path, f"must say whose image it runs with service, or have a source or an image: {known}")
    if part.service is not None and part.service not in manifest.services:
        text = f"there is no service '{part.service}'{hint(part.service, manifest.services)}"
        yield Flaw((*path, "service"), text)


def _settings(path: Path, part: Part) -> Iterator[Flaw]:
    yield from workload_flaws(path, part)
    for name in part.env.keys() & part.secrets.keys():
        yield Flaw((*path, "secrets", name), f"{name} is in env too; a variable has one source")


def _by_region(path: Path, named: str, part: Part, environment: Environment) -> Iterator[Flaw]:
    region = part.region or environment.regions[0]
    for key in ("connector", "subnet"):
        given = getattr(part.vpc, key, None)
        if isinstance(given, Mapping) and region not in given:
            yield Flaw(path, f"{named}.vpc.{key} names none for {region}, where it is")
