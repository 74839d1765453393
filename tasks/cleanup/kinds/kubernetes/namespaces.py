"""Namespaces that carry the app's labels, that no manifest and no slipway.yaml names, and in which nothing is left."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.cleanup.engine.model import DAY_S, Kind, Traits
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import ANNOTATE, ClusterKind, permissions, words
from tasks.cleanup.kinds.kubernetes.ownership import is_ours
from tasks.cleanup.kinds.kubernetes.things import Thing, in_words
from tasks.manifest.kubernetes import is_protected

CLUSTER_NAMESPACE = Kind("cluster namespace")


class ClusterNamespaces(ClusterKind):
    kind = CLUSTER_NAMESPACE
    traits = Traits(standing=True, first=ANNOTATE, settle_s=DAY_S)
    resources = words(CLUSTER_NAMESPACE, ("", "Namespace"))
    needs = permissions("namespaces")

    def of(self, cluster: Cluster) -> Iterable[Thing]:
        """Those alone that are looked after: in any other nobody has looked for what is left."""
        return (each for each in cluster.namespaces if each.name in cluster.watched)

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        return "slipway.yaml, which names it" if thing.name in cluster.settings.namespaces else ""

    def kept_by(self, thing: Thing, cluster: Cluster) -> str:
        """A delete takes everything in it along, whatever it is: https://kubernetes.io/docs/tasks/administer-cluster/namespaces/"""
        if is_protected(thing.name) or not is_ours(thing.labels, cluster.settings):
            return "it is not the app's"
        left = [each for each in cluster.within(thing.name) if not comes_with_it(each)]
        return f"it is not empty: {in_words(left)}" if left else ""


def comes_with_it(thing: Thing) -> bool:
    """What the cluster itself puts into every namespace."""
    match thing.resource.kind:
        case "ConfigMap":
            return thing.name == "kube-root-ca.crt"
        case "ServiceAccount":
            return thing.name == "default"
        case "Secret":
            own = "kubernetes.io/service-account.name" in thing.annotations
            return own and thing.name.startswith("default-token-")
    return False
