"""A token for a private repository, from a block in Prefect: lent to git for one clone, and written nowhere."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from prefect import get_client
from prefect.exceptions import ObjectNotFound

from tasks.failures.cause import Cause
from tasks.failures.errors import SourceError

PLAIN = "secret"  # the type of block that every Prefect has
USER = "x-token-auth"  # what Bitbucket wants with a token; GitHub and GitLab take any name
LOOPBACK = ("localhost", "127.0.0.1", "::1")
# git asks a helper only when a server wants to know who comes: https://git-scm.com/docs/gitcredentials
_HELPER = (
    '!f() { test "$1" = get && printf "username=%s\\npassword=%s\\n" "$SLIPWAY_GIT_USER" "$SLIPWAY_GIT_TOKEN"; }; f'
)


async def lent(block: str, url: str) -> dict[str, str]:
    """What git needs in its environment to come as the block says, to the host of `url` and to no other.

    block: its name where it is a Secret, else type/name, such as github-credentials/acme. SourceError where there is no
    such block, it holds no token, or it would travel unencrypted.
    """
    refuse_unencrypted(block, url)
    return variables(url, *user_and_token(await _data(block), block))


def refuse_unencrypted(block: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise SourceError(
            f"the block {block} cannot be used: its token may go over https:// only.",
            "give the repository's https:// address, or leave `credentials` of the source empty.",
        )


def variables(url: str, user: str, token: str) -> dict[str, str]:
    """A helper in git's configuration, which reads the token from where no other user sees it."""
    parts = urlsplit(url)
    where = f"credential.{parts.scheme}://{parts.netloc.rpartition('@')[2]}.helper"
    first = int(os.environ.get("GIT_CONFIG_COUNT") or 0)  # those that this process was given stay
    found = {"GIT_CONFIG_COUNT": str(first + 2), "SLIPWAY_GIT_USER": user, "SLIPWAY_GIT_TOKEN": token}
    for number, value in enumerate(("", _HELPER), first):  # the empty one forgets the machine's own helpers
        found |= {f"GIT_CONFIG_KEY_{number}": where, f"GIT_CONFIG_VALUE_{number}": value}
    return found


async def _data(block: str) -> dict[str, Any]:
    kind, _, name = block.rpartition("/")
    async with get_client() as client:
        try:
            document = await client.read_block_document_by_name(name, kind or PLAIN, include_secrets=True)
        except ObjectNotFound:
            raise SourceError(
                f"Prefect has no block {kind or PLAIN}/{name}, which the source names for its credentials.",
                "create it in the Prefect UI under Blocks, with a token that may read the repository.",
                Cause.NOT_FOUND,
            ) from None
    return document.data


def user_and_token(data: dict[str, Any], block: str) -> tuple[str, str]:
    """User and token: of a Secret the token alone, user:token, or both by these names; as other blocks call them."""
    said = data.get("value", data)
    fields = said if isinstance(said, dict) else {"token": said}
    token = next((str(fields[name]) for name in ("token", "password", "value") if fields.get(name)), "")
    user = str(fields.get("username") or fields.get("user") or "")
    if not user and ":" in token:
        user, _, token = token.partition(":")
    if not token or "\n" in token + user:
        raise SourceError(
            f"the block {block} holds no token for git.",
            "put a token that may read the repository into it, or user:token where the host wants a certain name.",
        )
    return user or USER, token
