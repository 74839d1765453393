"""An app's part of a cluster in one environment, as a look has found it; and what several environments share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property

from tasks.cleanup.engine.model import Listing
from tasks.cleanup.kinds.kubernetes.ownership import is_ours, manager_of
from tasks.cleanup.kinds.kubernetes.references import Name, grants, is_grant, mentioned, structural
from tasks.cleanup.kinds.kubernetes.things import Identity, Thing
from tasks.manifest.kubernetes import Kubernetes
from tasks.model import Request


@dataclass(frozen=True)
class Cluster:
    """The app's part of a cluster in one environment."""

    request: Request
    settings: Kubernetes
    id: str = ""  # '' where it could not be reached
    things: tuple[Thing, ...] = ()  # in the namespaces that are looked after, and outside of all
    namespaces: tuple[Thing, ...] = ()  # all that the cluster has
    watched: tuple[str, ...] = ()  # the namespaces that are looked after
    defined: frozenset[Identity] = frozenset()
    live: str = ""  # the version that is live; '' where none is
    listings: tuple[Listing, ...] = ()
    definitions: Listing | None = None
    server: str = ""
    shared: str = ""  # why another environment, which has a part in the same namespaces, cannot tell

    @property
    def unseen(self) -> str:
        """Why it cannot be told what is in it; '' when it can."""
        return next((each.doubt for each in self.listings if each.doubt), "")

    @property
    def doubt(self) -> str:
        """Why it cannot be told what of it is unused; '' when it can."""
        return self.unseen or (self.definitions.doubt if self.definitions else "") or self.shared

    @cached_property
    def named(self) -> Mapping[str, Set[str]]:
        """By name, the kinds of what has it."""
        found: dict[str, set[str]] = {}
        for each in self.things:
            found.setdefault(each.name, set()).add(each.resource.kind)
        return found

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, str], list[Thing]]:
        found: dict[tuple[str, str], list[Thing]] = {}
        for each in self.things:
            found.setdefault((each.resource.kind, each.name), []).append(each)
        return found

    def meant(self, name: Name) -> list[Thing]:
        found = self._by_name.get((name.kind, name.name), [])
        return [each for each in found if name.namespace in ("", each.namespace)]

    @cached_property
    def named_uids(self) -> Set[str]:
        """Of what something else names, whatever that is, or lets others name."""
        return {
            each.uid
            for thing in self.things
            for each in (
                *(each for name in (*structural(thing), *mentioned(thing, self.named)) for each in self.meant(name)),
                *self.granted(thing),
            )
            if each.uid != thing.uid
        }

    def granted(self, thing: Thing) -> list[Thing]:
        return [each for each in self.within(thing.namespace) if grants(thing, each)] if is_grant(thing) else []

    def is_defined(self, thing: Thing) -> bool:
        """A manifest without a namespace may be for any."""
        here = thing.identity
        return here in self.defined or here._replace(namespace="") in self.defined

    @cached_property
    def _by_namespace(self) -> Mapping[str, list[Thing]]:
        found: dict[str, list[Thing]] = {}
        for each in self.things:
            found.setdefault(each.namespace, []).append(each)
        return found

    def within(self, namespace: str) -> Sequence[Thing]:
        return self._by_namespace.get(namespace, ())

    def stays(self, thing: Thing) -> bool:
        """Whether it is nothing to take away, whoever uses it."""
        return self.is_defined(thing) or self.owner_of(thing, self.request.app) != self.request.app

    def owner_of(self, thing: Thing, app: str) -> str:
        """The app, or who else keeps it."""
        return manager_of(thing, self.settings) or (app if is_ours(thing.labels, self.settings) else "others")


def with_clusters(requests: Iterable[Request]) -> list[tuple[Request, Kubernetes]]:
    return [(each, each.settings.kubernetes) for each in requests if each.settings.kubernetes is not None]


def called(request: Request, settings: Kubernetes) -> str:
    """The cluster, in words."""
    if settings.cluster is None:
        return f"{settings.context or 'the cluster'} of {settings.kubeconfig}"
    return full_name(request, settings)


def full_name(request: Request, settings: Kubernetes) -> str:
    cluster = settings.cluster or ""
    location = settings.location or request.build_region
    return cluster if "/" in cluster else f"projects/{request.project}/locations/{location}/clusters/{cluster}"


def together(found: Sequence[Cluster]) -> tuple[Cluster, ...]:
    """Where several environments have a part in one namespace, what one of them cannot tell, none can."""
    reasons = ([_shared(each, other) for other in found if other is not each] for each in found)
    return tuple(replace(each, shared=next(filter(None, some), "")) for each, some in zip(found, reasons, strict=True))


def _shared(one: Cluster, other: Cluster) -> str:
    names = called(one.request, one.settings), called(other.request, other.settings)
    if one.id and other.id and one.id != other.id:
        if one.server and one.server == other.server:
            return f"{' and '.join(sorted(names))} are one cluster: slipway.yaml has to name it in one way."
        return ""
    by_files = one.settings.cluster is None and other.settings.cluster is None  # which may lead to the same one
    same = names[0] == names[1] or (one.id and one.id == other.id) or by_files
    return other.doubt if same and set(one.settings.namespaces) & set(other.settings.namespaces) else ""
