"""The docker command of a build: build, tag, push and pull over the images that the build knows."""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from infra.emulator.artifacts.manifests import parse_manifest
from infra.emulator.artifacts.unpack import unpack
from infra.emulator.build import bases, context, dockerfile, rootfs
from infra.emulator.build.bases import Base
from infra.emulator.build.builtin import Builtin, Options, base_names
from infra.emulator.build.dockerfile import Dockerfile, DockerfileError
from infra.emulator.build.registry import PushError, Registry

Output = Callable[[str], None]
# Options of `docker build` that change how it goes, not what comes of it here.
WITHOUT_EFFECT = ("--cache-from", "--cache-to", "--network", "--platform", "--progress", "--add-host", "--memory")
SWITCHES_WITHOUT_EFFECT = ("--no-cache", "--pull", "--rm", "--force-rm", "--compress", "--load", "--quiet", "-q")
USAGE_ERROR = 125  # what the docker command answers for itself, as opposed to for what it runs


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


def tagged(name: str) -> str:
    """With `:latest` where there is neither tag nor digest."""
    return name if "@" in name or ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


@dataclass
class Docker:
    """What the Docker daemon is to one build. `scratch` is a folder for temporary files."""

    registry: Registry
    scratch: Path
    images: dict[str, bytes] = field(default_factory=dict)  # name:tag -> manifest; its blobs are stored

    async def run(self, arguments: Sequence[str], cwd: Path, output: Output) -> int:
        """One docker command; answers its exit code, as a process would."""
        try:
            await self._command(list(arguments), cwd, output)
        except DockerError as error:
            output(str(error))
            return error.code
        except (DockerfileError, PushError) as error:
            output(str(error))
            return 1
        return 0

    async def _command(self, arguments: list[str], cwd: Path, output: Output) -> None:
        if arguments[:1] == ["buildx"] or arguments[:1] == ["image"]:
            del arguments[0]
        match arguments:
            case ["build", *rest]:
                await self.build(_build_request(rest, cwd), output)
            case ["push", *_, name]:
                self.push(tagged(name), output)
            case ["pull", *_, name]:
                self.images[tagged(name)] = self.registry.pull(tagged(name), output)
            case ["tag", source, name]:
                self.images[tagged(name)] = self.image(source)
            case ["login" | "version" | "info", *_]:
                output("This is the docker command of the local Cloud Build.")
            case _:
                raise DockerError(
                    f"docker {' '.join(arguments[:1])}: the local Cloud Build knows build, tag, push and pull",
                    USAGE_ERROR,
                )

    def image(self, name: str) -> bytes:
        """The manifest of an image of this build. Raises DockerError."""
        if tagged(name) not in self.images:
            raise DockerError(f"Error response from daemon: No such image: {tagged(name)}")
        return self.images[tagged(name)]

    def push(self, name: str, output: Output) -> str:
        """Pushes an image of this build; answers its digest. Raises PushError."""
        if tagged(name) not in self.images:
            raise PushError(f"An image does not exist locally with the tag: {name.rsplit(':', 1)[0]}")
        return self.registry.push(self.images[tagged(name)], tagged(name), output)

    async def build(self, request: BuildRequest, output: Output) -> None:
        """Raises DockerfileError, DockerError or PushError."""
        if not request.dockerfile.is_file():
            raise DockerError(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: "
                f"lstat /workspace/{request.dockerfile.name}: no such file or directory"
            )
        parsed = dockerfile.parse(request.dockerfile.read_text(encoding="utf-8"))
        loaded = await asyncio.to_thread(context.load, request.context, request.dockerfile.name)
        output(f"Sending build context to Docker daemon  {loaded.size() / 1000:.4g}kB")
        manifest = await self._builtin(parsed, request.options, loaded, output)
        output(f"Successfully built {parse_manifest(manifest).config['digest'].removeprefix('sha256:')[:12]}")
        for tag in request.tags:
            self.images[tagged(tag)] = manifest
            output(f"Successfully tagged {tagged(tag)}")
            if request.push:
                self.push(tag, output)

    async def _builtin(self, parsed: Dockerfile, options: Options, loaded: context.Context, output: Output) -> bytes:
        found = {name: self._base(name, output) for name in base_names(parsed, options)}
        loop = asyncio.get_running_loop()
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            files = {name: self._unpacker(base, Path(folder, str(i))) for i, (name, base) in enumerate(found.items())}
            builder = Builtin(parsed, options, found, files, lambda text: _hand_over(loop, output, text))
            return await asyncio.to_thread(builder.build, loaded, self.registry.cloud.images.blobs)

    def _base(self, name: str, output: Output) -> Base:
        blobs = self.registry.cloud.images.blobs
        if tagged(name) in self.images:
            return _from_manifest(self.images[tagged(name)], blobs.read, f"{name} was built by an earlier step")
        if bases.is_ours(name):
            manifest = self.registry.pull(name, output)
            return _from_manifest(manifest, blobs.read, f"{name} comes from the local Artifact Registry")
        if base := bases.stand_in(name):
            return base
        raise DockerError(
            f"pull access denied for {name}: neither a network nor the local mirror has the image, and it is no system "
            f"or interpreter that this machine could stand in for. Remedy: slipway emulator mirror {name}"
        )

    def _unpacker(self, base: Base, folder: Path) -> Callable[[], rootfs.Tree]:
        blobs = self.registry.cloud.images.blobs

        def files() -> rootfs.Tree:
            if not folder.exists():
                unpack([blobs.path(layer) for layer in base.layers], folder)
            return rootfs.read_folder(folder)

        return files


def _hand_over(loop: asyncio.AbstractEventLoop, output: Output, text: str) -> None:
    """Says something from a thread."""
    loop.call_soon_threadsafe(output, text)


def _from_manifest(data: bytes, read: Callable[[str], bytes], note: str) -> Base:
    manifest = parse_manifest(data)
    layers = tuple(layer["digest"] for layer in manifest.layers)
    return Base(json.loads(read(manifest.config["digest"])), layers, note)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise DockerError(f"{self.prog}: {message}", USAGE_ERROR)


def _build_request(arguments: list[str], cwd: Path) -> BuildRequest:
    """Raises DockerError for what docker would not take either, or for what cannot be done here."""
    parser = _Parser("docker build", add_help=False, allow_abbrev=False)
    for names in (("-t", "--tag"), ("--build-arg",), ("--label",)):
        parser.add_argument(*names, action="append", default=[])
    parser.add_argument("-f", "--file", default="")
    parser.add_argument("--target", default="")
    parser.add_argument("--push", action="store_true")
    for name in WITHOUT_EFFECT:
        parser.add_argument(name, action="append")
    for name in SWITCHES_WITHOUT_EFFECT:
        parser.add_argument(name, action="store_true")
    parser.add_argument("path")
    given = parser.parse_args(arguments)
    root = (cwd / given.path).resolve()
    options = Options(_settings(given.build_arg), _settings(given.label), given.target)
    file = cwd / given.file if given.file else root / "Dockerfile"
    return BuildRequest(root, file, tuple(given.tag), options, given.push)


def _settings(words: Sequence[str]) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in words)
