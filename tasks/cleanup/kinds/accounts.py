"""The service accounts of an app's projects as items of clean-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from infra.gcp.iam import accounts
from infra.gcp.iam.accounts import ServiceAccount
from tasks.cleanup.engine.model import Item, Kind, Use
from tasks.cleanup.found import Found, Memory, listed
from tasks.model import Request


def required_accounts(requests: Sequence[Request]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_source(request.project) for request in requests))


async def find_accounts(project: str, requests: Sequence[Request], memory: Memory, me: str, now: datetime) -> Found:
    """Accounts carry no labels, so one that slipway.yaml does not name is foreign, whoever made it.

    me: whom this clean-up runs as.
    """
    source = _source(project)
    found, listing = await listed(source, accounts.list_accounts(project), memory.floor(source))
    items = tuple(account_item(each, memory, now) for each in found)
    names = {each.email: each.name for each in found}
    named = {
        account
        for request in requests
        for name in request.manifest.services
        if (account := request.service(name).service_account)
    }
    uses = [Use("slipway.yaml", tuple(names[email] for email in sorted(named & names.keys())), live=False)]
    if me in names:
        uses.append(Use("this clean-up, which runs as it", (names[me],), live=False))
    return Found(items, tuple(uses), (listing,))


def account_item(found: ServiceAccount, memory: Memory, now: datetime) -> Item:
    """No API tells when an account was made or disabled: what counts is when clean-up first saw it so."""
    return Item(
        Kind.SERVICE_ACCOUNT,
        found.name,
        "",
        owner=None,
        uploaded=memory.seen.get(found.name, now),
        etag=found.etag,
        prepared=memory.disabled.get(found.name, now) if found.disabled else None,
    )


async def account_again(before: Item) -> Item | None:
    found = await accounts.get_account(before.name)
    if found is None:
        return None
    kept = before.prepared if found.disabled else None
    return replace(before, etag=found.etag, prepared=kept)


def remembered(items: Sequence[Item], memory: Memory) -> Memory:
    """The memory with the accounts that are there now; those that are gone are forgotten."""
    of_kind = [item for item in items if item.kind is Kind.SERVICE_ACCOUNT]
    seen = {item.name: item.uploaded for item in of_kind if item.uploaded}
    disabled = {item.name: item.prepared for item in of_kind if item.prepared}
    return replace(memory, seen=seen, disabled=disabled)


def _source(project: str) -> str:
    return f"service accounts of {project}"
