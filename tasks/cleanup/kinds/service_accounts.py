"""Service accounts of an app's projects: disabled first, as enabling one undoes that; deleted when nobody cried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from infra.gcp.iam import accounts, identity
from tasks.cleanup.engine.model import DAY_S, Action, Item, Kind, Traits
from tasks.cleanup.kinds.adapter import Claim, Found, Keys, Look, Reference, ResourceKind
from tasks.cleanup.memory import Memory
from tasks.failures.roles import Need
from tasks.manifest.settings import account_email
from tasks.model import Request
from tasks.names import resources

SERVICE_ACCOUNT = Kind("service account")
DISABLE = Action("disable")  # what breaks shows who used it
MEMBER = "serviceAccount:"


class ServiceAccounts(ResourceKind):
    kind = SERVICE_ACCOUNT
    # "wait at least 24 hours": https://cloud.google.com/iam/docs/reference/rest/v1/projects.serviceAccounts/delete
    traits = Traits(standing=True, first=DISABLE, settle_s=DAY_S)
    dated_by_us = True
    needs = (
        Need(
            "iam.serviceAccounts.list",
            "roles/iam.serviceAccountViewer",
            "find accounts that slipway.yaml does not know",
        ),
        Need("iam.serviceAccounts.disable", "roles/iam.serviceAccountAdmin", "retention.foreign is delete"),
        Need("iam.serviceAccounts.delete", "roles/iam.serviceAccountAdmin", "retention.foreign is delete"),
    )

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return (_source(project) for project in dict.fromkeys(request.project for request in requests))

    async def list(self, look: Look) -> Found:
        """Accounts carry no labels, so one that slipway.yaml does not name is foreign, whoever made it."""
        found = Found.merged(await asyncio.gather(*(self._in(project, look) for project in look.projects)))
        named = {account for request in look.requests for account in named_by(request) if account}
        me = await identity.whoami()
        claims = (
            Claim("slipway.yaml", tuple(Reference(SERVICE_ACCOUNT, email) for email in sorted(named))),
            Claim("this clean-up, which runs as it", (Reference(SERVICE_ACCOUNT, me),)),
        )
        return replace(found, claims=claims)

    async def _in(self, project: str, look: Look) -> Found:
        found, listing = await look.listed(_source(project), accounts.list_accounts, project)
        return Found(tuple(account_item(each, look.memory, listing.read) for each in found), listings=(listing,))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """By e-mail. Google's own default accounts are not listed."""
        listed = {resources.last(item.name): item.key for item in items}
        return lambda email: (listed[email],) if email in listed else ()

    async def again(self, before: Item) -> Item | None:
        found = await accounts.get_account(before.name)
        if found is None:
            return None
        return replace(before, etag=found.etag, prepared=before.prepared if found.disabled else None)

    async def first(self, item: Item) -> bool:
        return await accounts.disable_account(item.name)

    async def delete(self, item: Item) -> bool:
        return await accounts.delete_account(item.name)

    def undo_first(self, item: Item) -> str:
        project, email = item.name.split("/")[1], resources.last(item.name)
        return f"gcloud iam service-accounts enable {email} --project={project}"


def emails(members: Iterable[str]) -> Sequence[str]:
    """Of the service accounts among the members of policies; a deleted one is no user."""
    return [member.removeprefix(MEMBER) for member in members if member.startswith(MEMBER)]


def named_by(request: Request) -> Iterable[str]:
    """By e-mail, whatever slipway.yaml needs them for: to run, build or ask as, and to let in."""
    settings = request.settings
    yield from (settings.service_account or "", settings.build_service_account or "", settings.prober or "")
    yield from (part.service_account or "" for part in request.parts)
    for name in request.manifest.services:
        yield from emails(request.service(name).invokers)
    made = settings.provision
    yield from (account_email(each, request.project) for each in (made.accounts if made else ()))
    if made and made.gateway and made.gateway.service_account:
        yield account_email(made.gateway.service_account, request.project)


def account_item(found: accounts.ServiceAccount, memory: Memory, now: datetime) -> Item:
    """No API tells when an account was made, or who has disabled it: what counts is what clean-up saw, and did."""
    return Item(
        SERVICE_ACCOUNT,
        found.name,
        "",
        owner=None,
        uploaded=memory.seen.get(found.name, now),
        etag=found.etag,
        prepared=memory.taken.get(found.name) if found.disabled else None,
    )


def _source(project: str) -> str:
    return f"service accounts of {project}"
