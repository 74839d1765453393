"""Who may call a service, as slipway.yaml names them.

https://cloud.google.com/iam/docs/principal-identifiers
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from infra.gcp.run.members import ANYBODY_SIGNED_IN, EVERYONE, same
from tasks.manifest.values import ACCOUNT_ID

_DOMAIN = r"[a-z0-9-]+(?:\.[a-z0-9-]+)+"
_ADDRESS = rf"[^\s@:/]+@{_DOMAIN}"
_KUBERNETES = r"[a-z0-9:.-]+\.svc\.id\.goog\[[a-z0-9.-]+/[a-z0-9.-]+\]"  # namespace/account
_FEDERATED = r"principal(?:Set)?://(?:iam|cloudresourcemanager)\.googleapis\.com/[^\s/]\S*"
_MEMBER = (
    rf"(?:user|group|serviceAccount):{_ADDRESS}|serviceAccount:(?:{ACCOUNT_ID}|{_KUBERNETES})|domain:{_DOMAIN}"
    rf"|{_FEDERATED}|{ANYBODY_SIGNED_IN}"
)
_KINDS = "user:, serviceAccount:, group:, domain:, principal: or principalSet:"


def _member(text: str) -> str:
    if text == EVERYONE:
        raise ValueError(f"must not be {EVERYONE}: everybody is let in by `public: true`")
    if text.startswith("deleted:"):
        raise ValueError("must be somebody who is there: Google takes nobody who is deleted")
    if not re.fullmatch(_MEMBER, member := same(text)):
        raise ValueError(
            f"must be whom Google's policies name: {_KINDS} and who it is, such as "
            f"serviceAccount:web@acme-prod.iam.gserviceaccount.com, or {ANYBODY_SIGNED_IN}"
        )
    return member


def is_member(text: str) -> bool:
    """Whether slipway.yaml takes it."""
    try:
        return bool(_member(text))
    except ValueError:
        return False


def _each_once(members: tuple[str, ...]) -> tuple[str, ...]:
    for number, member in enumerate(members):
        if member in members[:number]:
            raise ValueError(f"has {member} twice")
    return members


Member = Annotated[
    str,
    AfterValidator(_member),
    WithJsonSchema({"type": "string", "pattern": r"^(?:[A-Za-z]+:\S+|" + ANYBODY_SIGNED_IN + ")$"}),
]
Members = Annotated[tuple[Member, ...], AfterValidator(_each_once)]


def in_full(members: Iterable[str], project: str) -> tuple[str, ...]:
    """With the whole address of each account of which slipway.yaml gives the first part only."""
    return tuple(
        f"{member}@{project}.iam.gserviceaccount.com"
        if re.fullmatch(f"serviceAccount:{ACCOUNT_ID}", member)
        else member
        for member in members
    )


def in_short(member: str, project: str) -> str:
    """The first part of an account of this project: another environment may have one that is called so."""
    short = member.removesuffix(f"@{project}.iam.gserviceaccount.com") if project else member
    return short if re.fullmatch(f"serviceAccount:{ACCOUNT_ID}", short) else member
