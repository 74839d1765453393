"""The text of the first slipway.yaml. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import yaml

from tasks.describe.proposal import Found, Proposal, name_of

PROJECT = "my-project"
REGION = "europe-west1"
_PUBLIC = "public: true, if everybody may call it; without it only those whom you let invoke it"
_HEALTH = "health: {path: /health}, if GET / does not answer 200 or 204 without a sign-in"
LONGEST_JOB = 20  # characters, beside the app's name
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*")
_WORDS = {"true", "false", "null"}  # in any case: text only in quotes


def write_manifest(proposal: Proposal, app: str, project: str | None = None, region: str | None = None) -> str:
    """YAML with a comment for each thing that a person must decide."""
    return "".join(f"{line}\n" for line in _lines(proposal, app, project, region))


def _lines(proposal: Proposal, app: str, project: str | None, region: str | None) -> Iterator[str]:
    yield "# Written by `slipway init`. Go through the lines that say DECIDE, then: slipway check"
    yield f"app: {_scalar(app)}"
    services = [each for each in proposal.services if each.works is None]
    if services:
        yield "services:"
        yield f"  # DECIDE for each: {_PUBLIC}"
        if not all(each.health for each in services):
            yield f"  # DECIDE for each: {_HEALTH}"
    for service in services:
        yield from _service(service)
    yield from (_comment(note) for note in proposal.notes)
    jobs = dict(_jobs(proposal))
    if jobs:
        yield "jobs:"
    for name, (built, command) in jobs.items():
        yield f"  {name}:"
        yield f"    service: {_scalar(built)}"
        yield f"    command: [{_scalar(command)}]"
        yield "    max_retries: 0"
    yield from _pools(proposal)
    yield "environments:"
    yield "  staging:  # takes any commit; one called production takes only those with a release tag, like v1.0.0"
    unsure = "" if project else "  # DECIDE: the id of your Google Cloud project"
    yield f"    project: {_scalar(project or PROJECT)}{unsure}"
    unsure = "" if region else "  # DECIDE: where it runs: https://cloud.google.com/run/docs/locations"
    yield f"    regions: [{_scalar(region or REGION)}]{unsure}"
    if jobs:
        yield "    before:  # traffic moves"
    yield from (f"      - {{name: {name}, job: {{name: {name}}}}}" for name in jobs)


def _jobs(proposal: Proposal) -> Iterator[tuple[str, tuple[str, str]]]:
    """The name of a job for each migration, with the service whose image it runs and its entry point there."""
    several = sum(bool(each.migrations) for each in proposal.services) > 1
    for service in proposal.services:
        for command in service.migrations:
            name = name_of(f"{service.name}-{command}" if several else command, LONGEST_JOB, "migrate")
            yield name, (service.name, command)


def _pools(proposal: Proposal) -> Iterator[str]:
    """What nobody asks anything; one that is built as a service is runs the service's image."""
    pools = [each for each in proposal.services if each.works is not None]
    if pools:
        yield "worker_pools:"
    images = {_build(each): each.name for each in reversed(proposal.services) if each.works is None}
    for pool in pools:
        yield f"  {pool.name}:"
        same = images.get(_build(pool))
        yield from [f"    service: {_scalar(same)}"] if same else _built(pool)
        if pool.works:
            yield f"    args: [{', '.join(map(_scalar, pool.works))}]"
        yield from _settings(pool)


def _build(found: Found) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    return found.source, found.dockerfile or "", tuple(sorted(found.args.items()))


def _service(service: Found) -> Iterator[str]:
    yield f"  {service.name}:"
    yield from _built(service)
    if service.port not in (None, 8080):
        yield f"    port: {service.port}"
    if service.health:
        yield f"    health: {{path: {_scalar(service.health)}}}"
    if service.depends_on:
        yield f"    depends_on: [{', '.join(map(_scalar, service.depends_on))}]"
    if service.urls:
        yield from _mapping("urls", service.urls, "    ")
    yield from _settings(service)


def _built(found: Found) -> Iterator[str]:
    yield f"    source: {_scalar(found.source)}"
    if found.dockerfile not in (None, "Dockerfile"):
        yield f"    dockerfile: {_scalar(found.dockerfile or '')}"
    if found.args:
        yield "    build:"
        yield from _mapping("args", found.args, "      ")


def _settings(found: Found) -> Iterator[str]:
    if found.env:
        yield from _mapping("env", found.env, "    ")
    yield from (_comment(f"DECIDE {sentence}", "    ") for sentence in found.decide)


def _mapping(name: str, values: Mapping[str, str], indent: str) -> Iterator[str]:
    yield f"{indent}{name}:"
    yield from (f"{indent}  {key}: {_scalar(value)}" for key, value in values.items())


def _scalar(text: str) -> str:
    """As text: in quotes unless nobody could take it for anything else."""
    if text == "." or (_PLAIN.fullmatch(text) and text.lower() not in _WORDS):
        return text
    return yaml.safe_dump(text, default_style='"', width=10**9).strip()


def _comment(text: str, indent: str = "  ") -> str:
    return f"{indent}# " + "".join(sign if sign.isprintable() else "?" for sign in " ".join(text.split()))
