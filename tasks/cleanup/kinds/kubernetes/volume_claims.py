"""Volume claims: only where slipway.yaml asks for it, and where the data outlives the claim."""

from __future__ import annotations

from tasks.cleanup.engine.model import Kind
from tasks.cleanup.kinds.kubernetes.cluster import Cluster
from tasks.cleanup.kinds.kubernetes.kind import ClusterKind, permissions, words
from tasks.cleanup.kinds.kubernetes.references import SNAPSHOTS
from tasks.cleanup.kinds.kubernetes.things import Thing

VOLUME_CLAIM = Kind("volume claim")


class VolumeClaims(ClusterKind):
    kind = VOLUME_CLAIM
    resources = words(VOLUME_CLAIM, ("", "PersistentVolumeClaim"))
    needs = (*permissions("persistentVolumeClaims"), *permissions("persistentVolumes", read=True))

    def kept_by(self, thing: Thing, cluster: Cluster) -> str:
        """https://kubernetes.io/docs/concepts/storage/persistent-volumes/#reclaiming: Delete takes the disk along."""
        if cluster.settings.volumes != "delete":
            return "volume claims are only reported: kubernetes.volumes does not say delete"
        if _is_retained(thing, cluster) or _has_snapshot(thing, cluster):
            return ""
        return "its data would go with it: its volume is not retained, and it has no snapshot that is ready"


def _is_retained(thing: Thing, cluster: Cluster) -> bool:
    volume = (thing.body.get("spec") or {}).get("volumeName", "")
    return any(
        each.body.get("spec", {}).get("persistentVolumeReclaimPolicy") == "Retain"
        for each in cluster.things
        if volume and (each.resource.kind, each.name) == ("PersistentVolume", volume)
    )


def _has_snapshot(thing: Thing, cluster: Cluster) -> bool:
    """https://kubernetes.io/docs/concepts/storage/volume-snapshots/"""
    for each in cluster.within(thing.namespace):
        if (each.resource.group, each.resource.kind) != (SNAPSHOTS, "VolumeSnapshot"):
            continue
        source = (each.body.get("spec") or {}).get("source") or {}
        ready = (each.body.get("status") or {}).get("readyToUse") is True
        if ready and not each.deleting and source.get("persistentVolumeClaimName") == thing.name:
            return True
    return False
