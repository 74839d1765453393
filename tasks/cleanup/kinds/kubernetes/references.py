"""What an object names: by pod templates above all, and by any string that may mean another. Pure.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/. Tools that look only at live pods, or
only at `containers`, have deleted what init containers, old ReplicaSets and custom resources needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import Any, NamedTuple

from tasks.cleanup.kinds.kubernetes.things import SINCE, Thing

CONFIG_MAP, SECRET, CLAIM, SERVICE, INGRESS = "ConfigMap", "Secret", "PersistentVolumeClaim", "Service", "Ingress"
NAMEABLE = (CONFIG_MAP, SECRET, CLAIM, SERVICE, INGRESS)
# Groups of Kubernetes itself, whose kinds are known here; of all others every string counts.
BUILT_IN = frozenset(
    {"", "apps", "batch", "autoscaling", "policy", "extensions", "events.k8s.io"}
    | {
        f"{name}.k8s.io"
        for name in (
            "networking", "rbac.authorization", "storage", "admissionregistration", "apiextensions", "apiregistration",
            "authentication", "authorization", "certificates", "coordination", "discovery", "flowcontrol.apiserver",
            "internal.apiserver", "node", "scheduling", "resource", "storagemigration", "metrics",
        )
    }
)  # fmt: skip
MAKE_PODS = frozenset(
    {"Pod", "PodTemplate", "Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job"}
    | {"CronJob", "ControllerRevision"}
)
POLICY_BINDINGS = ("ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicyBinding")
NOISE = (SINCE, "kubectl.kubernetes.io/last-applied-configuration", "deployment.kubernetes.io/revision")
SNAPSHOTS = "snapshot.storage.k8s.io"
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")
_DIGEST = r"@sha256:[0-9a-f]{64}"
_IMAGE = re.compile(rf"[\w.-]+(?::\d+)?(?:/[\w.-]+)+(?::[\w.-]+(?:{_DIGEST})?|{_DIGEST})")


class Name(NamedTuple):
    """What somebody names: in a namespace, '' where that is not said and any may be meant."""

    kind: str
    namespace: str
    name: str


def structural(thing: Thing) -> frozenset[Name]:
    """What its fields name."""
    return frozenset(_of_kind(thing))


def mentioned(thing: Thing, known: Mapping[str, Set[str]]) -> Iterator[Name]:
    """What its texts may mean. known: by name, the kinds of what is called so.

    Custom resources may name workloads, too: a scaler what it scales, a rollout what it takes over.
    """
    custom = thing.resource.group not in BUILT_IN
    for name in _meant(_texts(thing), known):
        if custom or name.kind in NAMEABLE:
            yield name


def _of_kind(thing: Thing) -> Iterator[Name]:
    yield from _of_pod(pod_spec(thing), thing.namespace)
    if other := _OTHERS.get(thing.resource.kind):
        yield from other(thing, thing.body.get("spec") or {})


def _of_set(thing: Thing, spec: Mapping[str, Any]) -> Iterator[Name]:
    if spec.get("serviceName"):
        yield Name(SERVICE, thing.namespace, spec["serviceName"])


def _of_account(thing: Thing, _: Mapping[str, Any]) -> Iterator[Name]:
    for field in ("secrets", "imagePullSecrets"):
        for each in thing.body.get(field) or ():
            yield from _key(SECRET, thing.namespace, each)


def _of_volume_itself(_: Thing, spec: Mapping[str, Any]) -> Iterator[Name]:
    """A volume's driver may have Secrets of any namespace."""
    for driver in (each for each in spec.values() if isinstance(each, Mapping)):
        for field, said in driver.items():
            if field.endswith("SecretRef") or field == "secretRef":
                yield from _key(SECRET, str((said or {}).get("namespace") or ""), said)
        yield from _key(SECRET, str(driver.get("secretNamespace") or ""), driver, "secretName")


def _of_class(thing: Thing, _: Mapping[str, Any]) -> Iterator[Name]:
    """https://kubernetes-csi.github.io/docs/secrets-and-credentials-storage-class.html"""
    for field, said in (thing.body.get("parameters") or {}).items():
        if "secret" in field.lower() and field.lower().endswith("name"):
            yield Name(SECRET, "", str(said))


def _of_role(thing: Thing, _: Mapping[str, Any]) -> Iterator[Name]:
    """What somebody may read by its name, over the API, no pod template has to name."""
    for rule in thing.body.get("rules") or ():
        for name in rule.get("resourceNames") or ():
            yield from (Name(kind, thing.namespace, name) for kind in NAMEABLE)


def _of_webhooks(thing: Thing, _: Mapping[str, Any]) -> Iterator[Name]:
    for hook in thing.body.get("webhooks") or ():
        yield from _service((hook.get("clientConfig") or {}).get("service"))


def _of_binding(_: Thing, spec: Mapping[str, Any]) -> Iterator[Name]:
    """Without its parameters a policy may refuse everything that is written to the cluster."""
    said = spec.get("paramRef") or {}
    for kind in NAMEABLE:
        yield from _key(kind, str(said.get("namespace") or ""), said)


def _of_api(_: Thing, spec: Mapping[str, Any]) -> Iterator[Name]:
    yield from _service(spec.get("service"))


def _of_definition(_: Thing, spec: Mapping[str, Any]) -> Iterator[Name]:
    client = ((spec.get("conversion") or {}).get("webhook") or {}).get("clientConfig") or {}
    yield from _service(client.get("service"))


def _service(said: Mapping[str, Any] | None) -> Iterator[Name]:
    if said:
        yield Name(SERVICE, said.get("namespace", ""), said.get("name", ""))


def _of_ingress(thing: Thing, spec: Mapping[str, Any]) -> Iterator[Name]:
    here = thing.namespace
    yield from (Name(SECRET, here, each["secretName"]) for each in spec.get("tls") or () if each.get("secretName"))
    for backend in backends(spec):
        name = (backend.get("service") or {}).get("name") or backend.get("serviceName")
        if name:
            yield Name(SERVICE, here, name)


def backends(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Of an Ingress."""
    yield spec.get("defaultBackend") or spec.get("backend") or {}
    for rule in spec.get("rules") or ():
        yield from (path.get("backend") or {} for path in (rule.get("http") or {}).get("paths") or ())


_OTHERS: Mapping[str, Callable[[Thing, Mapping[str, Any]], Iterator[Name]]] = {
    "StatefulSet": _of_set,
    "ServiceAccount": _of_account,
    "Ingress": _of_ingress,
    "PersistentVolume": _of_volume_itself,
    "StorageClass": _of_class,
    "Role": _of_role,
    "ClusterRole": _of_role,
    "MutatingWebhookConfiguration": _of_webhooks,
    "ValidatingWebhookConfiguration": _of_webhooks,
    **dict.fromkeys(POLICY_BINDINGS, _of_binding),
    "APIService": _of_api,
    "CustomResourceDefinition": _of_definition,
}


def _of_pod(spec: Mapping[str, Any], here: str) -> Iterator[Name]:
    for container in containers(spec):
        for each in container.get("env") or ():
            source = each.get("valueFrom") or {}
            yield from _key(CONFIG_MAP, here, source.get("configMapKeyRef"))
            yield from _key(SECRET, here, source.get("secretKeyRef"))
        for each in container.get("envFrom") or ():
            yield from _key(CONFIG_MAP, here, each.get("configMapRef"))
            yield from _key(SECRET, here, each.get("secretRef"))
    for each in spec.get("imagePullSecrets") or ():
        yield from _key(SECRET, here, each)
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume, here)


def _of_volume(volume: Mapping[str, Any], here: str) -> Iterator[Name]:
    yield from _key(CONFIG_MAP, here, volume.get("configMap"))
    yield from _key(SECRET, here, volume.get("secret"), "secretName")
    yield from _key(CLAIM, here, volume.get("persistentVolumeClaim"), "claimName")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield from _key(CONFIG_MAP, here, source.get("configMap"))
        yield from _key(SECRET, here, source.get("secret"))
    yield from _key(SECRET, here, (volume.get("csi") or {}).get("nodePublishSecretRef"))
    for driver in volume.values():  # cephfs, rbd, flexVolume, azureFile, …
        if isinstance(driver, Mapping):
            yield from _key(SECRET, here, driver.get("secretRef"))
            yield from _key(SECRET, here, driver, "secretName")


def _key(kind: str, here: str, said: Any, field: str = "name") -> Iterator[Name]:
    if isinstance(said, Mapping) and said.get(field):
        yield Name(kind, here, str(said[field]))


def _pinned(value: Any) -> Iterator[str]:
    """Versions of secrets, of whichever project: https://external-secrets.io/latest/api/externalsecret/ (remoteRef)."""
    if isinstance(value, Mapping):
        key, version = value.get("key"), value.get("version")
        if isinstance(key, str) and isinstance(version, str | int):
            yield f"projects/0/secrets/{key.rpartition('/')[2]}/versions/{version}"
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from _pinned(each)


def is_grant(thing: Thing) -> bool:
    """Of what something in another namespace may name: https://gateway-api.sigs.k8s.io/api-types/referencegrant/"""
    return (thing.resource.group, thing.resource.kind) == ("gateway.networking.k8s.io", "ReferenceGrant")


def grants(thing: Thing, other: Thing) -> bool:
    """Whether a grant is for all of its kind; one for a single thing names that, as any text does."""
    wanted = (other.resource.group, other.resource.kind)
    to = (thing.body.get("spec") or {}).get("to") or ()
    return any((each.get("group", ""), each.get("kind")) == wanted and not each.get("name") for each in to)


def pod_spec(thing: Thing) -> Mapping[str, Any]:
    """Of what makes pods, or is one; {} of anything else."""
    if thing.resource.kind not in MAKE_PODS or thing.resource.group not in BUILT_IN:
        return {}
    spec = thing.body.get("spec") or {}
    if thing.resource.kind == "CronJob":
        spec = (spec.get("jobTemplate") or {}).get("spec") or {}
    if thing.resource.kind == "ControllerRevision":  # what a StatefulSet or DaemonSet was, and can be again
        spec = (thing.body.get("data") or {}).get("spec") or {}
    if thing.resource.kind == "Pod":
        return dict(spec)
    return dict((spec.get("template") or thing.body.get("template") or {}).get("spec") or {})


def template_labels(thing: Thing) -> Mapping[str, str]:
    template = (thing.body.get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("labels") or {}


def containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def images_of(thing: Thing) -> tuple[str, ...]:
    """Of its containers; of a custom resource whatever reads like one: it may make pods that are not there yet."""
    if thing.resource.group not in BUILT_IN:
        return tuple(dict.fromkeys(filter(_IMAGE.fullmatch, _strings(thing.body))))
    return tuple(str(each["image"]) for each in containers(pod_spec(thing)) if each.get("image"))


def told(thing: Thing) -> Iterator[str]:
    """Texts that may name something outside of the cluster: a secret, a database, an account, a bucket."""
    for text in _texts(thing):  # an annotation may have several, with commas
        yield from dict.fromkeys((text, *text.split(",")))
    if (thing.resource.group, thing.resource.kind) == ("", CONFIG_MAP):
        yield from _strings(thing.body.get("data"))
    if thing.resource.group not in BUILT_IN:
        yield from _pinned(thing.body)
    for volume in pod_spec(thing).get("volumes") or ():
        yield from _strings((volume.get("csi") or {}).get("volumeAttributes"))


def _texts(thing: Thing) -> Iterator[str]:
    """Strings that may name something: annotations, what a container is told, and all of a custom resource."""
    yield from (value for key, value in thing.annotations.items() if key not in NOISE)
    if thing.resource.group == SNAPSHOTS and "Class" not in thing.resource.kind:
        return  # it names what it is of, which does not need it
    if thing.resource.group not in BUILT_IN:
        yield from _strings(thing.body)
        return
    for container in containers(pod_spec(thing)):
        yield from (str(each.get("value") or "") for each in container.get("env") or ())
        yield from map(str, (*(container.get("args") or ()), *(container.get("command") or ())))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _meant(texts: Iterable[str], known: Mapping[str, Set[str]]) -> Iterator[Name]:
    """Every word in a text that is the name of something: "shop/basic-auth", {"default": "cfg"}, http://api.shop.svc."""
    for text in texts:
        for word in _NAME.findall(text):
            for name in dict.fromkeys((word, word.partition(".")[0])):
                yield from (Name(kind, "", name) for kind in known.get(name, ()))


def claims_of_sets(thing: Thing, claims: Iterable[str]) -> Iterator[Name]:
    """Volume claims of a StatefulSet: <template>-<set>-<number>, also of numbers that it has no pod for just now."""
    if thing.resource.kind != "StatefulSet":
        return
    templates = (thing.body.get("spec") or {}).get("volumeClaimTemplates") or ()
    for template in templates:
        pattern = re.compile(rf"{re.escape(template['metadata']['name'])}-{re.escape(thing.name)}-[0-9]+")
        yield from (Name(CLAIM, thing.namespace, each) for each in claims if pattern.fullmatch(each))


def selects(service: Thing, labels: Mapping[str, str]) -> bool:
    """Whether a Service leads to pods with these labels."""
    wanted = (service.body.get("spec") or {}).get("selector") or {}
    return bool(wanted) and all(labels.get(key) == value for key, value in wanted.items())
