"""Whom a policy names, as plain text: it needs no client of Google's.

https://cloud.google.com/iam/docs/principal-identifiers
"""

from __future__ import annotations

EVERYONE = "allUsers"
ANYBODY_SIGNED_IN = "allAuthenticatedUsers"
OF_ADDRESSES = ("user", "serviceAccount", "group", "domain")  # kinds, whose letters mean the same in either case


def same(member: str) -> str:
    """How the member is written where members are compared.

    Google takes addresses in either case, and may answer them in lower case, as its provider for Terraform has it:
    https://github.com/hashicorp/terraform-provider-google/blob/main/google/tpgiamresource/iam.go
    """
    kind, colon, value = member.partition(":")
    if kind not in OF_ADDRESSES:
        return member
    address, bracket, workload = value.partition("[")  # of Kubernetes, PROJECT.svc.id.goog[namespace/account]
    return f"{kind}{colon}{address.lower()}{bracket}{workload}"
