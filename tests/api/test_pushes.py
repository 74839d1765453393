"""What each git host says was pushed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.proof import Host
from api.pushes import Ignored, Push, canonical, payload_of, pushes_of
from api.refused import Refused

OLD, NEW, GONE = "a" * 40, "b" * 40, "0" * 40
HEADERS = {
    Host.GITHUB: {"x-github-event": "push"},
    Host.GITLAB: {"x-gitlab-event": "Push Hook"},
    Host.BITBUCKET: {"x-event-key": "repo:push"},
    Host.GENERIC: {},
}


@pytest.mark.parametrize(
    "address",
    [
        "https://github.com/Acme/shop.git",
        "https://github.com/acme/shop/",
        "https://x-access-token:secret@github.com/acme/shop",
        "ssh://git@github.com:22/acme/shop.git",
        "git@github.com:acme/shop.git",
    ],
)
def test_one_repository_has_one_name_however_it_is_reached(address: str) -> None:
    assert canonical(address) == "github.com/acme/shop"


def test_another_repository_has_another_name() -> None:
    others = [
        "https://evil.example/github.com/acme/shop",
        "https://github.com.evil.example/acme/shop",
        "/srv/acme/shop",
    ]
    assert "github.com/acme/shop" not in {canonical(each) for each in others}


def github(ref: str = "refs/heads/main", after: str = NEW) -> dict[str, Any]:
    repository = {"clone_url": "https://github.com/acme/shop.git", "ssh_url": "git@github.com:acme/shop.git"}
    return {"ref": ref, "before": OLD, "after": after, "repository": repository, "pusher": {"name": "ada"}}


def gitlab(ref: str, after: str = NEW) -> dict[str, Any]:
    project = {"git_http_url": "https://gitlab.com/acme/shop.git", "web_url": "https://gitlab.com/acme/shop"}
    return {"ref": ref, "before": GONE, "after": after, "project": project, "user_username": "ada"}


def bitbucket(*changes: Any) -> dict[str, Any]:
    links = {"html": {"href": "https://bitbucket.org/acme/shop"}}
    return {"push": {"changes": changes}, "repository": {"links": links}, "actor": {"nickname": "ada"}}


def bitbucket_server(*changes: Any) -> dict[str, Any]:
    clone = [
        {"href": "https://git.acme.example/scm/acme/shop.git"},
        {"href": "ssh://git@git.acme.example:7999/acme/shop.git"},
    ]
    return {"changes": changes, "repository": {"links": {"clone": clone}}, "actor": {"name": "ada"}}


def one(host: Host, payload: Any, **headers: str) -> Push:
    found = pushes_of(host, HEADERS[host] | headers, payload)
    assert not isinstance(found, Ignored)
    [push] = found
    return push


def test_a_push_to_a_branch_of_each_host() -> None:
    main = "refs/heads/main"
    new = {"type": "branch", "name": "main", "target": {"hash": NEW}}
    old = {"type": "branch", "name": "main", "target": {"hash": OLD}}
    server = {"ref": {"id": main}, "fromHash": OLD, "toHash": NEW}
    generic = {"repository": "/srv/git/shop.git", "ref": main, "before": OLD, "after": NEW, "who": "ada"}
    found = [
        one(Host.GITHUB, github()),
        one(Host.GITLAB, gitlab(main)),
        one(Host.BITBUCKET, bitbucket({"new": new, "old": old})),
        one(Host.BITBUCKET, bitbucket_server(server), **{"x-event-key": "repo:refs_changed"}),
        one(Host.GENERIC, generic),
    ]
    assert {(each.branch, each.tag, each.after, each.who) for each in found} == {("main", "", NEW, "ada")}
    assert [each.before for each in found] == [OLD, "", OLD, OLD, OLD]
    assert [sorted(each.repositories) for each in found] == [
        ["github.com/acme/shop"],
        ["gitlab.com/acme/shop"],
        ["bitbucket.org/acme/shop"],
        ["git.acme.example/acme/shop", "git.acme.example/scm/acme/shop"],
        ["/srv/git/shop"],
    ]


def test_a_push_of_a_tag() -> None:
    assert one(Host.GITHUB, github("refs/tags/v1.4.0")).tag == "v1.4.0"
    assert one(Host.GITLAB, gitlab("refs/tags/v1.4.0"), **{"x-gitlab-event": "Tag Push Hook"}).tag == "v1.4.0"
    tagged = {"new": {"type": "tag", "name": "v1.4.0", "target": {"hash": NEW}}, "old": None}
    assert one(Host.BITBUCKET, bitbucket(tagged)).tag == "v1.4.0"


@pytest.mark.parametrize(
    ("host", "headers", "payload"),
    [
        (Host.GITHUB, {"x-github-event": "ping"}, {"zen": "…"}),
        (Host.GITHUB, {}, github()),
        (Host.GITHUB, HEADERS[Host.GITHUB], github(after=GONE)),
        (Host.GITLAB, {"x-gitlab-event": "Issue Hook"}, {}),
        (Host.BITBUCKET, {"x-event-key": "diagnostics:ping"}, {"test": True}),
        (Host.BITBUCKET, HEADERS[Host.BITBUCKET], bitbucket({"new": None, "old": {}})),
    ],
)
def test_what_ships_nothing_is_ignored_and_said(host: Host, headers: dict[str, str], payload: Any) -> None:
    found = pushes_of(host, headers, payload)
    assert isinstance(found, Ignored)
    assert found.why


@pytest.mark.parametrize(
    "payload",
    [
        {},
        [],
        "text",
        None,
        {"ref": 1},
        github("main"),
        github(after="HEAD"),
        github(after="--upload-pack=x"),
        github("refs/pull/7/head"),
        github("refs/tags/--upload-pack=x"),
        github("refs/tags/v1 v2"),
        github("refs/tags/\ud800"),
        {**github(), "ref": 7},
        {**github(), "after": 7},
        {**github(), "before": [7]},
        {**github(), "pusher": "ada"},
        {**github(), "repository": {"clone_url": "https://[acme/shop"}},
    ],
)
def test_a_payload_of_another_shape_is_refused(payload: Any) -> None:
    with pytest.raises(Refused) as refused:
        pushes_of(Host.GITHUB, HEADERS[Host.GITHUB], payload)
    assert refused.value.status == 400


@pytest.mark.parametrize("body", [b"", b"hello", b"payload=%7B%7D", b"\xff{}", b"[" * 100_000, b"9" * 5000])
def test_a_body_that_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="application/json") as refused:
        payload_of(body)
    assert refused.value.status == 400


def test_who_has_pushed_is_told_whatever_the_name_holds() -> None:
    assert one(Host.GITHUB, {**github(), "pusher": {"name": "ada \ud800"}}).who == "ada ?"


leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["ref", "after", "repository", "project", "push", "changes", "links", "html", "new"]), inner
        )
    ),
    max_leaves=12,
)


@given(anything, st.sampled_from(list(Host)))
def test_no_payload_whatever_makes_it_fail(payload: Any, host: Host) -> None:
    try:
        found = pushes_of(host, HEADERS[host], payload)
    except Refused:
        return
    assert isinstance(found, Ignored) or all(each.after and each.ref for each in found)
