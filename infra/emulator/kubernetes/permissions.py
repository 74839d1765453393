"""What IAM calls the permissions on objects in clusters: container.configMaps.list.

https://cloud.google.com/iam/docs/roles-permissions/container
"""

from __future__ import annotations

from infra.emulator.kubernetes.kinds import BUILT_IN, Kind

VERBS = {"watch": "list", "patch": "update", "deletecollection": "delete"}


def permission_of(kind: Kind, verb: str) -> str:
    return f"container.{_resource(kind)}.{VERBS.get(verb, verb)}"


def _resource(kind: Kind) -> str:
    """configMaps for ConfigMap and configmaps; what definitions add is all one."""
    if (kind.group, kind.plural) not in BUILT_IN:
        return "thirdPartyObjects"
    name = kind.kind.removeprefix("API")
    name = f"api{name}" if name != kind.kind else name[0].lower() + name[1:]
    same = next((n for n, (a, b) in enumerate(zip(name.lower(), kind.plural, strict=False)) if a != b), len(name))
    return name[:same] + kind.plural[same:]
