"""The docker command of a build: build, tag, push and pull over the images that the build knows."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from infra.emulator.builds import dockerfile
from infra.emulator.builds.bases import tagged
from infra.emulator.builds.buildah import BuildahError
from infra.emulator.builds.builders import Builders, BuildRequest, DockerError, Workshop
from infra.emulator.builds.builtin import Options
from infra.emulator.builds.dockerfile import DockerfileError
from infra.emulator.builds.environment import client_environment
from infra.emulator.builds.localimages import LocalImage, Stored
from infra.emulator.builds.registry import PushError, Registry
from infra.emulator.iam.identity import Identity

Output = Callable[[str], None]
# Options of `docker build` that change how it goes, not what comes of it here.
WITHOUT_EFFECT = ("--cache-to", "--network", "--platform", "--progress", "--add-host", "--memory")
SWITCHES_WITHOUT_EFFECT = ("--pull", "--rm", "--force-rm", "--compress", "--load", "--quiet", "-q")
USAGE_ERROR = 125  # what the docker command answers for itself, as opposed to for what it runs


class Docker:
    """What the Docker daemon is to one build. `scratch` is a folder for temporary files."""

    def __init__(self, workshop: Workshop, registry: Registry, scratch: Path) -> None:
        self.images: dict[str, LocalImage] = {}  # by name:tag
        self._workshop, self._registry, self._scratch = workshop, registry, scratch
        self._builders = Builders(workshop, registry, scratch, self.images)

    async def run(self, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str], output: Output) -> int:
        """One docker command; answers its exit code, as a process would."""
        return await self.guarded(self._command(list(arguments), cwd, environment, output), output)

    @staticmethod
    async def guarded(work: Awaitable[None], output: Output) -> int:
        """The exit code that the outcome of `work` amounts to; errors are said."""
        try:
            await work
        except DockerError as error:
            output(str(error))
            return error.code
        except (DockerfileError, PushError) as error:
            output(str(error))
            return 1
        except BuildahError as error:
            output(f"ERROR: {error}")
            return 1
        return 0

    async def _command(self, arguments: list[str], cwd: Path, environment: Mapping[str, str], output: Output) -> None:
        if arguments[:1] in (["buildx"], ["image"]):
            del arguments[0]
        match arguments:
            case ["build", *rest]:
                await self.build(_build_request(rest, cwd, environment), output)
            case ["push", *_, name]:
                await self.push(name, output)
            case ["pull", *_, name]:
                self.images[tagged(name)] = Stored(self._registry.pull(tagged(name), output))
            case ["tag", source, name]:
                self.images[tagged(name)] = self._image(source)
            case ["login" | "version" | "info", *_]:
                output("This is the docker command of the local Cloud Build.")
            case _:
                text = f"docker {' '.join(arguments[:1])}: the local Cloud Build knows build, tag, push and pull"
                raise DockerError(text, USAGE_ERROR)

    def _image(self, name: str) -> LocalImage:
        if tagged(name) not in self.images:
            raise DockerError(f"Error response from daemon: No such image: {tagged(name)}")
        return self.images[tagged(name)]

    async def push(self, name: str, output: Output) -> str:
        """Pushes an image of this build; answers its digest. Raises PushError."""
        image = self.images.get(tagged(name))
        if image is None:
            raise PushError(f"An image does not exist locally with the tag: {name.rsplit(':', 1)[0]}")
        if isinstance(image, Stored):
            return self._registry.push(image.manifest, tagged(name), output)
        self._registry.check(tagged(name), "artifactregistry.repositories.uploadArtifacts")
        cloud = self._registry.cloud
        token = cloud.get(Identity).access_token(self._registry.account)
        environment = client_environment(cloud)
        try:
            digest = await self._workshop.buildah.push(image, tagged(name), token, environment, self._scratch, output)
        except BuildahError as error:
            raise PushError(str(error)) from error
        output(f"{tagged(name).rsplit(':', 1)[-1]}: digest: {digest}")
        return digest

    async def build(self, request: BuildRequest, output: Output) -> None:
        """Raises DockerfileError, DockerError, PushError or BuildahError."""
        if not request.dockerfile.is_file():
            raise DockerError(
                "unable to prepare context: unable to evaluate symlinks in Dockerfile path: "
                f"lstat /workspace/{request.dockerfile.name}: no such file or directory"
            )
        parsed = dockerfile.parse(request.dockerfile.read_text(encoding="utf-8"))
        image = await self._builders.build(parsed, request, output)
        output(f"Successfully built {image.id.removeprefix('sha256:')[:12]}")
        for tag in request.tags:
            self.images[tagged(tag)] = image
            output(f"Successfully tagged {tagged(tag)}")
            if request.push:
                await self.push(tag, output)


class CommandParser(argparse.ArgumentParser):
    """Raises DockerError instead of ending the program."""

    def error(self, message: str) -> NoReturn:
        raise DockerError(f"{self.prog}: {message}", USAGE_ERROR)


def _build_request(arguments: list[str], cwd: Path, environment: Mapping[str, str]) -> BuildRequest:
    """Raises DockerError for what docker would not take either, or for what cannot be done here."""
    parser = CommandParser("docker build", add_help=False, allow_abbrev=False)
    for names in (("-t", "--tag"), ("--build-arg",), ("--label",), ("--cache-from",), ("--secret",)):
        parser.add_argument(*names, action="append", default=[])
    parser.add_argument("-f", "--file", default="")
    parser.add_argument("--target", default="")
    parser.add_argument("--push", action="store_true")
    parser.add_argument("--no-cache", action="store_true")
    for name in WITHOUT_EFFECT:
        parser.add_argument(name, action="append")
    for name in SWITCHES_WITHOUT_EFFECT:
        parser.add_argument(name, action="store_true")
    parser.add_argument("path")
    given = parser.parse_args(arguments)
    root = (cwd / given.path).resolve()
    options = Options(_settings(given.build_arg), _settings(given.label), given.target)
    file = cwd / given.file if given.file else root / "Dockerfile"
    caches = () if given.no_cache else tuple(map(_cache_name, given.cache_from))
    secrets = dict(_secret(text, cwd, environment) for text in given.secret)
    return BuildRequest(root, file, tuple(given.tag), options, given.push, caches, secrets)


def _secret(text: str, cwd: Path, environment: Mapping[str, str]) -> tuple[str, bytes]:
    """The id and the value of `--secret id=ID[,type=env|file][,env=NAME][,src=FILE]`; raises DockerError.

    https://docs.docker.com/build/building/secrets/, github.com/docker/buildx/blob/v0.18.0/util/buildflags/secrets.go
    """
    given = {key: value for key, _, value in (word.partition("=") for word in text.split(","))}
    if unknown := sorted(given.keys() - {"id", "type", "env", "src", "source"}):
        raise DockerError(f"ERROR: failed to parse secret: unexpected key '{unknown[0]}' in '{text}'")
    name, variable = given.get("id", ""), given.get("env", "")
    if not name:
        raise DockerError(f"ERROR: failed to parse secret: missing id in '{text}'")
    source = given.get("src", given.get("source", ""))
    if variable or given.get("type") == "env" or (not source and name in environment):
        variable = variable or source or name
        return name, environment.get(variable, "").encode()
    try:
        return name, (cwd / (source or name)).read_bytes()
    except OSError as error:
        raise DockerError(f"ERROR: failed to stat {source or name}: {error.strerror}") from error


def _cache_name(source: str) -> str:
    """The image of `--cache-from IMAGE` or `--cache-from type=registry,ref=IMAGE`."""
    return dict(word.partition("=")[::2] for word in source.split(",")).get("ref", source)


def _settings(words: Sequence[str]) -> dict[str, str]:
    return dict(word.partition("=")[::2] for word in words)
