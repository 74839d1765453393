"""How one step is run: by a command that the local Cloud Build has itself, or as a process on this machine."""

from __future__ import annotations

import os
import posixpath
import re
import shlex
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.emulator.builds.processes import Processes

Output = Callable[[str], None]
# arguments, folder, environment, output -> exit code
Command = Callable[[Sequence[str], Path, Mapping[str, str], Output], Awaitable[int]]

WORKSPACE = re.compile(r"(?<![\w./-])/workspace(?![\w.-])")
# Step images (without tag) and the program that each starts; '' where the arguments name it.
ENTRYPOINTS = (
    (r"gcr\.io/cloud-builders/docker|(docker\.io/)?(library/)?docker", "docker"),
    (r"gcr\.io/k8s-skaffold/pack|(docker\.io/)?buildpacksio/pack|gcr\.io/buildpacks/.*", "pack"),
    (r"gcr\.io/cloud-builders/(?P<tool>git|curl|gsutil|gcloud)(-slim)?", ""),
    (r"gcr\.io/google\.com/cloudsdktool/(google-)?cloud-(sdk|cli)", ""),
    (r"(docker\.io/)?(library/)?(ubuntu|debian|busybox|alpine|bash|python|node)", ""),
    (r"gcr\.io/cloud-builders/(ubuntu|busybox)|gcr\.io/distroless/.*", ""),
)


class StepRefused(Exception):
    """A step that cannot be run here; `str()` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Workspace:
    """The folders of one build: `folder` stands for /workspace, `home` for /builder/home."""

    root: Path

    @property
    def folder(self) -> Path:
        return self.root / "workspace"

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def localised(self, text: str) -> str:
        """With /workspace replaced by where it really is."""
        return WORKSPACE.sub(str(self.folder), text)


@dataclass(frozen=True, slots=True)
class Steps:
    """Runs steps in one workspace. `commands` are those that need no process: docker and pack."""

    workspace: Workspace
    start: str  # the folder, relative to the workspace, in which steps start that name none
    commands: Mapping[str, Command]
    processes: Processes

    async def run(self, step: Any, environment: Mapping[str, str], output: Output) -> int:
        """Answers the step's exit code; raises StepRefused before anything has run."""
        default = entrypoint(step.name)
        cwd = self._folder(step.dir_)
        cwd.mkdir(parents=True, exist_ok=True)
        argv = self._arguments(step, default)
        if command := self.commands.get(argv[0]):
            output(f"Already have image (with digest): {step.name}")
            return await command([self.workspace.localised(arg) for arg in argv[1:]], cwd, environment, output)
        return await self._process(step, argv, cwd, environment, output)

    def _folder(self, text: str) -> Path:
        """Raises StepRefused for a folder outside the workspace, which would be one of this machine's own."""
        inside = posixpath.normpath(posixpath.join("/workspace", self.start, text))
        if inside != "/workspace" and not inside.startswith("/workspace/"):
            raise StepRefused(f"dir: {text} is outside /workspace, the one folder that steps have here")
        return self.workspace.folder / posixpath.relpath(inside, "/workspace")

    def _arguments(self, step: Any, default: str) -> list[str]:
        if step.script:
            return self._script(step.script)
        start = step.entrypoint or default
        argv = [*([start] if start else []), *step.args]
        if not argv:
            raise StepRefused(f"{step.name} has neither entrypoint, args nor script: there is nothing to run")
        return argv

    def _script(self, text: str) -> list[str]:
        """A script with a first line that names its interpreter is run as it is, any other by bash."""
        self.workspace.bin.mkdir(parents=True, exist_ok=True)
        file = self.workspace.bin / f"script-{abs(hash(text)):x}"
        file.write_text(self.workspace.localised(text), encoding="utf-8")
        file.chmod(0o755)
        return [str(file)] if text.startswith("#!") else [shutil.which("bash") or "sh", "-e", str(file)]

    async def _process(
        self, step: Any, argv: list[str], cwd: Path, environment: Mapping[str, str], output: Output
    ) -> int:
        path = f"{self.workspace.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        program = shutil.which(argv[0], path=path)
        if program is None:
            raise StepRefused(
                f"step image {step.name} cannot be run by the local Cloud Build: it runs steps as processes on this "
                f"machine, which has no program {argv[0]}. Install it, or leave this step to the real Cloud Build."
            )
        output(f"{step.name} is not pulled: {shlex.quote(argv[0])} runs on this machine, with {cwd} as its folder")
        self.workspace.home.mkdir(parents=True, exist_ok=True)
        own = {"PATH": path, "HOME": str(self.workspace.home), "LANG": "C.UTF-8"}
        given = {name: self.workspace.localised(value) for name, value in environment.items()}
        arguments = [self.workspace.localised(arg) for arg in argv[1:]]
        return await self.processes.run([program, *arguments], cwd=cwd, env={**own, **given}, output=output)


def entrypoint(image: str) -> str:
    """The program that a step image starts; '' if the arguments name it. Raises StepRefused for other images."""
    name = image.partition("@")[0]
    head, _, last = name.rpartition("/")
    name = f"{head}/{last.partition(':')[0]}".lstrip("/")
    for pattern, program in ENTRYPOINTS:
        if match := re.fullmatch(pattern, name):
            return program or match.groupdict().get("tool") or ""
    raise StepRefused(
        f"step image {image} cannot be run by the local Cloud Build: it knows docker, pack, gcloud, gsutil, git, curl "
        "and plain systems (ubuntu, debian, alpine, busybox, bash, python, node). Use one of these, or the real one."
    )
