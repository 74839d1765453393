"""What an API server refuses of an object: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from infra.emulator.kubernetes.kinds import Kind
from infra.emulator.kubernetes.status import bad_request, invalid_object

SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
VALUE = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?"
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{SUBDOMAIN}')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'{VALUE}')"
)
# Of kinds that are no spec and status alone.
FIELDS: Mapping[str, frozenset[str]] = {
    "ConfigMap": frozenset({"data", "binaryData", "immutable"}),
    "Secret": frozenset({"data", "stringData", "immutable", "type"}),
    "ServiceAccount": frozenset({"secrets", "imagePullSecrets", "automountServiceAccountToken"}),
    "Role": frozenset({"rules"}),
    "ClusterRole": frozenset({"rules", "aggregationRule"}),
    "RoleBinding": frozenset({"subjects", "roleRef"}),
    "ClusterRoleBinding": frozenset({"subjects", "roleRef"}),
    "Endpoints": frozenset({"subsets"}),
    "PodTemplate": frozenset({"template"}),
    "ControllerRevision": frozenset({"data", "revision"}),
    "MutatingWebhookConfiguration": frozenset({"webhooks"}),
    "ValidatingWebhookConfiguration": frozenset({"webhooks"}),
}
_EVERY = frozenset({"apiVersion", "kind", "metadata"})
_OPEN = frozenset({"Event", "EndpointSlice", "StorageClass"})  # whose fields are not listed here


def without_unknown(kind: Kind, given: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    """Unknown fields are dropped, or refused where the caller asks for that; only those at the top are looked at."""
    if kind.kind in _OPEN or (kind.group not in ("", "apps", "batch") and kind.kind not in FIELDS):
        return dict(given)
    known = _EVERY | FIELDS.get(kind.kind, frozenset({"spec", "status"}))
    if strict and (strange := sorted(given.keys() - known)):
        told = ", ".join(f'unknown field "{each}"' for each in strange)
        raise bad_request(
            f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: strict decoding error: {told}'
        )
    return {key: value for key, value in given.items() if key in known}


def check(kind: Kind, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> None:
    """Raises Refusal."""
    meta, name = new["metadata"], str(new["metadata"].get("name", ""))
    if not name:
        what = "name or generateName is required"
        raise invalid_object(kind, "", "metadata.name", "FieldValueRequired", what)
    if not re.fullmatch(SUBDOMAIN, name) and not kind.group.startswith("rbac."):
        what = f"{_quoted(name)}: {_SUBDOMAIN_RULE}"
        raise invalid_object(kind, name, "metadata.name", "FieldValueInvalid", what)
    for value in (meta.get("labels") or {}).values():
        if not isinstance(value, str) or not re.fullmatch(VALUE, value) or len(value) > 63:
            what = f"{_quoted(value)}: {_VALUE_RULE}"
            raise invalid_object(kind, name, "metadata.labels", "FieldValueInvalid", what)
    _check_selector(kind, name, new)
    if old is not None:
        _check_unchanged(kind, name, new, old)


def _check_selector(kind: Kind, name: str, new: Mapping[str, Any]) -> None:
    if kind.kind not in ("Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"):
        return
    spec = new.get("spec") or {}
    wanted = (spec.get("selector") or {}).get("matchLabels") or {}
    given = (spec.get("template") or {}).get("metadata", {}).get("labels") or {}
    if not spec.get("selector"):
        raise invalid_object(kind, name, "spec.selector", "FieldValueRequired", "")
    if any(given.get(key) != value for key, value in wanted.items()):
        shown = "map[string]string{" + ", ".join(f"{_quoted(k)}:{_quoted(v)}" for k, v in sorted(given.items())) + "}"
        what = f"{shown}: `selector` does not match template `labels`"
        raise invalid_object(kind, name, "spec.template.metadata.labels", "FieldValueInvalid", what)


def _check_unchanged(kind: Kind, name: str, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    if kind.kind in ("Secret", "ConfigMap") and old.get("immutable"):
        what = "field is immutable when `immutable` is set"
        for field in ("data", "binaryData"):
            if new.get(field) != old.get(field):
                raise invalid_object(kind, name, field, "FieldValueForbidden", what)
    if kind.group == "apps" and new.get("spec", {}).get("selector") != old.get("spec", {}).get("selector"):
        what = f"{_quoted(new['spec']['selector'])}: field is immutable"
        raise invalid_object(kind, name, "spec.selector", "FieldValueInvalid", what)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
