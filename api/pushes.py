"""What a webhook says was pushed, in one shape for all git hosts. Pure.

It is a hint and nothing more: the run clones what was registered, and decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from api.proof import Host
from api.refused import Refused

BRANCH, TAG = "refs/heads/", "refs/tags/"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# As git lets refs be called, without what would part words: https://git-scm.com/docs/git-check-ref-format
_REF = re.compile(r"refs/(?:heads|tags)/(?!-)[^\x00-\x20\x7f~^:?*\[\\\ud800-\udfff]+")
_SCP = re.compile(r"(?:[^/@\s]+@)?(?P<host>[^/:\s]+):(?P<path>[^/].*)")


@dataclass(frozen=True, slots=True)
class Push:
    """One ref of one repository."""

    repositories: frozenset[str]  # its addresses, each as `canonical` writes it
    ref: str  # refs/heads/main, refs/tags/v1.4.0
    before: str  # the commit that it was, '' for a new one
    after: str  # the commit that it is; of a tag it may be the tag's own id
    who: str = ""  # as the host says

    @property
    def branch(self) -> str:
        """'' for a tag."""
        return self.ref.removeprefix(BRANCH) if self.ref.startswith(BRANCH) else ""

    @property
    def tag(self) -> str:
        """'' for a branch."""
        return self.ref.removeprefix(TAG) if self.ref.startswith(TAG) else ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """Nothing was pushed that could be shipped."""

    why: str


def canonical(address: str) -> str:
    """`host/owner/name` of any address of a repository: over https, ssh, or as scp writes it."""
    text = address.strip().rstrip("/").removesuffix(".git")
    if "://" in text:
        parts = urlsplit(text)
        return f"{parts.hostname or ''}/{parts.path.strip('/')}".lower()
    found = _SCP.fullmatch(text)
    return f"{found['host']}/{found['path']}".lower() if found else text


def payload_of(body: bytes) -> Any:
    """Raises Refused."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Refused(400, "The body is not JSON: let the git host send application/json.") from None


def pushes_of(host: Host, headers: Mapping[str, str], payload: Any) -> list[Push] | Ignored:
    """Raises Refused where the payload is not as that host writes them."""
    event = headers.get(EVENTS[host][0], "") if host is not Host.GENERIC else "push"
    if event not in EVENTS[host][1]:
        return Ignored(f"the event {event or 'without a name'} ships nothing")
    try:
        found = [each for each in READERS[host](payload) if each is not None]
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise Refused(400, f"The payload is not one of {host}'s for {event}: {error!r}") from None
    for each in found:
        if not _COMMIT.fullmatch(each.after) or not _REF.fullmatch(each.ref):
            raise Refused(
                400, f"The payload names no commit of a branch or tag: {each.ref[:200]!r} {each.after[:80]!r}"
            )
    return found or Ignored("the ref was deleted")


EVENTS: Mapping[Host, tuple[str, tuple[str, ...]]] = {
    Host.GITHUB: ("x-github-event", ("push",)),
    Host.GITLAB: ("x-gitlab-event", ("Push Hook", "Tag Push Hook")),
    Host.BITBUCKET: ("x-event-key", ("repo:push", "repo:refs_changed")),
    Host.GENERIC: ("", ("push",)),
}


def _github(payload: Any) -> list[Push | None]:
    repository = payload["repository"]
    addresses = [repository.get(name) for name in ("clone_url", "ssh_url", "html_url")]
    who = str((payload.get("pusher") or {}).get("name") or "")
    return [_push(addresses, payload["ref"], payload.get("before"), payload["after"], who)]


def _gitlab(payload: Any) -> list[Push | None]:
    project = payload["project"]
    addresses = [project.get(name) for name in ("git_http_url", "git_ssh_url", "web_url")]
    who = str(payload.get("user_username") or "")
    return [_push(addresses, payload["ref"], payload.get("before"), payload["after"], who)]


def _bitbucket(payload: Any) -> list[Push | None]:
    """Of Bitbucket Cloud `push.changes`, of a server of one's own `changes`."""
    links, actor = payload["repository"]["links"], payload.get("actor") or {}
    found = links.get("clone") or links.get("self") or []
    hrefs = [links["html"]["href"]] if "html" in links else [each["href"] for each in found]
    who = str(actor.get("nickname") or actor.get("name") or "")
    if "changes" in payload:
        return [_push(hrefs, c["ref"]["id"], c.get("fromHash"), c["toHash"], who) for c in payload["changes"]]
    pushed: list[Push | None] = []
    for change in payload["push"]["changes"]:
        new, old = change.get("new"), change.get("old") or {}
        if new:
            ref = f"{TAG if new['type'] == 'tag' else BRANCH}{new['name']}"
            pushed.append(_push(hrefs, ref, (old.get("target") or {}).get("hash"), new["target"]["hash"], who))
    return pushed


def _generic(payload: Any) -> list[Push | None]:
    addresses, who = [payload["repository"]], str(payload.get("who") or "")
    return [_push(addresses, payload["ref"], payload.get("before"), payload["after"], who)]


READERS: Mapping[Host, Callable[[Any], list[Push | None]]] = {
    Host.GITHUB: _github,
    Host.GITLAB: _gitlab,
    Host.BITBUCKET: _bitbucket,
    Host.GENERIC: _generic,
}


def _push(addresses: list[Any], ref: str, before: str | None, after: str, who: str) -> Push | None:
    """None where the ref is gone: its commit is all zeros."""
    if not isinstance(ref, str):
        raise TypeError("ref is no text")
    if not after.strip("0"):
        return None
    known = frozenset(canonical(each) for each in addresses if isinstance(each, str) and each)
    named = who.encode(errors="replace").decode()
    return Push(known, ref, (before or "").strip("0") and str(before), after, named)
