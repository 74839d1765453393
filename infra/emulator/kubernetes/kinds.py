"""The kinds of objects that an API server knows, and how it tells of them.

https://kubernetes.io/docs/reference/using-api/api-concepts/; verbs and short names as kube-apiserver has them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Kind:
    group: str  # '' for the core group
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = VERBS
    scalable: bool = False
    status: bool = False  # has a status, which is written on its own

    @property
    def group_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """deployments.apps, as messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def listed(self) -> Iterable[dict[str, Any]]:
        """As discovery tells of it, with its parts."""
        said: dict[str, Any] = {"name": self.plural, "singularName": "", "namespaced": self.namespaced}
        said |= {"kind": self.kind, "verbs": list(self.verbs)}
        said |= {"shortNames": list(self.short)} if self.short else {}
        yield said | ({"categories": list(self.categories)} if self.categories else {})
        part = {"singularName": "", "namespaced": self.namespaced, "verbs": ["get", "patch", "update"]}
        if self.scalable:
            scale = {"name": f"{self.plural}/scale", "group": "autoscaling", "version": "v1", "kind": "Scale"}
            yield {**part, **scale}
        if self.status:
            yield {**part, "name": f"{self.plural}/status", "kind": self.kind}


_ALL = ("all",)
_WITHOUT_COLLECTION = tuple(verb for verb in VERBS if verb != "deletecollection")

KINDS = (
    Kind("", "v1", "configmaps", "ConfigMap", short=("cm",)),
    Kind("", "v1", "endpoints", "Endpoints", short=("ep",)),
    Kind("", "v1", "events", "Event", short=("ev",)),
    Kind("", "v1", "limitranges", "LimitRange", short=("limits",)),
    Kind("", "v1", "namespaces", "Namespace", False, ("ns",), verbs=_WITHOUT_COLLECTION, status=True),
    Kind("", "v1", "nodes", "Node", False, ("no",), status=True),
    Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim", short=("pvc",), status=True),
    Kind("", "v1", "persistentvolumes", "PersistentVolume", False, ("pv",), status=True),
    Kind("", "v1", "pods", "Pod", True, ("po",), _ALL, status=True),
    Kind("", "v1", "podtemplates", "PodTemplate"),
    Kind("", "v1", "replicationcontrollers", "ReplicationController", True, ("rc",), _ALL, scalable=True, status=True),
    Kind("", "v1", "resourcequotas", "ResourceQuota", short=("quota",), status=True),
    Kind("", "v1", "secrets", "Secret"),
    Kind("", "v1", "serviceaccounts", "ServiceAccount", short=("sa",)),
    Kind("", "v1", "services", "Service", True, ("svc",), _ALL, _WITHOUT_COLLECTION, status=True),
    Kind("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", "MutatingWebhookConfiguration", False),
    Kind(
        "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration", False
    ),
    Kind(
        "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", False,
        ("crd", "crds"), ("api-extensions",), status=True,
    ),
    Kind("apiregistration.k8s.io", "v1", "apiservices", "APIService", False, (), ("api-extensions",), status=True),
    Kind("apps", "v1", "controllerrevisions", "ControllerRevision"),
    Kind("apps", "v1", "daemonsets", "DaemonSet", True, ("ds",), _ALL, status=True),
    Kind("apps", "v1", "deployments", "Deployment", True, ("deploy",), _ALL, scalable=True, status=True),
    Kind("apps", "v1", "replicasets", "ReplicaSet", True, ("rs",), _ALL, scalable=True, status=True),
    Kind("apps", "v1", "statefulsets", "StatefulSet", True, ("sts",), _ALL, scalable=True, status=True),
    Kind("autoscaling", "v1", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True, ("hpa",), _ALL, status=True),
    Kind("batch", "v1", "cronjobs", "CronJob", True, ("cj",), _ALL, status=True),
    Kind("batch", "v1", "jobs", "Job", True, (), _ALL, status=True),
    Kind("coordination.k8s.io", "v1", "leases", "Lease"),
    Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
    Kind("networking.k8s.io", "v1", "ingresses", "Ingress", short=("ing",), status=True),
    Kind("networking.k8s.io", "v1", "networkpolicies", "NetworkPolicy", short=("netpol",)),
    Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", short=("pdb",), status=True),
    Kind("rbac.authorization.k8s.io", "v1", "clusterrolebindings", "ClusterRoleBinding", False),
    Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False),
    Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding"),
    Kind("rbac.authorization.k8s.io", "v1", "roles", "Role"),
    Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", False, ("sc",)),
)  # fmt: skip
# The versions that the recorded server also has of a group; nobody is served by them here.
BUILT_IN: Mapping[tuple[str, str], Kind] = {(each.group, each.plural): each for each in KINDS}


def custom_kind(definition: Mapping[str, Any]) -> Kind:
    """What a CustomResourceDefinition defines, in the version in which it is stored."""
    spec = definition["spec"]
    names, versions = spec["names"], spec["versions"]
    stored = next((each["name"] for each in versions if each.get("storage")), versions[0]["name"])
    return Kind(
        spec["group"], stored, names["plural"], names["kind"], spec.get("scope") != "Cluster",
        tuple(names.get("shortNames", ())), tuple(names.get("categories", ())),
    )  # fmt: skip
