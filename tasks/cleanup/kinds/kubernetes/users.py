"""Who needs what in a cluster: the live manifests, pods and templates, and every text that may mean something."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tasks.cleanup.kinds.adapter import Claim, Consumer, Found, Look, Reference
from tasks.cleanup.kinds.estate import believable
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.config_maps import ConfigMaps
from tasks.cleanup.kinds.kubernetes.ingresses import Ingresses
from tasks.cleanup.kinds.kubernetes.kind import WORDS, ClusterKind, item_name, permissions, referred
from tasks.cleanup.kinds.kubernetes.namespaces import ClusterNamespaces
from tasks.cleanup.kinds.kubernetes.references import images_of, mentioned, structural, told
from tasks.cleanup.kinds.kubernetes.secrets import ClusterSecrets
from tasks.cleanup.kinds.kubernetes.services import ClusterServices
from tasks.cleanup.kinds.kubernetes.things import Thing
from tasks.cleanup.kinds.kubernetes.view import all_clusters
from tasks.cleanup.kinds.kubernetes.volume_claims import VolumeClaims
from tasks.cleanup.kinds.kubernetes.workloads import Workloads
from tasks.cleanup.kinds.load_balancers import CERTIFICATE, LOAD_BALANCER_PART
from tasks.cleanup.kinds.template_uses import NAMED
from tasks.failures.roles import Need
from tasks.model import Request

# Workloads before what they need, namespaces last.
CLUSTER_KINDS: tuple[ClusterKind, ...] = (
    Workloads(), Ingresses(), ClusterServices(), ConfigMaps(), ClusterSecrets(), VolumeClaims(), ClusterNamespaces(),
)  # fmt: skip

BEYOND = (
    *NAMED,
    LOAD_BALANCER_PART,
    CERTIFICATE,
)  # kinds outside of clusters of which a text in one may name something


class Clusters(Consumer):
    live = True
    needs = (
        Need("container.clusters.get", "roles/container.viewer", "find the API server of a Kubernetes cluster"),
        *permissions("pods", read=True),
        *permissions("thirdPartyObjects", read=True),
        *permissions("serviceAccounts", read=True),
    )

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        """A cluster is judged for itself: of one that cannot be seen whole nothing goes, and all else does."""
        return ()

    async def list(self, look: Look) -> Found:
        found = await look.once(all_clusters)
        claims = tuple(claim for each in found for claim in claims_of(each))
        listings = (listing for each in found for listing in (*each.listings, each.definitions) if listing)
        return Found(claims=claims, listings=tuple(kept for each in listings for kept in believable(each)))


def claims_of(cluster: Cluster) -> Iterator[Claim]:
    """What keeps things that are named by nothing which goes before them."""
    everything = [*cluster.things, *(each for kind in CLUSTER_KINDS for each in kind.of(cluster))]
    if cluster.doubt:
        by = f"nobody can tell whom: {cluster.doubt}"
        yield Claim(by, tuple(referred(everything, cluster)), any_of=(IMAGE, *BEYOND) if cluster.unseen else ())
    elif not cluster.live:
        by = f"nobody knows whom: no release is live in {cluster.request.environment}"
        yield Claim(by, tuple(referred(everything, cluster)))
    defined = [each for each in everything if cluster.is_defined(each)]
    yield Claim(f"{cluster.settings.manifests} at {cluster.live}, which is live", tuple(referred(defined, cluster)))
    for thing in cluster.things:
        yield from _of_one(thing, cluster)
        if shared := cluster.granted(thing):
            yield Claim(f"whoever {thing.identity} lets name it", tuple(referred(shared, cluster)))
    for kind in CLUSTER_KINDS:
        for thing in kind.of(cluster):
            if by := kind.used_by(thing, cluster):
                yield Claim(by, (Reference(kind.kind, item_name(thing, cluster)),))


def _of_one(thing: Thing, cluster: Cluster) -> Iterator[Claim]:
    """What it names. What is itself something to clean up needs what its fields name as parts, and goes before that."""
    names = set(mentioned(thing, cluster.named))
    if (thing.resource.group, thing.resource.kind) not in WORDS:
        names |= set(structural(thing))
    things = [each for name in sorted(names) for each in cluster.meant(name) if each.uid != thing.uid]
    images = tuple(Reference(IMAGE, image) for image in images_of(thing))
    beyond = tuple(Reference(kind, text) for text in dict.fromkeys(told(thing)) for kind in BEYOND)
    if needed := (*dict.fromkeys(referred(things, cluster)), *images, *beyond):
        where = f" in {thing.namespace}" if thing.namespace else ""
        yield Claim(f"{thing.identity}{where}", needed)
