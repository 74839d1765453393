"""The images of an app's repositories as items of clean-up, and how references in the cloud lead to them."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from infra.gcp.artifacts import images, repositories
from infra.gcp.artifacts.images import DockerImage
from infra.gcp.artifacts.repositories import Repository
from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.model import Item, Kind, Listing
from tasks.cleanup.found import Found, Memory
from tasks.model import Request
from tasks.names.labels import owner_of

# https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md and the referrers' tag of OCI distribution 1.1
_SUBJECT_TAG = re.compile(r"sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?")

_NO_LABELS: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Place:
    """One repository, and the environments that keep their images in it."""

    repository: str  # projects/{project}/locations/{location}/repositories/{id}
    app: str
    environments: tuple[str, ...]
    services: tuple[str, ...]

    @property
    def source(self) -> str:
        return f"images in {self.repository}"

    @property
    def prefix(self) -> str:
        """How references to its images begin."""
        _, project, _, location, _, repository = self.repository.split("/")
        return repositories.image_uri(project, location, repository, "")


@dataclass(slots=True)
class References:
    """Leads from image references to the keys of listed items; remembers where each key was looked for."""

    prefixes: tuple[str, ...]
    digests: frozenset[str]
    tagged: Mapping[str, Sequence[Item]]  # "api:v1.2.0" -> all that are called so, in whichever repository
    asked: dict[str, str] = field(default_factory=dict)  # key -> a reference that led to it

    @classmethod
    def of(cls, places: Iterable[Place], items: Iterable[Item]) -> References:
        digests: set[str] = set()
        tagged: dict[str, list[Item]] = defaultdict(list)
        for item in (each for each in items if each.kind is Kind.IMAGE):
            digests.add(item.digest)
            for tag in item.tags:
                tagged[f"{_last(uri_of(item))}:{tag}"].append(item)
        return cls(tuple(place.prefix for place in places), frozenset(digests), tagged)

    def keys(self, references: Iterable[str]) -> tuple[str, ...]:
        """Keys that the listings have to contain; images of registries that are not listed are left out."""
        return tuple(dict.fromkeys(key for reference in references for key in self._keys(reference)))

    def _keys(self, reference: str) -> Iterable[str]:
        uri, at, digest = reference.partition("@")
        ours = uri.startswith(self.prefixes)
        found = [digest] if at else self._named(uri, ours=ours)
        if ours:
            for key in found:
                self.asked.setdefault(key, reference)
        return found if ours else (key for key in found if key in self.digests)

    def _named(self, uri: str, *, ours: bool) -> list[str]:
        """What a reference without a digest may mean.

        gcr.io, virtual repositories and mirrors serve our images under names that only end like theirs.
        """
        name, _, tag = uri.rpartition(":") if ":" in _last(uri) else (uri, "", "latest")
        there = self.tagged.get(f"{_last(name)}:{tag}", ())
        if ours:
            return [item.digest for item in there if uri_of(item) == name] or [f"{name}:{tag}"]
        return [item.digest for item in there]


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def uri_of(item: Item) -> str:
    """europe-west1-docker.pkg.dev/acme/shop/api"""
    repository, _, rest = item.name.partition("/dockerImages/")
    _, project, _, location, _, name = repository.split("/")
    return repositories.image_uri(project, location, name, rest.partition("@")[0].replace("%2F", "/"))


def places_of(requests: Sequence[Request]) -> tuple[Place, ...]:
    by_name: dict[str, list[Request]] = {}
    for request in requests:
        name = repositories.repository_name(request.project, request.build_region, request.settings.repository)
        by_name.setdefault(name, []).append(request)
    return tuple(
        Place(name, sharing[0].app, tuple(request.environment for request in sharing), tuple(sharing[0].services))
        for name, sharing in by_name.items()
    )


async def find_images(place: Place, memory: Memory, floor: int) -> Found:
    """Every version in the repository. One whose manifest would have to be read and cannot be makes it incomplete."""
    read = datetime.now(UTC)
    items: list[Item] = []
    unclear: list[Item] = []
    floor = max(floor, memory.floor(place.source))
    try:
        repository = await repositories.get_repository(place.repository)
        if repository is not None:
            async for found in images.list_images(place.repository):
                item = image_item(found, place, repository)
                (unclear if _needs_manifest(found) else items).append(item)
        items += [await with_links(item) for item in unclear]
    except GoogleError as error:
        listing = Listing(place.source, read, len(items), complete=False, error=str(error), floor=floor)
        return Found(listings=(listing,))
    return Found(tuple(items), listings=(Listing(place.source, read, len(items), floor=floor),))


def image_item(found: DockerImage, place: Place, repository: Repository) -> Item:
    """Ours if the repository carries our app's labels and the image the name of a service; else nobody's we know."""
    owner = of_repository = owner_of(repository.labels, place.app)
    if owner == place.app and found.image not in place.services:
        owner = None
    stuck = of_repository is None and repository.immutable_tags and found.tags
    return Item(
        kind=Kind.IMAGE,
        name=found.name,
        group=sys.intern(f"{found.image}/{'+'.join(place.environments)}"),  # there are 100 000 items and few groups
        owner=owner,
        uploaded=found.uploaded,
        created=found.built,
        digest=found.digest,
        needs=found.children,
        subject=_subject_of(found.tags),
        tags=found.tags,
        labels=_NO_LABELS,
        size_bytes=found.size_bytes,
        locked="tagged, in a repository of somebody else's with immutable tags" if stuck else "",
    )


async def image_again(before: Item) -> Item | None:
    """The item as it is now; None if it is gone. What the repository decides about it is not asked again."""
    found = await images.get_image(before.name)
    if found is None:
        return None
    return replace(before, uploaded=found.uploaded, created=found.built, tags=found.tags, size_bytes=found.size_bytes)


def _needs_manifest(found: DockerImage) -> bool:
    """Whether only the manifest tells what it consists of, or what it is attached to."""
    return bool(found.artifact_type) or (found.is_index and not found.children)


async def with_links(item: Item) -> Item:
    """The item with what its manifest says it needs and describes. Raises GoogleError."""
    found = await images.get_image(item.name)
    if found is None:
        return item  # gone since the listing: `recheck` will see that
    manifest = await images.read_manifest(found)
    children = tuple(child["digest"] for child in manifest.get("manifests", ()))
    subject = (manifest.get("subject") or {}).get("digest", "")
    return replace(item, needs=children or item.needs, subject=subject or item.subject)


def _subject_of(tags: Iterable[str]) -> str:
    found = next((match for tag in tags if (match := _SUBJECT_TAG.fullmatch(tag))), None)
    return f"sha256:{found[1]}" if found else ""
