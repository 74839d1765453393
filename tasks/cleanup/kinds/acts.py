"""How each kind of resource is read again and taken away; a new kind is one line in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from infra.gcp.artifacts import images
from infra.gcp.iam import accounts
from infra.gcp.run import workloads
from infra.gcp.storage import buckets, objects
from tasks.cleanup.engine.model import Action, Item, Kind, Outcome, Step
from tasks.cleanup.kinds.accounts import account_again
from tasks.cleanup.kinds.images import image_again
from tasks.cleanup.kinds.run import revision_again, service_again
from tasks.cleanup.kinds.storage import bucket_again, object_again

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Adapter:
    """`again`: the item as it is now, None if it is gone. `delete`, `first`: False if it was gone already."""

    again: Callable[[Item], Awaitable[Item | None]]
    delete: Callable[[Item], Awaitable[bool]]
    first: Callable[[Item], Awaitable[bool]] | None = None


async def act(step: Step) -> Outcome:
    """Takes the step. Raises GoogleError; already gone is a success."""
    adapter = ADAPTERS[step.item.kind]
    doing = adapter.delete if step.action is Action.DELETE else adapter.first
    if doing is None:
        raise ValueError(f"{step.item.kind}: there is no such step as {step.action}")
    return Outcome.DONE if await doing(step.item) else Outcome.ALREADY_GONE


async def again(item: Item) -> Item | None:
    return await ADAPTERS[item.kind].again(item)


async def _delete_image(item: Item) -> bool:
    return await images.delete_image(item.name, TIMEOUT_S)


async def _delete_revision(item: Item) -> bool:
    return await workloads.delete_revision(item.name, item.etag, TIMEOUT_S)


async def _delete_service(item: Item) -> bool:
    return await workloads.delete_service(item.name, item.etag, TIMEOUT_S)


async def _delete_object(item: Item) -> bool:
    bucket, _, name = item.name.removeprefix("gs://").partition("/")
    return await objects.delete_object(bucket, name, int(item.etag))


async def _delete_bucket(item: Item) -> bool:
    return await buckets.delete_bucket(item.name.removeprefix("gs://"), int(item.etag))


async def _turn_on_soft_delete(item: Item) -> bool:
    return await buckets.turn_on_soft_delete(item.name.removeprefix("gs://"))


async def _delete_account(item: Item) -> bool:
    return await accounts.delete_account(item.name)


async def _disable_account(item: Item) -> bool:
    return await accounts.disable_account(item.name)


ADAPTERS: Mapping[Kind, Adapter] = {
    Kind.IMAGE: Adapter(image_again, _delete_image),
    Kind.REVISION: Adapter(revision_again, _delete_revision),
    Kind.SERVICE: Adapter(service_again, _delete_service),
    Kind.SOURCE: Adapter(object_again, _delete_object),
    Kind.LOG: Adapter(object_again, _delete_object),
    Kind.BUCKET: Adapter(bucket_again, _delete_bucket, _turn_on_soft_delete),
    Kind.SERVICE_ACCOUNT: Adapter(account_again, _delete_account, _disable_account),
}
