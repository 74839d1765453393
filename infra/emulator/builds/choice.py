"""Which builder a `docker build` gets, and why."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from infra.emulator.builds.bases import canonical

SETTING = "SLIPWAY_EMULATOR_BUILDER"  # buildah, builtin or auto
PROBE_TIMEOUT_S = 2.0
PROBE_KEEP_S = 60.0
REGISTRIES = {"docker.io": "registry-1.docker.io"}


@dataclass(frozen=True, slots=True)
class Choice:
    buildah: bool
    why: str  # for the build's log


def choose(setting: str, installed: bool, absent: Sequence[str]) -> Choice:
    """`absent` are base images that are not at hand and whose registries do not answer."""
    if setting == "builtin":
        return Choice(False, f"the built-in builder, because {SETTING}=builtin")
    if setting == "buildah":
        return Choice(True, f"buildah, because {SETTING}=buildah")
    if not installed:
        return Choice(False, "the built-in builder, because buildah is not installed")
    if absent:
        names = " and ".join(absent)
        return Choice(False, f"the built-in builder, because neither a network nor the local mirror has {names}")
    return Choice(True, "buildah, which is installed and can have every base image")


def setting() -> str:
    """Raises ValueError for a setting that is none."""
    value = os.environ.get(SETTING, "auto")
    if value not in ("auto", "buildah", "builtin"):
        raise ValueError(f"{SETTING}={value}: it must be auto, buildah or builtin")
    return value


def installed() -> bool:
    return shutil.which("buildah") is not None


class Reach:
    """Whether registries answer; asked at most once a minute each."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, bool]] = {}

    async def absent(self, references: Sequence[str]) -> list[str]:
        """Those whose registry does not answer."""
        hosts = {reference: canonical(reference).split("/", 1)[0] for reference in references}
        answers = dict(zip(hosts, await asyncio.gather(*map(self._answers, hosts.values())), strict=True))
        return [reference for reference in references if not answers[reference]]

    async def _answers(self, host: str) -> bool:
        asked, answer = self._known.get(host, (0.0, False))
        if not asked or time.monotonic() - asked > PROBE_KEEP_S:
            answer = await _probe(f"https://{REGISTRIES.get(host, host)}/v2/")
            self._known[host] = (time.monotonic(), answer)
        return answer


async def _probe(url: str) -> bool:
    """Any answer of the registry's own will do: most ask for credentials first."""
    timeout = aiohttp.ClientTimeout(total=PROBE_TIMEOUT_S)
    try:
        async with aiohttp.ClientSession(timeout=timeout, trust_env=True) as session, session.get(url) as response:
            return response.status in (200, 401)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
