"""Instances under podman: on the network where podman is called, with the memory limit of the revision."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import uuid
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.emulator.artifacts.images import Images
from infra.emulator.run.runtime import GRACE_S, Order, port_variable
from infra.emulator.run.workload import Workload

# Within what an unprivileged shell may set; podman's own defaults can exceed that and then nothing starts.
LIMITS = ("--ulimit", "nofile=1024:4096", "--ulimit", "nproc=1024:2048")
NO_MOUNT = ("--storage-opt", "overlay.skip_mount_home=true")  # else the store stays mounted and cannot be removed
# Ways to call podman, tried in this order; the second helps where crun or systemd cannot manage control groups.
VARIANTS = (NO_MOUNT, (*NO_MOUNT, "--runtime", "runc", "--cgroup-manager", "cgroupfs"))
OWN = ("PATH", "HOME", "USER", "TMPDIR", "XDG_RUNTIME_DIR")  # what podman itself needs of the environment
CHECK_TIMEOUT_S = 20.0
LOAD_TIMEOUT_S = 600.0  # of an image of some gigabytes, on a disk that others use too


class Podman:
    name = "podman"
    isolates = os.geteuid() == 0  # else podman makes a user namespace itself, which it cannot do within another

    def __init__(self, images: Images, folder: Path) -> None:
        self._images, self._folder = images, folder
        # podman takes no path of more than 50 characters here
        self._run_root = Path(tempfile.gettempdir(), f"slipway-{zlib.crc32(bytes(folder.absolute())):08x}")
        self._variant: tuple[str, ...] = VARIANTS[0]
        self._refusal: str | None = None  # why podman cannot be used; '' if it can, None if nobody has asked yet
        self._checking = asyncio.Lock()

    async def refusal(self) -> str:
        """Why podman cannot run containers here; '' if it can. Tries it once, in under a second, and cleans up."""
        async with self._checking:
            if self._refusal is None:
                self._refusal = await self._check()
            return self._refusal

    async def prepare(self, workload: Workload, port: int, folder: Path) -> Order:
        image = await self._load(workload.image)
        name = f"slipway-{uuid.uuid4().hex[:12]}"
        env = {**workload.env, **port_variable(port)}
        flags = ["--name", name, "--memory", str(workload.memory_bytes), "--entrypoint", ""]
        if workload.working_dir:
            flags += ["--workdir", workload.working_dir]
        for variable, value in env.items():  # by name where possible: a command line is for everybody to read
            flags += ["--env", f"{variable}={value}" if variable in OWN else variable]
        if bundle := env.get("SSL_CERT_FILE"):
            flags += ["--volume", f"{bundle}:{bundle}:ro"]
        return Order(
            command=self._run(self._variant, *flags, image, *workload.command),
            env={**{variable: value for variable, value in env.items() if variable not in OWN}, **_own_env()},
            cwd=str(folder),
            stop=self._podman(self._variant, "stop", "--time", f"{GRACE_S:.0f}", name),
            cleanup=self._podman(self._variant, "rm", "--force", "--time", "0", name),
        )

    async def remove_leftovers(self) -> None:
        """Ends the containers of an emulator that was killed together with their wardens."""
        if self._folder.exists():
            await self.refusal()

    async def close(self) -> None:
        await asyncio.to_thread(shutil.rmtree, self._run_root, ignore_errors=True)

    async def _check(self) -> str:
        if shutil.which("podman") is None:
            return "podman is not installed"
        root = self._folder / "check"
        _borrow_system(root)
        why = ""
        for variant in VARIANTS:
            command = self._run(
                variant, "--memory", "64m", "--volume", "/usr:/usr:ro", "--rootfs", str(root), "/bin/true"
            )
            code, _, why = await _call(command)
            if code == 0:
                self._variant = variant
                await _call(self._podman(variant, "rm", "--all", "--force", "--time", "0"))
                return ""
        last = why.strip().splitlines()[-1:] or ["it does not say why"]
        return f"podman cannot run a container here ({last[0]})"

    async def _load(self, reference: str) -> str:
        """Brings the image into podman's store; answers its ID there."""
        found = self._images.resolve(reference)
        # podman makes a name from the path, and not every path makes a legal one; by a reference it would find no
        # manifest of Docker's type: https://github.com/containers/image/blob/v5.23.0/oci/layout/oci_transport.go
        layout = self._folder / "layouts" / f"image-{found.digest.removeprefix('sha256:')[:16]}"
        self._write_layout(layout, found.digest, found.media_type)
        pull = self._podman(self._variant, "pull", "--quiet", f"oci:{layout.name}")
        code, out, why = await _call(pull, cwd=layout.parent, timeout_s=LOAD_TIMEOUT_S)
        if code:
            raise RuntimeError(f"podman cannot load {reference}: {why}")
        return out.strip()

    def _write_layout(self, layout: Path, digest: str, media_type: str) -> None:
        """An OCI image layout over the emulator's own blobs."""
        layout.mkdir(parents=True, exist_ok=True)
        (layout / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
        blobs = layout / "blobs"
        if not blobs.is_symlink():
            blobs.symlink_to(self._images.blobs.path(digest).parent.parent, target_is_directory=True)
        descriptor = {
            "mediaType": media_type,
            "digest": digest,
            "size": self._images.blobs.size(digest),
        }
        (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [descriptor]}))

    def _run(self, variant: Sequence[str], *arguments: str) -> list[str]:
        shared = ("--rm", "--network", "host", "--http-proxy=false", "--log-driver", "none", *LIMITS)
        return self._podman(variant, "run", *shared, *arguments)

    def _podman(self, variant: Sequence[str], *arguments: str) -> list[str]:
        store = ("--root", str(self._folder.absolute() / "store"), "--runroot", str(self._run_root))
        return ["podman", *store, *variant, *arguments]


def _own_env() -> Mapping[str, str]:
    return {name: os.environ[name] for name in OWN if name in os.environ}


def _borrow_system(root: Path) -> None:
    """A root file system that has nothing but what will be mounted at /usr."""
    (root / "usr").mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64"):
        link = root / name
        if not link.is_symlink():
            link.symlink_to(f"usr/{name}")


async def _call(
    command: Sequence[str], cwd: Path | None = None, timeout_s: float = CHECK_TIMEOUT_S
) -> tuple[int, str, str]:
    """Exit status, standard output and standard error of a podman command."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=dict(_own_env()),
        cwd=cwd,
    )
    try:
        async with asyncio.timeout(timeout_s):
            out, error = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 124, "", f"it took longer than {timeout_s:g} s"
    return process.returncode or 0, out.decode(), error.decode()
