"""Who else uses service accounts: Scheduler, Pub/Sub, Eventarc, machines, clusters, builds and other clouds.

None of them is listed here. What they have in common: the account needs a role somewhere, or somebody holds its key or
may act as it, and Google knows when it was last used to authenticate.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from datetime import timedelta

from infra.gcp import project as projects
from infra.gcp.iam import accounts, activity
from infra.gcp.run import access
from infra.gcp.storage import buckets
from tasks.cleanup.engine.model import Listing
from tasks.cleanup.kinds.adapter import Claim, Consumer, Found, Look, Reference
from tasks.cleanup.kinds.cloud_run import all_services
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.failures.roles import Need
from tasks.model import Request
from tasks.names import resources

QUIET = timedelta(days=90)  # Google remembers about so long who authenticated
PREFIX = "serviceAccount:"


class AccountUses(Consumer):
    """Asked only where accounts may be taken away."""

    needs = (
        Need("resourcemanager.projects.getIamPolicy", "roles/iam.securityReviewer", "see which accounts have a role"),
        Need("iam.serviceAccountKeys.list", "roles/iam.securityReviewer", "see which accounts have a key"),
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
    """Accounts to which the project, a service or a bucket in it gives any role."""

    async def members() -> Sequence[str]:
        there = [each.name for each in (await look.once(all_services)).everything]
        own = [name for name in there if resources.parts(name)["projects"] == project]
        found = await asyncio.gather(
            projects.policy_members(project),
            *(access.policy_members(name) for name in own),
            *(buckets.policy_members(bucket.name) for bucket in await buckets.list_buckets(project)),
        )
        return sorted(set().union(*found))

    found, listing = await look.listed(f"IAM policies of {project}", members)
    return _claims(f"an IAM policy in {project}", emails(found)), listing


async def _authenticated(project: str, look: Look) -> tuple[Sequence[Claim], Listing]:
    """Accounts that were used of late, as far as Google tells."""
    since = look.clock() - QUIET

    async def lately() -> Sequence[str]:
        found = await activity.last_authentications(project)
        return [email for email, when in found.items() if when >= since]

    found, listing = await look.listed(f"authentications in {project}", lately)
    return _claims(f"somebody who authenticated as it within {QUIET.days} days", found), listing


async def _held(name: str, look: Look) -> tuple[Sequence[Claim], Listing]:
    """Whether somebody holds a key of the account or may act as it."""

    async def holders() -> Sequence[str]:
        keys, others = await asyncio.gather(accounts.has_keys(name), accounts.may_act_as(name))
        return (*(("who holds its key",) if keys else ()), *sorted(others))

    found, listing = await look.listed(f"keys and users of {name}", holders)
    return [Claim(who, (Reference(SERVICE_ACCOUNT, resources.last(name)),)) for who in found[:1]], listing


def emails(members: Iterable[str]) -> Sequence[str]:
    """Of the service accounts among the members of policies; a deleted one is no user."""
    return [member.removeprefix(PREFIX) for member in members if member.startswith(PREFIX)]


def _claims(by: str, found: Iterable[str]) -> Sequence[Claim]:
    return [Claim(by, (Reference(SERVICE_ACCOUNT, email),)) for email in found]
