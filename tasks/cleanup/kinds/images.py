"""Images of an app's repositories, and how references to images from anywhere lead to them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import lru_cache

from infra.gcp.artifacts import images, repositories
from infra.gcp.artifacts.images import DockerImage
from infra.gcp.artifacts.repositories import Repository
from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.model import CleanupStep, Item, Kind, Listing
from tasks.cleanup.kinds.adapter import TIMEOUT_S, Found, Keys, Look, Note, ResourceKind
from tasks.failures.roles import Need
from tasks.history.record import ReleaseRecord, good
from tasks.manifest.manifest import BESIDE
from tasks.model import Request
from tasks.names import resources
from tasks.names.labels import owner_of
from tasks.names.references import ImageReference, Package
from tasks.orchestration.gather import all_of

IMAGE = Kind("image")  # one version in a registry: an image, an index of images, or what is attached to one
REPOSITORIES_AT_ONCE = 8  # a page of a thousand images takes megabytes until it is read

# https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md and the referrers' tag of OCI distribution 1.1
_SUBJECT_TAG = re.compile(r"sha256-([0-9a-f]{64})(?:\.(?:sig|att|sbom))?")

_NO_LABELS: Mapping[str, str] = {}


class Images(ResourceKind):
    kind = IMAGE
    needs = (
        Need("artifactregistry.dockerimages.list", "roles/artifactregistry.admin", "list images"),
        Need("artifactregistry.repositories.update", "roles/artifactregistry.admin", "let tags go with their image"),
    )

    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        return (each.source for each in image_repositories(requests))

    async def list(self, look: Look) -> Found:
        gate = asyncio.Semaphore(REPOSITORIES_AT_ONCE)

        async def find(each: ImageRepository) -> Found:
            async with gate:
                return await _find(each, look)

        records = [record for history in look.histories.values() for record in history.records]
        former, others = once_released(records), made_elsewhere(look.requests, records)
        places = [
            replace(each, services=tuple(sorted({*each.services, *former})), elsewhere=_within(each.prefix, others))
            for each in image_repositories(look.requests)
        ]
        return Found.merged(await asyncio.gather(*(find(each) for each in places)))

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        return References(image_repositories(look.requests), items).keys

    async def is_gone(self, key: str, names: Collection[str], holders: Collection[Item]) -> bool:
        """Asked wherever it may be; an error is not a "not found"."""
        references = [ImageReference.parse(name) for name in names]
        places = [(reference.package, reference.selector) for reference in references]
        places += [(package_of(item), key) for item in holders if item.kind == IMAGE]
        there = [await _exists(package, selector) for package, selector in places if package]
        return bool(there) and not any(there)

    async def again(self, before: Item) -> Item | None:
        """What the repository decides about it is not asked again."""
        found = await images.get_image(before.name)
        if found is None:
            return None
        return replace(
            before, uploaded=found.uploaded, created=found.built, tags=found.tags, size_bytes=found.size_bytes
        )

    async def delete(self, item: Item) -> bool:
        return await images.delete_image(item.name, TIMEOUT_S)

    @asynccontextmanager
    async def opened(self, steps: Sequence[CleanupStep], note: Note) -> AsyncIterator[None]:
        """Within, tags can be deleted in the repositories where a tagged image is to go.

        Artifact Registry deletes no tagged image while tags are immutable. A release that begins meanwhile closes the
        app's own repository first, and clean-up steps aside. What a killed run left open is closed by whoever comes
        next: a release, reconcile, or a clean-up by the journal.
        """
        tagged = {each.item.name.partition("/dockerImages/")[0] for each in steps if each.item.tags}
        found = await asyncio.gather(*(repositories.get_repository(name) for name in sorted(tagged)))
        locked = [each.name for each in found if each and each.immutable_tags]
        if not locked:
            yield
            return
        await note(locked)
        try:
            await all_of([repositories.set_immutable_tags(name, immutable=False) for name in locked])
            yield
        finally:
            await all_of([repositories.set_immutable_tags(name, immutable=True) for name in locked])
            await note(())

    async def close(self, requests: Sequence[Request]) -> tuple[str, ...]:
        """Makes tags immutable in the app's own repositories where they are not."""
        app = requests[0].app
        names = [each.name for each in image_repositories(requests)]
        found = await asyncio.gather(*(repositories.get_repository(name) for name in names))
        opened = [each.name for each in found if each and not each.immutable_tags and owner_of(each.labels, app) == app]
        await all_of([repositories.set_immutable_tags(name, immutable=True) for name in opened])
        return tuple(f"tags could be moved in {name}; now they are immutable again" for name in opened)

    async def close_again(self, opened: Sequence[str]) -> None:
        found = await asyncio.gather(*(repositories.get_repository(name) for name in opened))
        there = [each.name for each in found if each and not each.immutable_tags]
        await all_of([repositories.set_immutable_tags(name, immutable=True) for name in there])


@dataclass(frozen=True, slots=True)
class ImageRepository:
    """One repository, and the environments that keep their images in it."""

    name: str  # projects/{project}/locations/{location}/repositories/{id}
    app: str
    environments: tuple[str, ...]
    services: tuple[str, ...]
    elsewhere: frozenset[str] = frozenset()  # names of images that slipway.yaml says, or said, others make
    adopted: bool = False  # made by others, and slipway.yaml says that it is the app's as well

    @property
    def source(self) -> str:
        return f"images in {self.name}"

    @property
    def prefix(self) -> str:
        """How references to its images begin."""
        found = resources.parts(self.name)
        return Package(found["projects"], found["locations"], found["repositories"], "").uri


def image_repositories(requests: Sequence[Request]) -> tuple[ImageRepository, ...]:
    by_name: dict[str, list[Request]] = {}
    for request in requests:
        name = resources.repository(request.project, request.build_region, request.settings.repository)
        by_name.setdefault(name, []).append(request)
    return tuple(
        ImageRepository(
            name,
            sharing[0].app,
            tuple(request.environment for request in sharing),
            tuple(sharing[0].image_names),
            adopted=resources.last(name) in sharing[0].manifest.retention.adopt,
        )
        for name, sharing in by_name.items()
    )


def once_released(records: Iterable[ReleaseRecord]) -> frozenset[str]:
    """The services of all releases: what slipway.yaml no longer has was the app's all the same."""
    return frozenset(name for record in records for name in record.images)


def made_elsewhere(requests: Iterable[Request], records: Iterable[ReleaseRecord]) -> frozenset[str]:
    """The URIs of images that slipway.yaml names, or named at any release: nobody knows who else needs these."""
    manifests = [request.manifest.without_values() for request in requests]
    manifests += [record.manifest for record in records if record.manifest]
    named = (
        service.get("image")
        for manifest in manifests
        for services in (
            manifest["services"],
            *(manifest.get(key, {}) for key in BESIDE),
            *(each.get("services", {}) for each in manifest["environments"].values()),
        )
        for service in services.values()
    )
    return frozenset(ImageReference.parse(image).uri for image in named if image)


def _within(prefix: str, uris: Iterable[str]) -> frozenset[str]:
    """Their names in the repository whose references begin so."""
    return frozenset(uri.removeprefix(prefix) for uri in uris if uri.startswith(prefix))


class References:
    """Leads from image references to the keys of listed images."""

    def __init__(self, listed: Iterable[ImageRepository], items: Iterable[Item]) -> None:
        self._prefixes = tuple(each.prefix for each in listed)
        self._digests: set[str] = set()
        self._tagged: Mapping[str, list[Item]] = defaultdict(list)  # "api:v1" -> all called so, in any repository
        for item in items:
            self._digests.add(item.digest)
            for tag in item.tags:
                self._tagged[f"{resources.last(package_of(item).name)}:{tag}"].append(item)

    def keys(self, reference: str) -> Iterable[str]:
        """Keys that the listings have to contain; images of registries that are not listed are left out."""
        image = ImageReference.parse(reference)
        ours = image.uri.startswith(self._prefixes)
        found = [image.digest] if image.digest else self._named(image, ours=ours)
        return found if ours else [key for key in found if key in self._digests]

    def _named(self, image: ImageReference, *, ours: bool) -> list[str]:
        """What a reference without a digest may mean.

        gcr.io, virtual repositories and mirrors serve our images under names that only end like theirs.
        """
        there = self._tagged.get(f"{image.name}:{image.selector}", ())
        if ours:
            same = [item.digest for item in there if package_of(item).uri == image.uri]
            return same or [f"{image.uri}:{image.selector}"]
        return [item.digest for item in there]


def package_of(item: Item) -> Package:
    return _package(item.name.partition("@")[0])


@lru_cache(maxsize=4096)  # of 100 000 images, few packages
def _package(name: str) -> Package:
    return Package.of_image(name)


async def _find(repository: ImageRepository, look: Look) -> Found:
    """Every version in the repository. One whose manifest would have to be read and cannot be makes it incomplete."""
    read = look.clock()
    items: list[Item] = []
    unclear: list[Item] = []
    floor = max(_released(repository.prefix, look), look.memory.floor(repository.source))
    try:
        there = await repositories.get_repository(repository.name)
        if there is not None:
            async for found in images.list_images(repository.name):
                (unclear if _needs_manifest(found) else items).append(image_item(found, repository, there))
        items += [await with_links(item) for item in unclear]
    except GoogleError as error:
        listing = Listing(repository.source, read, len(items), complete=False, error=str(error), floor=floor)
        return Found(listings=(listing,))
    return Found(tuple(items), listings=(Listing(repository.source, read, len(items), floor=floor),))


def _released(prefix: str, look: Look) -> int:
    """A repository that a good release's image is in is not empty."""
    records = (record for history in look.histories.values() for record in good(history.records))
    return int(any(image.startswith(prefix) for record in records for image in record.images.values()))


def image_item(found: DockerImage, repository: ImageRepository, there: Repository) -> Item:
    """Ours if the repository is our app's, by its labels or adopted, and the image has the name of a service."""
    labelled = owner_of(there.labels, repository.app)
    owner = of_repository = labelled or (repository.app if repository.adopted else None)
    others = found.image in repository.elsewhere
    if owner == repository.app and (others or found.image not in repository.services):
        owner = None
    stuck = of_repository is None and there.immutable_tags and found.tags
    locked = "tagged, in a repository of somebody else's with immutable tags" if stuck else ""
    return Item(
        kind=IMAGE,
        name=found.name,
        group=sys.intern(f"{found.image}/{'+'.join(repository.environments)}"),  # of 100 000 items, few groups
        owner=owner,
        uploaded=found.uploaded,
        created=found.built,
        digest=found.digest,
        needs=found.children,
        subject=_subject_of(found.tags),
        tags=found.tags,
        labels=_NO_LABELS,
        size_bytes=found.size_bytes,
        locked="built elsewhere, as slipway.yaml says" if others else locked,
    )


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


async def _exists(package: Package, selector: str) -> bool:
    if selector.startswith("sha256:"):
        return await repositories.image_exists(package.repository, package.name, selector)
    return await repositories.digest_of(package.repository, package.name, selector) is not None
