"""What was followed by another, and is in no state: nobody would ever take it away.

Terraform lets go of a config and of a key once the next is there, but only of those that it knows. One of a lost state,
or of a run that died before it could tell, stays: the API cannot be deleted then, and a key that was to be made anew
goes on opening the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable

from prefect.logging import get_run_logger

from infra.gcp import apigateway, apikeys, secrets
from infra.gcp.apigateway import Config, Gateway
from infra.gcp.apikeys import Key
from infra.gcp.calls.errors import GoogleError
from infra.gcp.secrets import SecretVersion
from tasks.failures.redact import redact
from tasks.names import provisioned
from tasks.orchestration.step import step
from tasks.provision.look import SETTLED_AFTER_S, unless_off, versions_seen
from tasks.provision.wanted import Wanted, short


def earlier_configs(wanted: Wanted, configs: Iterable[Config], gateways: Iterable[Gateway]) -> tuple[Config, ...]:
    """Ours that no gateway serves, and that is not the one that is wanted. Nobody is at work on it."""
    served = {short(each.api_config) for each in gateways}
    return tuple(
        each
        for each in configs
        if each.id not in served | {wanted.config}
        and wanted.labels.items() <= each.labels.items()
        and each.state in ("ACTIVE", "FAILED")
    )


def earlier_keys(wanted: Wanted, keys: Iterable[Key]) -> tuple[Key, ...]:
    """Those of the generations before the one that is wanted, once that one is there."""
    own = _own_keys(wanted, keys)
    return tuple(own[each] for each in sorted(own) if each < wanted.generation) if wanted.generation in own else ()


def _own_keys(wanted: Wanted, keys: Iterable[Key]) -> dict[int, Key]:
    """By generation: those that are there and bear both this environment's names, as a key can have no labels."""
    return {
        generation: each
        for each in keys
        if (generation := provisioned.generation_of(each.id))
        and each.id == provisioned.key_id(wanted.app, wanted.environment, generation)
        and each.display_name == wanted.title
        and each.deleted is None
    }


async def newest_there(wanted: Wanted) -> int:
    """The newest generation of the key that is there; 0 without one. The state and the records may be lost."""
    if not wanted.provision.has_key:
        return 0
    keys = await unless_off(apikeys.list_keys(wanted.project))
    return max(_own_keys(wanted, keys or ()), default=0)


@step("take away what was followed", timeout_s=3 * SETTLED_AFTER_S)
async def take_away_followed(wanted: Wanted) -> None:
    """Once all is there that is wanted. What cannot be taken away now, the next run takes away."""
    try:
        if wanted.provision.gateway is not None:
            await _configs(wanted)
        if wanted.provision.has_key:
            await _keys(wanted)
    except (GoogleError, TimeoutError) as error:
        get_run_logger().warning("what was followed by another stays until the next run: %s", redact(str(error)))


async def _configs(wanted: Wanted) -> None:
    configs = await apigateway.list_configs(wanted.project, wanted.gateway)
    if len(configs) > 1:
        gateways = await apigateway.gateways_of(wanted.project, wanted.gateway)
        for each in earlier_configs(wanted, configs, gateways):
            get_run_logger().warning("API config %s was followed by another, in no state: it is deleted", each.id)
            await apigateway.delete(each.name, SETTLED_AFTER_S)


async def _keys(wanted: Wanted) -> None:
    for key in earlier_keys(wanted, await apikeys.list_keys(wanted.project)):
        get_run_logger().warning("API key %s was followed by another, in no state: it is deleted", key.id)
        for each in await _versions_of(wanted.with_generation(provisioned.generation_of(key.id))):
            await secrets.disable_version(each.name, each.etag)
        await apikeys.delete_key(key.name, key.etag, SETTLED_AFTER_S)


async def _versions_of(wanted: Wanted) -> list[SecretVersion]:
    """Those that hold the key; none where nobody may see. They are good for nothing without it."""
    try:
        return await versions_seen(wanted)
    except GoogleError as error:
        if error.status != "PERMISSION_DENIED":
            raise
        return []
