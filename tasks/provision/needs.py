"""What whoever provisions must be allowed to do, by what is wanted. Pure.

Roles: https://cloud.google.com/iam/docs/roles-permissions
"""

from __future__ import annotations

from collections.abc import Iterator

from tasks.failures.roles import ACT_AS, ENABLE, Need
from tasks.provision.wanted import Wanted

_ACCOUNTS, _PROJECT_IAM, _STORAGE = (
    "roles/iam.serviceAccountAdmin", "roles/resourcemanager.projectIamAdmin", "roles/storage.admin"
)  # fmt: skip
_SECRETS, _GATEWAY, _KEYS = "roles/secretmanager.admin", "roles/apigateway.admin", "roles/serviceusage.apiKeysAdmin"

STATE = (
    Need("storage.objects.create", _STORAGE, "keep Terraform's state"),
    Need("storage.objects.get", _STORAGE, "read it"),
    Need("storage.objects.list", _STORAGE, "find it"),
    Need("storage.objects.delete", _STORAGE, "rewrite it, and release its lock"),
    Need("storage.buckets.update", _STORAGE, "keep its earlier versions"),
)
ACCOUNTS = (
    Need("iam.serviceAccounts.create", _ACCOUNTS, "create service accounts"),
    Need("iam.serviceAccounts.get", _ACCOUNTS, "see whether they are there"),
    Need("iam.serviceAccounts.update", _ACCOUNTS, "change them"),
)
ROLES = (
    Need("resourcemanager.projects.getIamPolicy", _PROJECT_IAM, "see who has which role"),
    Need("resourcemanager.projects.setIamPolicy", _PROJECT_IAM, "give roles"),
)
BUCKETS = (
    Need("storage.buckets.create", _STORAGE, "create buckets"),
    Need("storage.buckets.get", _STORAGE, "see whether they are there"),
    Need("storage.buckets.update", _STORAGE, "change them"),
)
SECRETS = (
    Need("secretmanager.secrets.create", _SECRETS, "create secrets"),
    Need("secretmanager.secrets.get", _SECRETS, "see whether they are there"),
    Need("secretmanager.secrets.update", _SECRETS, "change them"),
    Need("secretmanager.secrets.getIamPolicy", _SECRETS, "see who may read them"),
    Need("secretmanager.secrets.setIamPolicy", _SECRETS, "let them be read"),
)
GATEWAY = (
    *(
        Need(f"apigateway.{what}.{verb}", _GATEWAY, why)
        for what, why in (
            ("apis", "make the gateway's API"),
            ("apiconfigs", "make its configs"),
            ("gateways", "make the gateway"),
        )
        for verb in ("create", "get", "update", "delete")
    ),
    Need("apigateway.apiconfigs.list", _GATEWAY, "find configs that were followed by another"),
    Need("apigateway.gateways.list", _GATEWAY, "see which of them a gateway still serves"),
    ACT_AS,
)
KEYS = (
    Need("apikeys.keys.create", _KEYS, "make the clients' key"),
    Need("apikeys.keys.get", _KEYS, "see whether it is there"),
    Need("apikeys.keys.list", _KEYS, "find keys that were followed by another"),
    Need("apikeys.keys.getKeyString", _KEYS, "keep it as a secret"),
    Need("apikeys.keys.update", _KEYS, "change what it is good for"),
    Need("apikeys.keys.delete", _KEYS, "make it anew"),
    *SECRETS[:3],
    Need("secretmanager.versions.add", _SECRETS, "keep the key as a secret"),
    Need("secretmanager.versions.get", _SECRETS, "see whether it is kept"),
    Need("secretmanager.versions.list", _SECRETS, "find the newest"),
    Need("secretmanager.versions.disable", _SECRETS, "take an earlier key away"),
)
REMOVAL = {
    "accounts": Need("iam.serviceAccounts.delete", _ACCOUNTS, "delete service accounts"),
    "buckets": Need("storage.buckets.delete", _STORAGE, "delete buckets"),
    "secrets": Need("secretmanager.secrets.delete", _SECRETS, "delete secrets"),
}
SEE_APIS = Need("serviceusage.services.list", "roles/serviceusage.serviceUsageAdmin", "see which APIs are enabled")
ALL = (*STATE, ENABLE, SEE_APIS, *ACCOUNTS, *ROLES, *BUCKETS, *SECRETS, *GATEWAY, *KEYS, *REMOVAL.values())


def needed(wanted: Wanted, *, removes: bool = False) -> tuple[Need, ...]:
    """Each permission once. removes: whether all of it is to be taken away."""
    removal = _to_remove(wanted) if removes else ()
    return tuple({need.permission: need for need in (*_needed(wanted), *removal)}.values())


def _to_remove(wanted: Wanted) -> Iterator[Need]:
    said = wanted.provision
    for kind, used in (
        ("accounts", said.accounts),
        ("buckets", said.buckets),
        ("secrets", said.secrets or said.has_key),
    ):
        if used:
            yield REMOVAL[kind]


def _needed(wanted: Wanted) -> Iterator[Need]:
    said = wanted.provision
    yield from (*STATE, ENABLE, SEE_APIS)
    roles = [*said.roles.values(), *(settings.roles for settings in said.accounts.values() if settings)]
    for used, needs in (
        (said.accounts, ACCOUNTS),
        (any(roles), ROLES),
        (said.buckets, BUCKETS),
        (said.secrets, SECRETS),
        (said.gateway, GATEWAY),
        (said.has_key, KEYS),
    ):
        yield from needs if used else ()
