"""google.devtools.artifactregistry.v1: docker images, packages, versions, tags and files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from google.cloud import artifactregistry_v1 as ar
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.message import Message

from infra.emulator.artifacts.catalogue import Tag
from infra.emulator.artifacts.files import files_of
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.listing import cut, equals, name_filter, page, page_size, sort
from infra.emulator.artifacts.references import TAG, Reference, parse_docker_image, parse_package
from infra.emulator.artifacts.repositories import SERVICE, OperationMetadata
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError, invalid, not_found
from infra.emulator.kernel.handlers import Call, rpc
from infra.emulator.projects.projects import Projects

Version = ar.Version.pb()
BatchMetadata = ar.BatchDeleteVersionsMetadata.pb()
RELATED_TAGS = 100  # so many tags at most are shown with a version


class Contents:
    def __init__(self, cloud: Cloud) -> None:
        self._cloud, self._projects, self._catalogue = cloud, cloud.get(Projects), cloud.get(Images).catalogue

    # --- docker images

    @rpc(f"{SERVICE}/ListDockerImages", permission="artifactregistry.dockerimages.list", resource="parent")
    async def list_images(self, request: Any, _: Call) -> Any:
        self._catalogue.repository(request.parent)
        images, token = page(self._catalogue.manifests, f"{request.parent}/dockerImages/", request)
        return ar.ListDockerImagesResponse.pb()(docker_images=images, next_page_token=token)

    @rpc(f"{SERVICE}/GetDockerImage", permission="artifactregistry.dockerimages.get")
    async def get_image(self, request: Any, _: Call) -> Any:
        return self._catalogue.image(parse_docker_image(request.name))

    # --- packages

    @rpc(f"{SERVICE}/ListPackages", permission="artifactregistry.packages.list", resource="parent")
    async def list_packages(self, request: Any, _: Call) -> Any:
        self._catalogue.repository(request.parent)
        packages, token = page(self._catalogue.packages, f"{request.parent}/packages/", request)
        return ar.ListPackagesResponse.pb()(packages=packages, next_page_token=token)

    @rpc(f"{SERVICE}/GetPackage", permission="artifactregistry.packages.get")
    async def get_package(self, request: Any, _: Call) -> Any:
        return self._package(request.name)

    @rpc(f"{SERVICE}/DeletePackage", permission="artifactregistry.packages.delete")
    async def delete_package(self, request: Any, _: Call) -> operations_pb2.Operation:
        self._package(request.name)

        async def work() -> Message:
            await self._cloud.behaviour.pause("artifacts.delete")
            self._catalogue.delete_package(request.name)
            return empty_pb2.Empty()

        return self._operation(request.name, OperationMetadata(), work())

    def _package(self, name: str) -> Any:
        package = self._catalogue.packages.get(name)
        if package is None:
            raise not_found()
        return package

    # --- versions

    @rpc(f"{SERVICE}/ListVersions", permission="artifactregistry.versions.list", resource="parent")
    async def list_versions(self, request: Any, _: Call) -> Any:
        self._package(request.parent)
        keep = name_filter(request.filter)
        prefix = parse_package(request.parent).docker_image  # ends with @: the digests follow
        if request.order_by:
            versions = [self._version(image, request.view) for image in self._catalogue.manifests.list(prefix)]
            kept = [version for version in versions if keep(version.name)]
            shown, token = cut(sort(kept, request.order_by), page_size(request), request.page_token)
        else:
            images, token = self._catalogue.manifests.page(
                prefix, page_size(request), request.page_token, lambda name: keep(parse_docker_image(name).version)
            )
            shown = [self._version(image, request.view) for image in images]
        return ar.ListVersionsResponse.pb()(versions=shown, next_page_token=token)

    @rpc(f"{SERVICE}/GetVersion", permission="artifactregistry.versions.get")
    async def get_version(self, request: Any, _: Call) -> Any:
        return self._version(self._catalogue.image(parse_package(request.name)), request.view)

    @rpc(f"{SERVICE}/DeleteVersion", permission="artifactregistry.versions.delete")
    async def delete_version(self, request: Any, _: Call) -> operations_pb2.Operation:
        reference = parse_package(request.name)
        self._catalogue.check_deletable(reference, force=request.force)

        async def work() -> Message:
            await self._cloud.behaviour.pause("artifacts.delete")
            self._catalogue.delete(reference, force=request.force)
            return empty_pb2.Empty()

        return self._operation(request.name, OperationMetadata(), work())

    @rpc(f"{SERVICE}/BatchDeleteVersions", permission="artifactregistry.versions.delete", resource="parent")
    async def delete_versions(self, request: Any, _: Call) -> operations_pb2.Operation:
        if not request.names:
            raise invalid("names must not be empty", "names")
        references = [parse_package(self._projects.canonical(name)) for name in request.names]
        metadata = BatchMetadata()

        async def work() -> Message:
            await self._cloud.behaviour.pause("artifacts.delete")
            metadata.failed_versions.extend(self._delete_all(references, dry=request.validate_only))
            return empty_pb2.Empty()

        return self._operation(request.names[0], metadata, work(), lambda: metadata)

    def _delete_all(self, references: Iterable[Reference], *, dry: bool) -> list[str]:
        """Deletes what can be deleted, indexes before their children; answers the names of the others."""
        by_kind = sorted(references, key=lambda reference: not self._is_index(reference))
        failed = []
        for reference in by_kind:
            try:
                if dry:
                    self._catalogue.check_deletable(reference)
                else:
                    self._catalogue.delete(reference)
            except RpcError:
                failed.append(reference.version)
        return failed

    def _is_index(self, reference: Reference) -> bool:
        image = self._catalogue.manifests.get(reference.docker_image)
        return bool(image and image.image_manifests)

    def _version(self, image: Any, view: int) -> Any:
        reference = parse_docker_image(image.name)
        version = Version(
            name=reference.version,
            create_time=image.upload_time,
            update_time=image.update_time,
            metadata=_metadata(image),
        )
        if view == ar.VersionView.FULL:
            for tag in image.tags[:RELATED_TAGS]:
                version.related_tags.append(_tag(reference, tag))
        return version

    # --- tags

    @rpc(f"{SERVICE}/ListTags", permission="artifactregistry.tags.list", resource="parent")
    async def list_tags(self, request: Any, _: Call) -> Any:
        self._package(request.parent)
        version = equals(request.filter, "version")
        if version is None:
            tags, token = page(self._catalogue.tags, f"{request.parent}/tags/", request)
        else:
            reference = parse_package(self._projects.canonical(version))
            image = self._catalogue.manifests.get(reference.docker_image)
            found = [_tag(reference, tag) for tag in image.tags] if image else []
            tags, token = cut(found, page_size(request), request.page_token)
        return ar.ListTagsResponse.pb()(tags=tags, next_page_token=token)

    @rpc(f"{SERVICE}/GetTag", permission="artifactregistry.tags.get")
    async def get_tag(self, request: Any, _: Call) -> Any:
        tag = self._catalogue.tags.get(request.name)
        if tag is None:
            raise not_found()
        return tag

    @rpc(f"{SERVICE}/CreateTag", permission="artifactregistry.tags.create", resource="parent")
    async def create_tag(self, request: Any, _: Call) -> Any:
        if not TAG.fullmatch(request.tag_id):
            raise invalid(f"Invalid tag id '{request.tag_id}'.", "tag_id")
        return self._catalogue.tag(self._target(f"{request.parent}/tags/{request.tag_id}", request.tag), create=True)

    @rpc(f"{SERVICE}/UpdateTag", permission="artifactregistry.tags.update", resource="tag.name")
    async def update_tag(self, request: Any, _: Call) -> Any:
        """Creates the tag if it is not there, as the real one does."""
        return self._catalogue.tag(self._target(request.tag.name, request.tag), create=False)

    def _target(self, tag_name: str, tag: Any) -> Reference:
        """The tag called `tag_name` together with the digest that `tag` wants it to name."""
        reference = parse_package(tag_name)
        version = parse_package(self._projects.canonical(tag.version))
        if not version.digest or version.package != reference.package:
            raise invalid("a tag must name a version of its own package", "tag.version")
        return reference.at(version.digest)

    @rpc(f"{SERVICE}/DeleteTag", permission="artifactregistry.tags.delete")
    async def delete_tag(self, request: Any, _: Call) -> empty_pb2.Empty:
        self._catalogue.delete_tag(parse_package(request.name))
        return empty_pb2.Empty()

    # --- files

    @rpc(f"{SERVICE}/ListFiles", permission="artifactregistry.files.list", resource="parent")
    async def list_files(self, request: Any, _: Call) -> Any:
        self._catalogue.repository(request.parent)
        owner = equals(request.filter, "owner")
        keep = name_filter("" if owner else request.filter)
        names = self._catalogue.manifests.names(f"{request.parent}/dockerImages/")
        images = [parse_docker_image(name) for name in names]
        if owner:
            wanted = self._projects.canonical(owner)
            images = [image for image in images if image.version == wanted]
        found = await asyncio.to_thread(files_of, self._catalogue.blobs, images)
        files = [file for file in found if keep(file.name)]
        files = sort(files, request.order_by or "name")
        shown, token = cut(files, page_size(request), request.page_token)
        return ar.ListFilesResponse.pb()(files=shown, next_page_token=token)

    def _operation(self, name: str, metadata: Message, work: Any, current: Any = None) -> operations_pb2.Operation:
        parent = name.partition("/repositories/")[0]
        operation = f"{parent}/operations/{self._cloud.operations.new_id()}"
        return self._cloud.operations.start(operation, metadata, work, current)


def _tag(reference: Reference, tag: str) -> Any:
    return Tag(name=f"{reference.package}/tags/{tag}", version=reference.version)


def _metadata(image: Any) -> struct_pb2.Struct:
    """A version's metadata: its image's fields, camel case, numbers as strings."""
    fields = {"name": image.name, "imageSizeBytes": str(image.image_size_bytes), "mediaType": image.media_type}
    if image.HasField("build_time"):
        fields["buildTime"] = image.build_time.ToJsonString()
    if image.artifact_type:
        fields["artifactType"] = image.artifact_type
    metadata = struct_pb2.Struct()
    for key, value in fields.items():
        metadata.fields[key].string_value = value
    return metadata
