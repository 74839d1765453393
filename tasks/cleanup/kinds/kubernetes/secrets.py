"""Secrets of the app in a cluster that the live manifests do not define, and that nothing names. Metadata alone."""

from __future__ import annotations

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.config_maps import used_as_parent
from tasks.cleanup.kinds.kubernetes.kind import ClusterKind, permissions, words
from tasks.cleanup.kinds.kubernetes.things import Thing

CLUSTER_SECRET = Kind("cluster secret")


class ClusterSecrets(ClusterKind):
    kind = CLUSTER_SECRET
    resources = words(CLUSTER_SECRET, ("", "Secret"))
    needs = permissions("secrets")

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        return used_as_parent(thing, cluster)
