"""What the repositories hold, by name: packages, manifests and tags, and the rules that keep them consistent."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from google.cloud import artifactregistry_v1
from google.protobuf import timestamp_pb2

from infra.emulator.artifacts import builtin
from infra.emulator.artifacts.blobs import Blobs, digest_of
from infra.emulator.artifacts.manifests import Manifest, parse_manifest
from infra.emulator.artifacts.records import DockerImage, describe
from infra.emulator.artifacts.references import Reference, parse_package
from infra.emulator.kernel.errors import RpcError, already_exists, failed_precondition, invalid, not_found
from infra.emulator.kernel.store import Store

Repository = artifactregistry_v1.Repository.pb()
Package = artifactregistry_v1.Package.pb()
Tag = artifactregistry_v1.Tag.pb()
M = TypeVar("M", bound=Callable[..., Any])


def whole(method: M) -> M:
    """All writes of a Catalogue's method reach the disk, or none: a kill in between leaves nothing half done."""

    @functools.wraps(method)
    def run(self: Catalogue, *arguments: Any, **options: Any) -> Any:
        with self._store.transaction():
            return method(self, *arguments, **options)

    return cast("M", run)


class Catalogue:
    """Not for use from threads, except for `blobs`."""

    def __init__(self, store: Store, data: Path) -> None:
        self._store = store
        self.blobs = Blobs(data / "blobs")
        self.repositories = store.messages("artifacts.repositories", Repository)
        self.packages = store.messages("artifacts.packages", Package)
        self.manifests = store.messages("artifacts.manifests", DockerImage)  # by their dockerImages name
        self.tags = store.messages("artifacts.tags", Tag)
        self._parents = store.values("artifacts.parents")  # "<child's version name>/<digest of its index>"
        self._referrers = store.values("artifacts.referrers")  # "<subject's version name>/<digest>" -> descriptor

    def repository(self, name: str) -> Any:
        """Raises NOT_FOUND. The builtin repository comes into being when it is asked for."""
        if name == builtin.REPOSITORY and name not in self.repositories:
            self._make_builtin()
        repository = self.repositories.get(name)
        if repository is None:
            raise not_found()
        return repository

    def find(self, reference: Reference) -> Reference:
        """The reference with the digest of a manifest that exists."""
        self.repository(reference.repository)
        if not reference.digest:
            tag = self.tags.get(reference.tag_name)
            if tag is None:
                raise not_found(f"Tag {reference.tag} of {reference.image} was not found.")
            reference = reference.at(tag.version.rpartition("/")[2])
        if reference.docker_image not in self.manifests:
            raise not_found(f"Manifest {reference.digest} of {reference.image} was not found.")
        return reference

    def image(self, reference: Reference) -> Any:
        """The DockerImage of a reference that has a digest. Raises NOT_FOUND."""
        image = self.manifests.get(reference.docker_image)
        if image is None:
            raise not_found()
        return image

    @whole
    def put(self, reference: Reference, data: bytes, media_type: str = "") -> str:
        """`push` for a parsed reference; one with a digest and no tag stores an untagged manifest."""
        repository = self.repository(reference.repository)
        digest = digest_of(data)
        if reference.digest and reference.digest != digest:
            raise invalid(f"Manifest has digest {digest}, but was pushed as {reference.digest}.")
        reference = reference.at(digest)
        manifest = parse_manifest(data, media_type)
        self._check_complete(reference, manifest)
        if reference.tag:
            self._check_tag_is_free(repository, reference)
        self.blobs.add(data)
        if reference.docker_image not in self.manifests:
            self._record(repository, reference, manifest, len(data))
        if reference.tag:
            self._point(reference)
        return digest

    @whole
    def tag(self, reference: Reference, *, create: bool) -> Any:
        """Points the reference's tag at its digest; `create` refuses a tag that exists."""
        repository = self.repository(reference.repository)
        self.image(reference)
        if create and reference.tag_name in self.tags:
            raise already_exists("the tag already exists")
        self._check_tag_is_free(repository, reference)
        self._point(reference)
        return self.tags.get(reference.tag_name)

    @whole
    def delete_tag(self, reference: Reference) -> None:
        repository = self.repository(reference.repository)
        tag = self.tags.get(reference.tag_name)
        if tag is None:
            raise not_found()
        if repository.docker_config.immutable_tags:
            raise _immutable("delete", reference)
        self._untag(reference.at(tag.version.rpartition("/")[2]))

    @whole
    def delete(self, reference: Reference, *, force: bool = False) -> None:
        """Deletes a manifest; `force` takes its tags along. Raises as `check_deletable` does."""
        self.check_deletable(reference, force=force)
        self._forget(reference, self.image(reference))

    def check_deletable(self, reference: Reference, *, force: bool = False) -> None:
        """Raises NOT_FOUND, and FAILED_PRECONDITION for a manifest that a tag or an index still needs.

        https://cloud.google.com/artifact-registry/docs/repositories/update-repo-settings: with immutable tags,
        deleting a tagged image is not permitted, so `force` does not help there.
        """
        repository = self.repository(reference.repository)
        tags = self.image(reference).tags
        if tags and force and repository.docker_config.immutable_tags:
            raise _immutable("delete", Reference(reference.repository, reference.image, tags[0]))
        if tags and not force:
            raise failed_precondition("GOOGLE_MANIFEST_DANGLING_TAG: Manifest is still referenced by one or more tags")
        if parents := self._parents.names(f"{reference.version}/"):
            raise failed_precondition(
                f"GOOGLE_MANIFEST_DANGLING_PARENT_IMAGE: Manifest {reference.digest} is referenced by image "
                f"{parents[0].rpartition('/')[2]}"
            )

    @whole
    def delete_package(self, name: str) -> None:
        """Deletes a package with all versions and tags."""
        package = parse_package(name)
        repository = self.repository(package.repository)
        if name not in self.packages:
            raise not_found()
        if repository.docker_config.immutable_tags and (tags := self.tags.names(f"{name}/tags/")):
            raise _immutable("delete", parse_package(tags[0]))
        images = package.docker_image  # the beginning of their names: the digest is missing
        self._grow(repository, -sum(image.image_size_bytes for image in self.manifests.list(images)))
        self.manifests.clear(images)
        self.tags.clear(f"{name}/")
        self._parents.clear(f"{name}/")
        self._referrers.clear(f"{name}/")
        self.packages.delete(name)

    @whole
    def delete_repository(self, name: str) -> None:
        self.repository(name)
        for table in (self.packages, self.manifests, self.tags, self._parents, self._referrers):
            table.clear(f"{name}/")
        self.repositories.delete(name)

    def referrers(self, subject: Reference) -> list[dict[str, Any]]:
        """Descriptors of the manifests that name `subject` as theirs."""
        return list(self._referrers.list(f"{subject.version}/"))

    def manifest(self, reference: Reference) -> Manifest:
        return parse_manifest(self.blobs.read(reference.digest), self.image(reference).media_type)

    def _check_complete(self, reference: Reference, manifest: Manifest) -> None:
        for digest in manifest.blobs:
            if digest not in self.blobs:
                raise invalid(f"Manifest references a blob that was not uploaded: {digest}.")
            self.blobs.touch(digest)
        for child in manifest.children:
            if reference.at(child["digest"]).docker_image not in self.manifests:
                raise invalid(f"Manifest references a manifest that was not uploaded: {child['digest']}.")

    def _check_tag_is_free(self, repository: Any, reference: Reference) -> None:
        tag = self.tags.get(reference.tag_name)
        if tag and tag.version != reference.version and repository.docker_config.immutable_tags:
            raise _immutable("update", reference)

    def _record(self, repository: Any, reference: Reference, manifest: Manifest, manifest_bytes: int) -> None:
        now = _now()
        image = describe(self.blobs, reference, manifest, manifest_bytes, now)
        for child in image.image_manifests:
            self._parents.put(f"{reference.at(child.digest).version}/{reference.digest}", {})
        if manifest.subject:
            self._refer(reference, manifest, manifest_bytes)
        self.manifests.put(image.name, image)
        self._touch_package(reference, now)
        self._grow(repository, image.image_size_bytes)

    def _grow(self, repository: Any, size_bytes: int) -> None:
        repository.size_bytes += size_bytes
        repository.update_time.CopyFrom(_now())
        self.repositories.put(repository.name, repository)

    def _refer(self, reference: Reference, manifest: Manifest, size: int) -> None:
        descriptor: dict[str, Any] = {"mediaType": manifest.media_type, "digest": reference.digest, "size": size}
        if manifest.artifact_type:
            descriptor["artifactType"] = manifest.artifact_type
        if manifest.annotations:
            descriptor["annotations"] = manifest.annotations
        self._referrers.put(f"{reference.at(manifest.subject).version}/{reference.digest}", descriptor)

    def _touch_package(self, reference: Reference, now: timestamp_pb2.Timestamp) -> None:
        package = self.packages.get(reference.package) or Package(name=reference.package, create_time=now)
        package.update_time.CopyFrom(now)
        self.packages.put(package.name, package)

    def _point(self, reference: Reference) -> None:
        """Moves the tag; both images' lists of tags follow, so that listing images needs no look at tags."""
        before = self.tags.get(reference.tag_name)
        if before and before.version == reference.version:
            return
        if before:
            self._untag(reference.at(before.version.rpartition("/")[2]))
        image = self.image(reference)
        image.tags[:] = sorted({*image.tags, reference.tag})
        image.update_time.CopyFrom(_now())
        self.manifests.put(image.name, image)
        self.tags.put(reference.tag_name, Tag(name=reference.tag_name, version=reference.version))

    def _untag(self, reference: Reference) -> None:
        image = self.image(reference)
        image.tags.remove(reference.tag)
        image.update_time.CopyFrom(_now())
        self.manifests.put(image.name, image)
        self.tags.delete(reference.tag_name)

    def _forget(self, reference: Reference, image: Any) -> None:
        for tag in image.tags:
            self.tags.delete(Reference(reference.repository, reference.image, tag).tag_name)
        for child in image.image_manifests:
            self._parents.delete(f"{reference.at(child.digest).version}/{reference.digest}")
        if subject := self.manifest(reference).subject:
            self._referrers.delete(f"{reference.at(subject).version}/{reference.digest}")
        self.manifests.delete(image.name)
        self._grow(self.repository(reference.repository), -image.image_size_bytes)

    def _make_builtin(self) -> None:
        docker = artifactregistry_v1.Repository.Format.DOCKER
        repository = Repository(name=builtin.REPOSITORY, format_=docker, create_time=_now())
        self.repositories.put(repository.name, repository)
        manifest = builtin.compose_hello(self.blobs)
        for image in builtin.IMAGES:
            self.put(Reference(builtin.REPOSITORY, image, "latest"), manifest)


def _immutable(verb: str, reference: Reference) -> RpcError:
    return failed_precondition(f"cannot {verb} tag {reference.tag}. The repository has enabled tag immutability")


def _now() -> timestamp_pb2.Timestamp:
    now = timestamp_pb2.Timestamp()
    now.GetCurrentTime()
    return now
