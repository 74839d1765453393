"""ConfigMaps of the app that the live manifests do not define, and that nothing names."""

from __future__ import annotations

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import ClusterKind, permissions, words
from tasks.cleanup.kinds.kubernetes.ownership import parent_of
from tasks.cleanup.kinds.kubernetes.things import Thing

CONFIG_MAP = Kind("config map")


class ConfigMaps(ClusterKind):
    kind = CONFIG_MAP
    resources = words(CONFIG_MAP, ("", "ConfigMap"))
    needs = permissions("configMaps")

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        return used_as_parent(thing, cluster)


def used_as_parent(thing: Thing, cluster: Cluster) -> str:
    """Without its parent nobody knows any more what an ApplySet has made."""
    settings = cluster.settings
    if settings.applyset is None or thing.namespace != settings.namespaces[0]:
        return ""
    return "the ApplySet, whose parent it is" if (thing.resource.kind, thing.name) == parent_of(settings) else ""
