"""Which resources the stand-ins of `google` and `google-beta` have, and what their configuration may say.

The two differ as the real ones do: a gateway without `provider = google-beta` is refused. A kind, an argument or a
block that is not here is unknown to Terraform: nothing is accepted and then ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.emulator.terraform.kinds import accounts, gateway, iam, secrets, storage
from infra.emulator.terraform.kinds.resource import Resource
from infra.emulator.terraform.schema import Block, new, optional

PROJECTS = "https://cloudresourcemanager.googleapis.com/v1/projects/{project}"

CONFIGURATION = Block(
    {
        "project": optional(),
        "region": optional(),
        "zone": optional(),
        "billing_project": optional(),
        "user_project_override": optional("bool"),
        "request_reason": optional(),
        "default_labels": optional("map"),
        "add_terraform_attribution_label": optional("bool"),
    }
)
_IN_BOTH: tuple[Resource, ...] = (
    accounts.ServiceAccount(),
    accounts.ProjectService(),
    iam.IamMember("google_project_iam_member", PROJECTS, "project", {"project": new()}),
    storage.Bucket(),
    secrets.SECRET,
    secrets.SecretVersion(),
    secrets.ACCESSOR,
    gateway.KEY,
)
_IN_BETA: tuple[Resource, ...] = (*_IN_BOTH, gateway.API, gateway.CONFIG, gateway.GATEWAY)

PROVIDERS: Mapping[str, Mapping[str, Resource]] = {
    "google": {each.kind: each for each in _IN_BOTH},
    "google-beta": {each.kind: each for each in _IN_BETA},
}
