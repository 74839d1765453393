"""A Dockerfile build from choosing the builder to the image, by buildah or by the built-in builder."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.emulator.artifacts.unpack import unpack
from infra.emulator.builds import bases, choice, context, rootfs
from infra.emulator.builds.bases import Base
from infra.emulator.builds.buildah import Buildah
from infra.emulator.builds.builtin import Builtin, Options, base_names, global_arguments
from infra.emulator.builds.dockerfile import Dockerfile
from infra.emulator.builds.localimages import InBuildah, LocalImage, Stored, as_base
from infra.emulator.builds.mirror import Mirror
from infra.emulator.builds.registry import PushError, Registry

Output = Callable[[str], None]


class DockerError(Exception):
    """`str()` is what docker prints before it exits with `code`."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """A `docker build`, understood."""

    context: Path
    dockerfile: Path
    tags: tuple[str, ...]
    options: Options
    push: bool = False
    caches: tuple[str, ...] = ()  # images whose layers may be taken over; only those, as the machine is a new one
    secrets: Mapping[str, bytes] = field(default_factory=dict, repr=False)  # by id: for RUN --mount=type=secret


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all builds of an emulator share."""

    buildah: Buildah
    mirror: Mirror
    reach: choice.Reach


@dataclass(frozen=True, slots=True)
class Builders:
    """`scratch` is a folder for temporary files; `images` are those that the build has already."""

    workshop: Workshop
    registry: Registry
    scratch: Path
    images: Mapping[str, LocalImage]

    async def build(self, parsed: Dockerfile, request: BuildRequest, output: Output) -> LocalImage:
        """Raises DockerfileError, DockerError, PushError or BuildahError."""
        names = base_names(parsed, request.options)
        found = {name: self._at_hand(name, output) for name in names}
        chosen = await self._choose([name for name, image in found.items() if image is None])
        output(f"Building with {chosen.why}")
        caches = [image for name in request.caches if (image := self._cache(name, output))]
        if chosen.buildah:
            return await self._with_buildah(parsed, found, request, output, cached=bool(caches))
        return await self._built_in(parsed, found, caches, request, output)

    async def _choose(self, elsewhere: list[str]) -> choice.Choice:
        try:
            setting = choice.setting()
        except ValueError as error:
            raise DockerError(str(error)) from error
        installed = choice.installed()
        if setting == "buildah" and not installed:
            raise DockerError(f"{choice.SETTING}=buildah, but buildah is not installed (apt-get install buildah)")
        absent = await self.workshop.reach.absent(elsewhere) if setting == "auto" and installed else []
        return choice.choose(setting, installed, absent)

    def _at_hand(self, name: str, output: Output) -> LocalImage | None:
        """A base that is in this build, in our own registry or in the mirror; None for one from elsewhere."""
        tagged = bases.tagged(name)
        if tagged in self.images:
            return self.images[tagged]
        if bases.is_ours(name):
            return Stored(self.registry.pull(name, output), f" ---> {name} comes from the local Artifact Registry")
        manifest = self.workshop.mirror.find(name)
        if manifest is None:
            return None
        self.workshop.mirror.lend(manifest, self.registry.images.blobs)
        self.registry.images.add_blob(manifest)
        other = ", which made it from packages: it is not the image that has this digest" if "@" in name else ""
        return Stored(manifest, f" ---> {name} comes from the local mirror{other}")

    def _cache(self, name: str, output: Output) -> Stored | None:
        """The image to take layers over from; None when there is none, which fails no build."""
        output(f"importing cache manifest from {name}")
        try:
            return Stored(self.registry.pull(bases.tagged(name), lambda _: None))
        except PushError:
            output(f"ERROR: {name}: not found")
            return None

    async def _with_buildah(
        self,
        parsed: Dockerfile,
        found: Mapping[str, LocalImage | None],
        request: BuildRequest,
        output: Output,
        *,
        cached: bool,
    ) -> LocalImage:
        """With `cached`, what buildah has kept of earlier builds serves as the cache: it knows every step of theirs."""
        arguments, pinned = ["--file", str(request.dockerfile)], dict[str, str]()
        for name, image in found.items():
            known = await self._hand_to_buildah(name, image, output)
            if known and "@" in name:
                pinned[name] = known.id
        arguments += [f"--build-context={name}=container-image://{known}" for name, known in pinned.items()]
        # buildah looks a build context up before it fills ARGs in: what these stand for is named in their place.
        said = global_arguments(parsed, request.options)
        given = dict(request.options.arguments) | {key: pinned[name] for key, name in said.items() if name in pinned}
        arguments += [f"--build-arg={name}={value}" for name, value in given.items()]
        arguments += [f"--label={name}={value}" for name, value in request.options.labels.items()]
        if not cached:
            arguments.append("--no-cache")
        if request.options.target:
            arguments.append(f"--target={request.options.target}")
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:  # which nobody else may read
            arguments += [f"--secret=id={name},src={file}" for name, file in _files(request.secrets, Path(folder))]
            return await self.workshop.buildah.build([*arguments, str(request.context)], self.scratch, output)

    async def _hand_to_buildah(self, name: str, image: LocalImage | None, output: Output) -> InBuildah | None:
        """Makes a base known to buildah by its name; answers what was taken in, which a digest cannot name there."""
        buildah, blobs = self.workshop.buildah, self.registry.cloud.data / "blobs"
        if image is None:
            await buildah.pull(name, self.scratch, output)
            return None
        if isinstance(image, InBuildah):
            await buildah.name(image, name, self.scratch)
            return None
        return await buildah.take_in(name, image, blobs, self.scratch, output)

    async def _built_in(
        self,
        parsed: Dockerfile,
        found: Mapping[str, LocalImage | None],
        caches: Sequence[Stored],
        request: BuildRequest,
        output: Output,
    ) -> LocalImage:
        loop = asyncio.get_running_loop()
        blobs = self.registry.images.blobs
        starts = {name: self._base(name, image) for name, image in found.items()}
        loaded = await asyncio.to_thread(context.load, request.context, request.dockerfile.name)
        output(f"Sending build context to Docker daemon  {loaded.size() / 1000:.4g}kB")
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            files = {name: self._unpacker(base, Path(folder, str(i))) for i, (name, base) in enumerate(starts.items())}
            known = [as_base(image, blobs.read) for image in caches]
            builder = Builtin(
                parsed, request.options, starts, files, known, lambda text: _hand_over(loop, output, text)
            )
            return Stored(await asyncio.to_thread(builder.build, loaded, blobs))

    def _base(self, name: str, image: LocalImage | None) -> Base:
        if isinstance(image, Stored):
            return as_base(image, self.registry.images.blobs.read)
        if image is None and (base := bases.stand_in(name)):
            return base
        raise DockerError(
            f"pull access denied for {name}: neither a network nor the local mirror has the image, and it is no system "
            f"or interpreter that this machine could stand in for. Remedy: slipway emulator mirror {name}"
        )

    def _unpacker(self, base: Base, folder: Path) -> Callable[[], rootfs.Tree]:
        blobs = self.registry.images.blobs

        def files() -> rootfs.Tree:
            if not folder.exists():
                unpack([blobs.path(layer) for layer in base.layers], folder)
            return rootfs.read_folder(folder)

        return files


def _files(secrets: Mapping[str, bytes], folder: Path) -> list[tuple[str, Path]]:
    """Each secret as a file, by its id."""
    found = [(name, folder / str(number)) for number, name in enumerate(secrets)]
    for name, file in found:
        file.write_bytes(secrets[name])
    return found


def _hand_over(loop: asyncio.AbstractEventLoop, output: Output, text: str) -> None:
    """Says something from a thread."""
    loop.call_soon_threadsafe(output, text)
