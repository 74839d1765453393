"""Base images: where each one comes from, and what stands in for one that cannot be had."""

from __future__ import annotations

import platform
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.emulator.artifacts.builtin import AS_PROCESS
from infra.emulator.artifacts.references import HOST

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Families whose programs this machine can be expected to have itself: the image then runs here as a process.
INTERPRETERS = {"python": ("python3", "python"), "node": ("node",)}
SYSTEMS = frozenset({"alpine", "bash", "busybox", "debian", "ubuntu", "buildpack-deps", "distroless"})


@dataclass(frozen=True, slots=True)
class Base:
    """What a stage starts from: the OCI configuration and the layers' blobs."""

    config: dict[str, Any]
    layers: tuple[str, ...] = ()
    note: str = ""  # for the build's log: where it came from and what follows from that

    @property
    def diff_ids(self) -> list[str]:
        return list(self.config.get("rootfs", {}).get("diff_ids", ()))

    @property
    def settings(self) -> dict[str, Any]:
        """Env, Cmd and so on."""
        return dict(self.config.get("config") or {})


SCRATCH = Base({"config": {"Env": [f"PATH={PATH}"]}})


def is_ours(reference: str) -> bool:
    """Whether the reference names an Artifact Registry host, which here is the emulator itself."""
    return bool(HOST.match(reference))


def tagged(name: str) -> str:
    """With `:latest` where there is neither tag nor digest."""
    return name if "@" in name or ":" in name.rsplit("/", 1)[-1] else f"{name}:latest"


def canonical(reference: str) -> str:
    """`python:3.12` as docker.io/library/python:3.12; a missing tag is latest."""
    host, slash, rest = reference.partition("/")
    if not slash or not re.search(r"[.:]|^localhost$", host):
        host, rest = "docker.io", reference if slash else f"library/{reference}"
    return tagged(f"{host}/{rest}")


def stand_in(reference: str) -> Base | None:
    """An empty base for an image whose program this machine has, or that is a bare system; None for others."""
    family = re.split(r"[:@]", canonical(reference).split("/", 1)[1])[0]
    names = set(re.split(r"[/-]", family))
    for name, programs in INTERPRETERS.items():
        if any(part.rstrip("0123456789").removesuffix("js") == name for part in names):
            return _empty(reference, _interpreter(name, programs))
    return _empty(reference, f"this machine's own system ({platform.system()})") if names & SYSTEMS else None


def _interpreter(name: str, programs: tuple[str, ...]) -> str:
    if name == "python":
        return f"this machine's own Python {platform.python_version()}"
    found = next((path for program in programs if (path := shutil.which(program))), None)
    return f"this machine's own {name} ({found})" if found else f"this machine, which has no {name}: it will not start"


def _empty(reference: str, runtime: str) -> Base:
    settings = {"Env": [f"PATH={PATH}", "LANG=C.UTF-8"], "Labels": {AS_PROCESS: "true"}}
    note = (
        f"{reference} is in neither the network's reach nor the local mirror, so the base is empty: "
        f"the image holds the app alone and runs on {runtime}"
    )
    return Base({"config": settings}, note=note)


def environment(settings: Mapping[str, Any]) -> dict[str, str]:
    """The Env list of an image's configuration as a dict."""
    return dict(entry.partition("=")[::2] for entry in settings.get("Env") or ())
