"""Real container builds with buildah, whose storage is in the emulator's folder.

The flags are those that work without a container engine, without cgroups of one's own and inside other containers:
chroot isolation and the host's network.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from infra.emulator.builds.bases import canonical
from infra.emulator.builds.localimages import InBuildah, Stored, write_layout
from infra.emulator.builds.processes import Processes

Output = Callable[[str], None]


class BuildahError(Exception):
    """A buildah command failed; `str()` is the last thing that it said."""


class Buildah:
    """One storage, shared by all builds for the sake of its cache."""

    def __init__(self, data: Path, processes: Processes) -> None:
        self._folder = (data / "buildah").absolute()
        self._processes = processes
        self._ready = asyncio.Lock()
        self._driver = ""

    async def take_in(self, name: str, image: Stored, blobs: Path, scratch: Path, output: Output) -> InBuildah:
        """Makes an image of the blob store known to buildah, by the name that a Dockerfile gives it where it can.

        buildah makes a name of its own from the path that it pulls from, and not every path is a legal one: this is.
        """
        layout = f"base-{image.id.removeprefix('sha256:')[:16]}"
        with tempfile.TemporaryDirectory(dir=scratch) as folder:
            write_layout(image, blobs, Path(folder, layout))
            found = InBuildah(await self._ask(["pull", "--quiet", f"oci:{layout}"], scratch, Path(folder)))
        if "@" not in name:  # a digest is no name to give
            await self.name(found, name, scratch)
        output(image.origin)
        return found

    async def pull(self, name: str, scratch: Path, output: Output) -> None:
        """Fetches an image from its registry."""
        await self._run(["pull", "--policy", "always", canonical(name)], scratch, output)

    async def name(self, image: InBuildah, name: str, scratch: Path) -> None:
        await self._ask(["tag", image.id, canonical(name)], scratch)

    async def build(self, arguments: Sequence[str], scratch: Path, output: Output) -> InBuildah:
        """`buildah bud` with these further arguments; every base must be at hand. Keeps every layer."""
        id_file = scratch / f"{os.urandom(8).hex()}.id"
        command = ["bud", "--isolation", "chroot", "--network", "host", "--layers", "--timestamp", "0", "--pull=never"]
        command += ["--format", "docker", "--iidfile", str(id_file)]
        await self._run([*command, *arguments], scratch, output)
        return InBuildah(id_file.read_text().strip().removeprefix("sha256:"))

    async def push(
        self,
        image: InBuildah,
        reference: str,
        token: str,
        environment: Mapping[str, str],
        scratch: Path,
        output: Output,
    ) -> str:
        """Pushes to the registry that `environment` leads to; answers the digest."""
        auth, digest = scratch / "auth.json", scratch / f"{os.urandom(8).hex()}.digest"
        credentials = base64.b64encode(f"oauth2accesstoken:{token}".encode()).decode()
        auth.touch(mode=0o600)
        auth.write_text(json.dumps({"auths": {reference.split("/", 1)[0]: {"auth": credentials}}}))
        command = ["push", "--authfile", str(auth), "--digestfile", str(digest), image.id, f"docker://{reference}"]
        await self._run(command, scratch, output, environment)
        return digest.read_text().strip()

    async def _ask(self, arguments: Sequence[str], scratch: Path, cwd: Path | None = None) -> str:
        """The last line of a command's output."""
        lines: list[str] = []
        await self._run(arguments, scratch, lines.append, cwd=cwd)
        return lines[-1].strip() if lines else ""

    async def _run(
        self,
        arguments: Sequence[str],
        scratch: Path,
        output: Output,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        await self._prepare(scratch)
        lines: list[str] = []

        def hear(line: str) -> None:
            lines.append(line)
            output(line)

        env = {**os.environ, "TMPDIR": str(scratch), **(environment or {})}
        if await self._processes.run(self._command(arguments), cwd=cwd or scratch, env=env, output=hear):
            raise BuildahError(_last(lines) or f"buildah {arguments[0]} failed and did not say why")

    def _command(self, arguments: Sequence[str]) -> list[str]:
        """In a mount namespace of its own, so that nothing stays mounted when a build is killed."""
        alone = ["unshare", "--mount"] if os.geteuid() == 0 and shutil.which("unshare") else []
        storage = ["--root", str(self._folder / "root"), "--runroot", str(self._folder / "run")]
        return [*alone, "buildah", *storage, "--storage-driver", self._driver, *arguments]

    async def _prepare(self, scratch: Path) -> None:
        """Before the first command: finds a storage driver and removes what killed builds left in the storage."""
        async with self._ready:
            if self._driver:
                return
            lines: list[str] = []
            for self._driver in ("overlay", "vfs"):
                self._folder.mkdir(parents=True, exist_ok=True)
                command = self._command(["rm", "--all"])
                if not await self._processes.run(command, cwd=scratch, env=os.environ, output=lines.append):
                    return
            self._driver = ""
            why = _last(lines)
            raise BuildahError(f"buildah can use neither the overlay nor the vfs storage driver here: {why}")


def _last(lines: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
