"""Whole worlds for clean-up to decide about, small but with everything in them, and APIs that lie about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from hypothesis import strategies as st

from tasks.cleanup.engine.model import DAY_S, Foreign, Item, Kind, Listing, Policy, RetentionRule, Use, World
from tasks.cleanup.kinds.buckets import BUCKET
from tasks.cleanup.kinds.build_logs import BUILD_LOG
from tasks.cleanup.kinds.images import IMAGE
from tasks.cleanup.kinds.registry import KINDS as ADAPTERS
from tasks.cleanup.kinds.revisions import REVISION
from tasks.cleanup.kinds.service_accounts import SERVICE_ACCOUNT
from tasks.cleanup.kinds.services import SERVICE
from tasks.cleanup.kinds.sources import SOURCE

KINDS = {each.kind: each.traits for each in ADAPTERS}
APP = "storefront"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
REGISTRY = "europe-west1-docker.pkg.dev/acme/shop"
ANCIENT = datetime(1980, 1, 1, tzinfo=UTC)

AGES_D = st.sampled_from([-0.1, 0.2, 2.0, 15.0, 40.0, 100.0, 400.0])
BIRTHS = st.sampled_from(["uploaded"] * 4 + ["both", "uploaded, built in 1980", "created", "built in 1980", "unknown"])
OWNERS = st.sampled_from([APP] * 6 + [None, "another"])
SOMETIMES = st.sampled_from([False, False, True])
RARELY = st.sampled_from([False] * 6 + [True])
PREPARED_H = st.sampled_from([None, 1.0, 23.9, 24.0, 100.0, 170.0])
LABELS = st.sampled_from([{}, {}, {"team": "web"}, {"keep": "yes"}, {"goog-managed-by": "cloudfunctions"}])
GLOBS = st.sampled_from(["*/api@*1", "sha256:web*", "keep=yes", "v2", "*-revision-0", "*bucket*", "nothing"])


USERS = {  # of a kind that stands: where it is told, and by whom it is used
    SERVICE: [("slipway.yaml", "slipway.yaml"), ("monitoring", "called 12 times"), ("services", "it has traffic")],
    BUCKET: [("slipway.yaml", "slipway.yaml"), ("services", "a service that mounts it")],
    SERVICE_ACCOUNT: [
        ("slipway.yaml", "slipway.yaml"),
        ("policies", "an IAM policy: the account of a scheduler"),
        ("keys", "who holds its key"),
        ("activity", "somebody who authenticated as it"),
    ],
}


class Lie(StrEnum):
    FAILED = "an API answers with an error"
    PARTIAL = "a page in the middle is missing"
    STALE = "a listing is two hours old"
    UNASKED = "a region was never asked"
    EMPTY = "an API says that there is nothing where the history knows of something"
    SNAPSHOT = "a listing lacks something that is in use, and does not say so"
    REPEATED = "a listing that changed while it was read has something twice"


@dataclass
class Builder:
    """Puts a world together, thing by thing; every item and use remembers which listing it is from."""

    draw: st.DrawFn
    items: list[tuple[str, Item]] = field(default_factory=list)
    uses: list[tuple[str, Use]] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)

    def add(self, kind: Kind, name: str, group: str = "", source: str = "", **more: Any) -> Item:
        item = Item(kind=kind, name=name, group=group, **{**self.birth(), "labels": self.draw(LABELS), **more})
        self.items.append((source or f"{kind}s", item))
        return item

    def use(self, source: str, by: str, *needs: str, live: bool = True) -> None:
        self.uses.append((source, Use(by, needs, live)))

    def birth(self) -> dict[str, Any]:
        how, at = self.draw(BIRTHS), NOW - timedelta(days=self.draw(AGES_D))
        uploaded = at if how.startswith(("uploaded", "both")) else None
        created = {"both": at - timedelta(hours=1), "created": at}.get(how, ANCIENT if "1980" in how else None)
        return {"owner": self.draw(OWNERS), "uploaded": uploaded, "created": created}

    def world(self) -> World:
        counts = Counter({f"{kind}s": 0 for kind in KINDS}) + Counter({"history": 0})
        counts.update(source for source, _ in (*self.items, *self.uses))
        listings = [Listing(source, NOW, count, floor=min(count, 1)) for source, count in counts.items()]
        items, uses = tuple(item for _, item in self.items), tuple(use for _, use in self.uses)
        return World(items, uses, tuple(listings), tuple(counts), frozenset(self.gone), KINDS)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    return draw(_builders()).world()


@st.composite
def _builders(draw: st.DrawFn) -> Builder:
    builder = Builder(draw)
    builder.use("services in europe-west1", "frontend: 100 % of the traffic", _release(builder, "front", 0).key)
    for service in ("api", "web")[: draw(st.integers(1, 2))]:
        _service(builder, service)
    _extras(builder)
    return builder


def _service(builder: Builder, service: str) -> None:
    draw = builder.draw
    images = [_release(builder, service, number) for number in range(draw(st.integers(0, 4)))]
    for region in ("europe-west1", "us-central1")[: draw(st.integers(1, 2))]:
        revisions = [_revision(builder, service, region, n, image) for n, image in enumerate(images) if draw(SOMETIMES)]
        for revision in revisions:
            if draw(SOMETIMES):
                builder.use(f"services in {region}", f"{service} in {region}: traffic or a tag", revision.key)
            if draw(RARELY):
                builder.use("history", f"a good release of {service}", revision.key, *revision.needs, live=False)
    for image in images:
        if draw(RARELY):
            builder.use("history", f"another good release of {service}", image.key, live=False)
        if draw(RARELY):
            builder.use("jobs", "job nightly", *(image.needs[:1] or (image.key,)))


def _release(builder: Builder, service: str, number: int) -> Item:
    """An image, or an index of two platforms of which one is often the last release's unchanged, and its signature."""
    draw: st.DrawFn = builder.draw
    digest, group = f"sha256:{service}{number}", f"{service}/production"
    children: tuple[str, ...] = ()
    if draw(SOMETIMES):
        own, shared = f"{digest}-amd64", f"sha256:{service}-arm64"
        children = (own, shared)
        present = {item.digest for _, item in builder.items}
        for child in (child for child in children if child not in present):
            named = ("stable",) if draw(RARELY) else ()
            builder.add(IMAGE, f"{REGISTRY}/{service}@{child}", group, digest=child, tags=named)
    tags = (f"v{number}",) if draw(SOMETIMES) else ()
    locked = "immutable tags" if draw(RARELY) else ""
    shape: dict[str, Any] = {"digest": digest, "needs": children, "tags": tags, "locked": locked}
    image = builder.add(IMAGE, f"{REGISTRY}/{service}@{digest}", group, **shape)
    if draw(RARELY):  # promoted by a copy
        builder.add(IMAGE, f"{REGISTRY}-staging/{service}@{digest}", f"{service}/staging", **shape)
    if draw(SOMETIMES) and children:  # an index of indexes
        outer = f"{digest}-all"
        builder.add(IMAGE, f"{REGISTRY}/{service}@{outer}", group, digest=outer, needs=(digest,))
    if draw(SOMETIMES):
        signature = f"{digest}-signature"
        subject = "sha256:unlisted" if draw(RARELY) else draw(st.sampled_from([digest, *children]))
        builder.add(IMAGE, f"{REGISTRY}/{service}@{signature}", group, digest=signature, subject=subject)
    return image


def _revision(builder: Builder, service: str, region: str, number: int, image: Item) -> Item:
    runs = image.needs[0] if builder.draw(SOMETIMES) and image.needs else image.key
    if builder.draw(RARELY):
        runs = f"sha256:{service}{number}-deleted-long-ago"
        builder.gone.add(runs)
    name = f"{region}/{service}-revision-{number}"
    return builder.add(REVISION, name, f"{service}/{region}", f"revisions in {region}", needs=(runs,))


def _extras(builder: Builder) -> None:
    draw = builder.draw
    for kind in (SOURCE, BUILD_LOG):
        for number in range(draw(st.integers(0, 3))):
            builder.add(kind, f"gs://acme-builds/{kind}-{number}", "builds")
    for kind in (SERVICE, BUCKET, SERVICE_ACCOUNT):
        for number in range(draw(st.integers(0, 2))):
            hours = draw(PREPARED_H)
            prepared = None if hours is None else NOW - timedelta(hours=hours)
            item = builder.add(kind, f"{kind}-{number}", prepared=prepared, needs=_account(builder, kind))
            if draw(SOMETIMES):
                builder.use(*draw(st.sampled_from(USERS[kind])), item.key)


def _account(builder: Builder, kind: Kind) -> tuple[str, ...]:
    """Buckets that only get soft delete in this run still need the account that reads them."""
    if kind != BUCKET or not builder.draw(SOMETIMES):
        return ()
    account = f"reader-{len(builder.items)}"
    long_ago = NOW - timedelta(days=300)
    return (builder.add(SERVICE_ACCOUNT, account, owner=APP, uploaded=long_ago, prepared=long_ago).key,)


@st.composite
def policies(draw: st.DrawFn, capped: bool = False) -> Policy:
    """Without caps unless asked for."""
    kinds = [kind for kind in KINDS if not draw(RARELY)]
    rules = {kind: draw(_rules(20.0 if capped else 100.0)) for kind in kinds}
    protect = tuple(draw(st.lists(GLOBS, max_size=2)))
    return Policy(APP, NOW, rules, protect, max_items=2 if capped else 10**9)


def _rules(max_percent: float) -> st.SearchStrategy[RetentionRule]:
    return st.builds(
        RetentionRule,
        keep=st.integers(0, 3),
        max_age_s=st.sampled_from([None, 10 * DAY_S, 30 * DAY_S]),
        min_age_s=st.sampled_from([0.0, DAY_S]),
        foreign=st.sampled_from(Foreign),
        max_percent=st.just(max_percent),
    )


@dataclass(frozen=True)
class Told:
    """A world, and what the APIs said of it."""

    truth: World
    told: World
    lie: Lie


@st.composite
def lied_about(draw: st.DrawFn) -> Told:
    builder = draw(_builders())
    truth, lie = builder.world(), draw(st.sampled_from(Lie))
    source = draw(st.sampled_from([listing.source for listing in truth.listings if listing.count]))
    return Told(truth, _tell(lie, builder, truth, source, draw), lie)


def _tell(lie: Lie, builder: Builder, world: World, source: str, draw: st.DrawFn) -> World:
    rest = _without(builder, world, source, 1)
    match lie:
        case Lie.FAILED:
            return _relisted(rest, source, error="503 The service is currently unavailable.")
        case Lie.PARTIAL:
            return _relisted(rest, source, complete=False)
        case Lie.STALE:
            return _relisted(rest, source, read=NOW - timedelta(hours=2))
        case Lie.UNASKED:
            return replace(rest, listings=tuple(each for each in world.listings if each.source != source))
        case Lie.EMPTY:
            return _relisted(_without(builder, world, source, 0), source, count=0)
        case Lie.SNAPSHOT:
            return _snapshot(world, draw)
        case Lie.REPEATED:
            return replace(world, items=(*world.items, draw(st.sampled_from(world.items))))


def _relisted(world: World, source: str, **changes: Any) -> World:
    listings = (replace(each, **changes) if each.source == source else each for each in world.listings)
    return replace(world, listings=tuple(listings))


def _without(builder: Builder, world: World, source: str, start: int) -> World:
    """What is left when a source is silent from its `start`-th thing on."""
    items = [item for where, item in builder.items if where == source][start:]
    uses = [use for where, use in builder.uses if where == source][start:]
    return replace(
        world,
        items=tuple(item for item in world.items if item not in items),
        uses=tuple(use for use in world.uses if use not in uses),
    )


def _snapshot(world: World, draw: st.DrawFn) -> World:
    """Lacks one of the things that a use names, the index of an image among them."""
    wanted = draw(st.sampled_from([key for use in world.uses for key in use.needs if key not in world.gone]))
    return replace(world, items=tuple(item for item in world.items if item.key != wanted))
