"""Only what is ours beyond doubt is taken over without a question."""

from __future__ import annotations

import pytest

from infra.terraform.plan import Resource
from tasks.provision.adopt import Adopt, Found, decide, moved, to_look_for
from tasks.provision.wanted import Kind, Thing, things
from tests.tasks.provision.wanted_of import wanted_of

WANTED = wanted_of()
OWN, TITLE = WANTED.labels, WANTED.title
OTHERS = {**OWN, "slipway-environment": "staging"}


def thing(kind: Kind) -> Thing:
    return next(each for each in things(WANTED) if each.kind is kind)


@pytest.mark.parametrize(
    ("kind", "labels", "title", "own"),
    [
        (Kind.BUCKET, OWN, "", True),
        (Kind.BUCKET, {}, "", False),  # a name alone says nothing
        (Kind.SECRET, OTHERS, "", False),
        (Kind.SECRET, {"team": "blue"}, "", False),
        (Kind.ACCOUNT, {}, TITLE, True),
        (Kind.ACCOUNT, {}, "somebody's", False),
        (Kind.ACCOUNT, {}, "", False),
        (Kind.BUCKET, {"slipway-app": "shop"}, "", False),  # whoever made it wrote all of them at once
        (Kind.API, {}, "", False),  # people call theirs shop-production by hand
        (Kind.GATEWAY, {}, "", False),
        (Kind.GATEWAY, OTHERS, "", False),
        (Kind.GATEWAY, {**OWN, "team": "blue"}, "", True),
        (Kind.CONFIG, OWN, "", True),
        (Kind.KEY, {}, TITLE, True),
        (Kind.KEY, {}, "shop-production in eu (slipway)", False),  # whose names are the same
    ],
)
def test_whose_it_is(kind: Kind, labels: dict[str, str], title: str, own: bool) -> None:
    found = Found(thing(kind), labels, title)
    assert bool(decide(WANTED, [found], "own").own) is own
    assert bool(decide(WANTED, [found], "ask").others) is not own


@pytest.mark.parametrize("mode", ["ask", "own", "never"])
def test_who_wants_nothing_adopted_is_told_of_all_of_it(mode: Adopt) -> None:
    found = [Found(each, OWN, each.display_name) for each in things(WANTED)]
    decided = decide(WANTED, found, mode)
    assert len(decided.own) + len(decided.others) == len(found)
    assert bool(decided.own) is (mode != "never")


def test_what_is_in_the_state_is_not_looked_for() -> None:
    every = things(WANTED)
    assert to_look_for(every, {each.address for each in every[1:]}) == every[:1]


def test_what_follows_another_is_looked_for_though_the_one_before_is_in_the_state() -> None:
    """Terraform may have died over the new one: then it is there, and the state knows only the one before."""
    before = {each.address for each in things(wanted_of(openapi=b"before"))}
    now = things(wanted_of(openapi=b"now").with_generation(2))
    assert {each.kind for each in to_look_for(now, before)} == {Kind.CONFIG, Kind.KEY}


@pytest.mark.parametrize(
    ("state", "labels", "becomes"), [("FAILED", OWN, "wrecks"), ("FAILED", {}, "others"), ("ACTIVE", OWN, "own")]
)
def test_what_could_not_be_made_is_not_adopted_but_made_anew_if_its_labels_say_that_it_is_ours(
    state: str, labels: dict[str, str], becomes: str
) -> None:
    found = Found(thing(Kind.CONFIG), labels, state=state)
    decided = decide(WANTED, [found], "own")
    assert {kind: getattr(decided, kind) for kind in ("own", "others", "wrecks")} == {
        "own": (), "others": (), "wrecks": (), becomes: (found,)
    }  # fmt: skip
    assert not decide(WANTED, [found], "never").wrecks


BUCKET = 'google_storage_bucket.bucket["{}"]'


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"old": "acme-logs"}, {BUCKET.format("old"): BUCKET.format("logs")}),
        ({"old": "acme-other"}, {}),
        ({"logs": "acme-logs"}, {}),  # where it belongs
        ({"uploads": "acme-logs"}, {}),  # whose own bucket would be lost: the guard refuses what the plan makes of it
    ],
)
def test_a_bucket_with_another_key_is_still_the_same_one(known: dict[str, str], expected: dict[str, str]) -> None:
    addresses = {BUCKET.format(key): name for key, name in known.items()}
    state = {at: Resource(at, "google_storage_bucket", {"name": name}) for at, name in addresses.items()}
    assert moved(things(WANTED), state) == expected
