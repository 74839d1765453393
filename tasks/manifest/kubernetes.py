"""What slipway.yaml says of the part of a Kubernetes cluster that belongs to an app."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from tasks.manifest.values import Matching, OneOrMore, RelativePath, Strict

# Of Kubernetes, Google, and of controllers that keep themselves: nothing in them is ever an app's.
# https://cloud.google.com/kubernetes-engine/docs/concepts/autopilot-security#managed-namespaces
PROTECTED = (
    "default", "kube-*", "gke-*", "gmp-*", "gcp-*", "anthos-*", "asm-*", "istio-system", "knative-*", "argocd",
    "argo-*", "flux-system", "fleet-*", "cattle-*", "config-management-*", "resource-group-system", "cnrm-system",
    "configconnector-*", "cert-manager", "external-secrets", "gatekeeper-system", "olm", "openshift*",
)  # fmt: skip
LABEL = r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"


def is_protected(namespace: str) -> bool:
    """Whether a namespace is one of those in which nothing is an app's."""
    return any(fnmatch.fnmatchcase(namespace, glob) for glob in PROTECTED)


def _an_apps(namespace: str) -> str:
    if is_protected(namespace):
        raise ValueError("is a namespace of the cluster's own, or of a controller's, in which nothing is cleaned up")
    return namespace


Namespace = Annotated[
    str,
    Matching(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", "a namespace: lower-case letters, digits and hyphens"),
    AfterValidator(_an_apps),
]
LabelName = Annotated[str, Matching(LABEL, "the key of a label, like app.kubernetes.io/part-of")]
LabelText = Annotated[
    str, Matching(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", "the value of a label, at most 63 characters")
]


class Kubernetes(Strict):
    """The app's part of a cluster, for clean-up. Nothing is deployed there."""

    cluster: str | None = Field(
        None,
        pattern=r"^([a-z]([a-z0-9-]*[a-z0-9])?|projects/[^/]+/locations/[^/]+/clusters/[^/]+)$",
        description="A GKE cluster of the project by its name, or in full: projects/P/locations/L/clusters/C.",
    )
    location: str | None = Field(
        None,
        pattern=r"^[a-z]+-[a-z]+[0-9]+(-[a-z])?$",
        description="The region or zone of that cluster. Default: the environment's first region.",
    )
    dns_endpoint: bool = Field(False, description="Reach it by its DNS name instead of its address.")
    kubeconfig: str | None = Field(
        None,
        min_length=1,
        description="Instead of a GKE cluster: a kubeconfig on the machine that does the work, for any API server.",
    )
    context: str | None = Field(None, description="Of that file. Default: its current one.")
    namespaces: Annotated[tuple[Namespace, ...], OneOrMore()] = Field(
        min_length=1, description="Where the app's objects are. They are never deleted themselves."
    )
    selector: dict[LabelName, LabelText] = Field({}, description="Labels that all objects of the app carry.")
    applyset: str | None = Field(
        None,
        pattern=r"^((secrets|configmaps)/)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        description="Instead of labels: the parent of kubectl's ApplySet, in the first namespace: a Secret by its "
        "name, or configmaps/NAME.",
    )
    manifests: RelativePath = Field(
        description="Folder or file of plain YAML that defines the objects; read at the commit that is live."
    )
    version_label: LabelName = Field(
        "app.kubernetes.io/version", description="The label that says which version of the app an object is of."
    )
    volumes: Literal["report", "delete"] = Field(
        "report",
        description="What to do with volume claims that nothing mounts. delete: those go whose data stays, in a volume "
        "that is retained or in a snapshot.",
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if (self.cluster is None) == (self.kubeconfig is None):
            raise ValueError("must have one of cluster and kubeconfig")
        if self.kubeconfig is not None and (self.location or self.dns_endpoint):
            raise ValueError("location and dns_endpoint are for cluster")
        if self.cluster is not None and self.context:
            raise ValueError("context is for kubeconfig")
        if bool(self.selector) == (self.applyset is not None):
            raise ValueError("must have one of selector and applyset: what is the app's is said by nothing else")
        return self
