"""One look at an app's part of each cluster: what the app's namespaces have, and what is meant to be there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from infra.gcp.calls.attempts import current_caller
from infra.gcp.calls.errors import GoogleError
from infra.gcp.kubernetes.access import Access, context_of, of_cluster, of_kubeconfig
from infra.gcp.kubernetes.api import Api, Resource
from tasks.cleanup.engine.model import Listing
from tasks.cleanup.kinds.adapter import Look
from tasks.cleanup.kinds.kubernetes import reach
from tasks.cleanup.kinds.kubernetes.cluster import Cluster, called, full_name, together, with_clusters
from tasks.cleanup.kinds.kubernetes.definitions import definitions
from tasks.cleanup.kinds.kubernetes.ownership import by_manager, hold_on, is_ours, manager_of, normal
from tasks.cleanup.kinds.kubernetes.references import (
    BUILT_IN,
    MAKE_PODS,
    POLICY_BINDINGS,
)
from tasks.cleanup.kinds.kubernetes.things import Identity, Thing, in_words, thing_of
from tasks.failures.errors import SlipwayError
from tasks.history.record import ReleaseRecord, State
from tasks.history.store import read_history
from tasks.manifest.kubernetes import Kubernetes, is_protected
from tasks.model import Request

SCALER = "HorizontalPodAutoscaler"
# Read whole: what makes pods or leads to them, and what says who uses what.
WHOLE = MAKE_PODS | {"ServiceAccount", "Service", "Ingress", "PersistentVolumeClaim", "Role", "ConfigMap"} | {SCALER}
WHOLE_OUTSIDE = frozenset(
    {"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "APIService", "CustomResourceDefinition"}
    | {"PersistentVolume", "StorageClass", "ClusterRole", *POLICY_BINDINGS}
)
UNREAD = frozenset({"Event", "Endpoints", "EndpointSlice"})  # which say nothing that others do not
NAMESPACE = ("", "Namespace")


async def all_clusters(look: Look) -> tuple[Cluster, ...]:
    """One for each environment that has one. What failed, a listing says; of what cannot be seen any more later in a
    run it is known what it had before.
    """
    found = together(await asyncio.gather(*(_cluster(look, *each) for each in with_clusters(look.requests))))
    if look.earlier is None:
        for each in found:
            _tell(each, look)
        return found
    before = await look.earlier.once(all_clusters)
    return tuple(
        replace(then, listings=now.listings, definitions=now.definitions, shared=now.shared) if now.doubt else now
        for then, now in zip(before, found, strict=True)
    )


async def _cluster(look: Look, request: Request, settings: Kubernetes) -> Cluster:
    where = called(request, settings)
    access, listing = await look.listed(_resources(where), _access, request, settings)
    if not access:
        return Cluster(request, settings, listings=(listing,))
    reach.remember(access[0], request.settings.bucket, request.app)
    async with Api(access[0]) as api:
        resources, listing = await look.listed(_resources(where), api.resources)
        empty = Cluster(request, settings, access[0].id, listings=(listing,), server=access[0].server)
        if listing.error:
            return empty
        return await _looked(look, empty, api, resources)


async def _looked(look: Look, empty: Cluster, api: Api, resources: Sequence[Resource]) -> Cluster:
    request, settings = empty.request, empty.settings
    where = called(request, settings)
    of_namespaces = next(each for each in resources if (each.group, each.kind) == NAMESPACE)
    namespaces, listing = await look.listed(_namespaces(where), _whole, api, of_namespaces)
    watched = _watched(look, request, settings, namespaces)
    there = {each.name for each in namespaces}
    answers = await asyncio.gather(
        look.listed(_outside_of(where), _outside, api, resources),
        *(
            look.listed(_inside(name, where), _within, api, resources, name, floor=int(name in there))
            for name in watched
        ),
    )
    defined, live, of_definitions = await _defined(look, request, settings)
    return _checked(
        empty,
        things=tuple(each for found, _ in answers for each in found),
        namespaces=tuple(namespaces),
        watched=watched,
        defined=frozenset(defined),
        live=live,
        listings=(*empty.listings, listing, *(each for _, each in answers)),
        definitions=of_definitions,
    )


def _checked(empty: Cluster, **found: Any) -> Cluster:
    """Where nothing that is defined is there, names or places are not what they are taken for."""
    cluster = replace(empty, **found)
    first, *others = cluster.listings
    if cluster.doubt or not cluster.defined or any(map(cluster.is_defined, (*cluster.things, *cluster.namespaces))):
        return cluster
    text = f"none of the {len(cluster.defined)} objects that {cluster.settings.manifests} defines is in the cluster"
    return replace(cluster, listings=(replace(first, complete=False, error=text), *others))


def _watched(look: Look, request: Request, settings: Kubernetes, there: Sequence[Thing]) -> tuple[str, ...]:
    """Those that slipway.yaml names, and those that carry the app's labels and are no other environment's."""
    here = called(request, settings)
    others = {
        name
        for other, of_it in with_clusters(look.requests)
        if other.environment != request.environment and called(other, of_it) == here
        for name in of_it.namespaces
    }
    labelled = (each for each in there if is_ours(each.labels, settings) and not manager_of(each, settings))
    ours = (each.name for each in labelled if each.name not in others and not is_protected(each.name))
    alike = [
        other.environment
        for other, of_it in with_clusters(look.requests)
        if called(other, of_it) == here and (of_it.selector, of_it.applyset) == (settings.selector, settings.applyset)
    ]
    first = alike[:1] == [request.environment]  # of several that would take them the first does
    return tuple(dict.fromkeys((*settings.namespaces, *(ours if first else ()))))


async def _access(request: Request, settings: Kubernetes) -> Sequence[Access]:
    if settings.kubeconfig is not None:
        access = await of_kubeconfig(settings.kubeconfig, settings.context or "")
    else:
        access = await of_cluster(full_name(request, settings), dns=settings.dns_endpoint)
    context_of(access)  # what it says of certificates can be used
    return (access,)


async def _all_of(api: Api, resource: Resource, namespace: str = "", *, metadata: bool = True) -> list[Thing]:
    return [thing_of(resource, each) for each in await api.every(resource, namespace, metadata=metadata)]


async def _whole(api: Api, resource: Resource) -> list[Thing]:
    return await _all_of(api, resource, metadata=False)


async def _outside(api: Api, resources: Sequence[Resource]) -> Sequence[Thing]:
    """Cluster-scoped objects that may name something in a namespace: webhooks, volumes, all custom resources."""
    asked = [
        each for each in resources if not each.namespaced and (each.kind in WHOLE_OUTSIDE or each.group not in BUILT_IN)
    ]
    return _distinct(await asyncio.gather(*(_whole(api, each) for each in asked)))


async def _within(api: Api, resources: Sequence[Resource], namespace: str) -> Sequence[Thing]:
    """Of every kind there is: one that cannot be listed may be the one that uses the others."""
    asked = [each for each in resources if each.namespaced and each.kind not in UNREAD]
    return _distinct(await asyncio.gather(*(_all_of(api, each, namespace, metadata=_bare(each)) for each in asked)))


def _bare(resource: Resource) -> bool:
    return resource.group in BUILT_IN and resource.kind not in WHOLE


def _distinct(found: Iterable[Sequence[Thing]]) -> Sequence[Thing]:
    """An Ingress may be told of in two groups, with one uid."""
    in_order = sorted((each for some in found for each in some), key=lambda each: each.resource.group == "extensions")
    return tuple({each.uid: each for each in reversed(in_order)}.values())


async def _defined(look: Look, request: Request, settings: Kubernetes) -> tuple[Sequence[Identity], str, Listing]:
    """What the manifests of the live release define, its version, and how reading them went."""
    source, read = _definitions(request), look.clock()
    try:
        record = await _live(look, request)
        if record is None:
            return (), "", Listing(source, read, 0)
        found = await definitions(request.folder, record.commit, settings.manifests)
    except (GoogleError, SlipwayError, ValueError) as error:
        return (), "", Listing(source, read, 0, complete=False, error=str(error))
    floor = max(1, ceil(look.memory.counts.get(source, 0) / 2))
    named = f"{source} ({settings.manifests} at {record.version})"
    return found, record.version, replace(Listing(source, read, len(found), floor=floor), error=_none(found, named))


def _none(found: Sequence[Identity], named: str) -> str:
    return "" if found else f"{named} define nothing"


async def _live(look: Look, request: Request) -> ReleaseRecord | None:
    """The newest release that serves: during a run another one may become that."""
    history: Sequence[ReleaseRecord] = look.histories[request.environment].records
    if look.earlier is not None:
        history = await read_history(request.settings.bucket, request.app, request.environment)
    return next((each for each in history if each.state is State.RELEASED), None)


def _tell(cluster: Cluster, look: Look) -> None:
    """What carries the app's labels and is another tool's, and what is of another version than the live one."""
    notice, where = current_caller().notice, called(cluster.request, cluster.settings)
    if cluster.doubt:
        beyond = ", nor what that uses elsewhere" if cluster.unseen else ""
        note = f"{cluster.doubt} Nothing in {where} is judged{beyond}."
        look.notes += [note] if note not in look.notes else []
    for manager, things in by_manager(cluster.things, cluster.settings).items():
        notice(f"{manager} manages {in_words(things)} in {where}: left alone.")
    for each in (*cluster.things, *cluster.namespaces):
        if each.deleting and is_ours(each.labels, cluster.settings):
            notice(f"{each.identity} in {where}: {hold_on(each)}.")
    label = cluster.settings.version_label
    drifted = [
        each
        for each in cluster.things
        if cluster.is_defined(each) and label in each.labels and normal(each.labels[label]) != normal(cluster.live)
    ]
    if drifted:
        notice(f"{in_words(drifted)} in {where} should be of {cluster.live} and are not: drift, nothing to clean up.")


def _resources(where: str) -> str:
    return f"Kubernetes resources of {where}"


def _namespaces(where: str) -> str:
    return f"Kubernetes namespaces of {where}"


def _outside_of(where: str) -> str:
    return f"Kubernetes objects outside namespaces of {where}"


def _inside(namespace: str, where: str) -> str:
    return f"Kubernetes objects in {namespace} of {where}"


def _definitions(request: Request) -> str:
    return f"Kubernetes definitions of {request.environment}"
