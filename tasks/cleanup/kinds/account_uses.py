"""Who else uses service accounts: Scheduler, Pub/Sub, Eventarc, machines, clusters, builds and other clouds.

None of them is listed here. What they have in common: the account needs a role somewhere, or somebody holds its key or
may act as it, and Google knows when it was last used to authenticate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from datetime import timedelta

from infra.gcp import project as projects
from infra.gcp import secrets
from infra.gcp.artifacts import repositories
from infra.gcp.calls.errors import GoogleError
from infra.gcp.iam import accounts, activity, bindings
from infra.gcp.run import access
from infra.gcp.storage import buckets
from tasks.cleanup.engine.model import Listing
from tasks.cleanup.kinds.adapter import AT_ONCE, Claim, Consumer, Found, Look, Reference
from tasks.cleanup.kinds.cloud_run import all_services
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT, emails
from tasks.failures.roles import Need
from tasks.model import Request
from tasks.names import resources

QUIET = timedelta(days=90)  # Google remembers about so long who authenticated
UNTOLD = ("NOT_FOUND", "PERMISSION_DENIED", "UNIMPLEMENTED")  # the API is off, or not for us


class AccountUses(Consumer):
    """Asked only where accounts may be taken away."""

    needs = (
        Need("resourcemanager.projects.getIamPolicy", "roles/iam.securityReviewer", "see which accounts have a role"),
        Need("iam.serviceAccountKeys.list", "roles/iam.securityReviewer", "see which accounts have a key"),
        Need("secretmanager.secrets.getIamPolicy", "roles/iam.securityReviewer", "see which accounts read secrets"),
        Need(
            "artifactregistry.repositories.getIamPolicy",
            "roles/iam.securityReviewer",
            "see which accounts use repositories",
        ),
        Need(
            "policyanalyzer.serviceAccountLastAuthenticationActivities.query",
            "roles/policyanalyzer.activityAnalysisViewer",
            "see which accounts anybody has authenticated as",
        ),
    )

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return ()

    async def list(self, look: Look) -> Found:
        """What speaks for each account being used. What cannot be asked is said in the listings: then nothing goes."""
        if look.requests[0].manifest.retention.foreign_of(SERVICE_ACCOUNT) != "delete":
            return Found()
        return Found.merged(await asyncio.gather(*(self._in(project, look) for project in look.projects)))

    async def _in(self, project: str, look: Look) -> Found:
        there, listing = await look.listed(f"service accounts of {project}", accounts.list_accounts, project)
        answers = await asyncio.gather(
            _granted(project, look), _authenticated(project, look), *(_held(each.name, look) for each in there)
        )
        claims = tuple(claim for some, _ in answers for claim in some)
        return Found(claims=claims, listings=(listing, *(each for _, each in answers)))


async def _granted(project: str, look: Look) -> tuple[Sequence[Claim], Listing]:
    """Accounts to which the project gives any role, or anything in it whose policy we may read."""
    there = [each.name for each in (await look.once(all_services)).everything]
    own = [name for name in there if resources.parts(name)["projects"] == project]
    found, listing = await look.listed(f"IAM policies of {project}", policy_members, project, own)
    return _claims(f"an IAM policy in {project}", emails(found)), listing


async def policy_members(project: str, services: Sequence[str]) -> Sequence[str]:
    """Everybody whom policies name: of the project, and of services, buckets, secrets, repositories and topics in it.

    services: the full names of the project's. What else there is, Cloud Asset knows, where that may be asked.
    """
    names, secret_names, repository_names = await asyncio.gather(
        buckets.list_buckets(project), secrets.list_secrets(project), repositories.list_repositories(project)
    )
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(asked: Awaitable[Iterable[str]]) -> Iterable[str]:
        async with gate:
            return await asked

    async def secret_members(name: str) -> Iterable[str]:
        return [member for members in (await secrets.policy(project, name)).values() for member in members]

    found = await asyncio.gather(
        projects.policy_members(project),
        bindings.searched_members(project),
        bindings.messaging_members(project),
        *(one(access.policy_members(name)) for name in services),
        *(one(buckets.policy_members(bucket.name)) for bucket in names),
        *(one(secret_members(name)) for name in secret_names),
        *(one(repositories.policy_members(name)) for name in repository_names),
    )
    return sorted(set().union(*found))


async def _authenticated(project: str, look: Look) -> tuple[Sequence[Claim], Listing]:
    """Accounts that were used of late. Where Google does not tell, any may be: of a machine, with roles elsewhere."""
    since, unseen = look.clock() - QUIET, ""

    async def lately() -> Sequence[str]:
        nonlocal unseen
        try:
            found = await activity.last_authentications(project)
        except GoogleError as error:
            if error.status not in UNTOLD:
                raise
            unseen = f"it cannot be told who authenticated as it of late ({activity.API} of {project}: {error.status})"
            return ()
        return [email for email, when in found.items() if when >= since]

    found, listing = await look.listed(f"authentications in {project}", lately)
    if unseen:
        return [Claim(unseen, (), any_of=(SERVICE_ACCOUNT,))], listing
    return _claims(f"somebody who authenticated as it within {QUIET.days} days", found), listing


async def _held(name: str, look: Look) -> tuple[Sequence[Claim], Listing]:
    """Whether somebody holds a key of the account or may act as it."""

    async def holders() -> Sequence[str]:
        keys, others = await asyncio.gather(accounts.has_keys(name), accounts.may_act_as(name))
        return (*(("who holds its key",) if keys else ()), *sorted(others))

    found, listing = await look.listed(f"keys and users of {name}", holders)
    return [Claim(who, (Reference(SERVICE_ACCOUNT, resources.last(name)),)) for who in found[:1]], listing


def _claims(by: str, found: Iterable[str]) -> Sequence[Claim]:
    return [Claim(by, (Reference(SERVICE_ACCOUNT, email),)) for email in found]
