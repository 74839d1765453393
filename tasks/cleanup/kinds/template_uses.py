"""What else the templates of Cloud Run name than images, accounts and mounted buckets: secrets, databases, and words.

A program may read a secret, write into a bucket or reach a database by a name that it is given as a variable or an
argument; whatever is called so is in use. All templates count: of services, revisions, jobs, executions, worker pools
and instances, in every region, and those of jobs that a rollback would write again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

from infra.gcp.run.templates import LATEST, Template
from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.adapter import Claim, Consumer, Found, Look, Reference
from tasks.cleanup.kinds.buckets import BUCKET
from tasks.cleanup.kinds.cloud_run import (
    all_executions,
    all_instances,
    all_jobs,
    all_revisions,
    all_services,
    all_worker_pools,
    in_words,
)
from tasks.cleanup.kinds.releases import protected_releases
from tasks.cleanup.kinds.secret_versions import SECRET_VERSION
from tasks.cleanup.kinds.secrets import SECRET
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.cleanup.kinds.sql_instances import SQL_INSTANCE
from tasks.model import Request
from tasks.names import resources

SECRETS = (SECRET, SECRET_VERSION)
NAMED: tuple[Kind, ...] = (*SECRETS, SQL_INSTANCE, BUCKET, SERVICE_ACCOUNT)  # kinds that a word may name


class TemplateUses(Consumer):
    live = True

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        """Those that list what has templates require that."""
        return ()

    async def list(self, look: Look) -> Found:
        there = [each async for each in templates(look)]
        claims = (Claim(in_words(name), found) for name, template in there if (found := tuple(_needs(name, template))))
        words = {word: name for name, template in there for word in template.words}
        said = (
            Claim(f"{in_words(name)}, which is told its name", tuple(Reference(kind, word) for kind in NAMED))
            for word, name in words.items()
        )
        return Found(claims=(*claims, *said))


class RecordedUses(Consumer):
    """Going back writes a job's recorded template again; a service's and a pool's revisions are there."""

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return ()

    async def list(self, look: Look) -> Found:
        claims = (
            Claim(
                f"release {record.version} in {record.environment}: a rollback may go back to it",
                tuple(_recorded(job.name, (job.template, job.before))),
            )
            for request in look.requests
            for record in protected_releases(
                look.histories[request.environment].records, request.manifest.retention.keep
            )
            for job in record.jobs
        )
        return Found(claims=tuple(each for each in claims if each.needs))


async def templates(look: Look) -> AsyncIterator[tuple[str, Template]]:
    """Full name and template of everything that has one."""
    for service in (await look.once(all_services)).everything:
        yield service.name, service.template
    for revision in (await look.once(all_revisions)).everything:
        yield revision.full_name, revision.template
    for pool in (await look.once(all_worker_pools)).everything:
        yield pool.name, pool.needs
        for each in pool.revisions:
            yield each.full_name, each.template
    for ask in (all_jobs, all_executions, all_instances):
        for workload in (await look.once(ask)).everything:
            yield workload.name, workload.template


def _needs(name: str, template: Template) -> Iterator[Reference]:
    project = resources.parts(name)["projects"]
    for secret, version in template.secrets:
        yield from _secret(project, secret, version)
    yield from (Reference(SQL_INSTANCE, each) for each in template.databases)


def _secret(project: str, secret: str, version: str) -> Iterator[Reference]:
    place = secret if secret.startswith("projects/") else f"projects/{project}/secrets/{secret}"
    yield from (Reference(kind, f"{place}/versions/{version}") for kind in SECRETS)


def _recorded(name: str, body: Any) -> Iterator[Reference]:
    """Of a template as JSON: whatever in it has a `secret`, with the versions beside it or in its items."""
    if isinstance(body, list | tuple):
        for each in body:
            yield from _recorded(name, each)
    elif isinstance(body, dict):
        if isinstance(secret := body.get("secret"), str):
            versions = [each.get("version", LATEST) for each in body.get("items", ())] or [body.get("version", LATEST)]
            for version in versions:
                yield from _secret(resources.parts(name)["projects"], secret, version)
        for each in body.values():
            yield from _recorded(name, each)
