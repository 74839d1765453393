"""Ingresses that no manifest defines, and that lead to no pods."""

from __future__ import annotations

from collections.abc import Iterable

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import ClusterKind, permissions, words
from tasks.cleanup.kinds.kubernetes.references import SERVICE, Name, backends, structural
from tasks.cleanup.kinds.kubernetes.services import answering
from tasks.cleanup.kinds.kubernetes.things import Thing

INGRESS = Kind("ingress resource")


class Ingresses(ClusterKind):
    kind = INGRESS
    resources = words(INGRESS, ("networking.k8s.io", "Ingress"), ("extensions", "Ingress"))
    needs = permissions("ingresses")

    def parts(self, thing: Thing, cluster: Cluster) -> Iterable[Name]:
        return structural(thing)

    def used_by(self, thing: Thing, cluster: Cluster) -> str:
        for name in structural(thing):
            if name.kind == SERVICE and any(answering(each, cluster) for each in cluster.meant(name)):
                return f"whoever calls it: Service {name.name}, to which it leads, has pods"
        # https://kubernetes.io/docs/concepts/services-networking/ingress/#resource-backend: a bucket, for one
        elsewhere = any(each.get("resource") for each in backends(thing.body.get("spec") or {}))
        return "whoever calls it: it leads to more than Services" if elsewhere else ""
