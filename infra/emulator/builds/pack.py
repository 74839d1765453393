"""The pack command of a build: a stand-in for Google's buildpacks that knows Python and Node.js.

It writes the Dockerfile that the buildpacks amount to and has it built like any other.
https://cloud.google.com/docs/buildpacks/service-specific-configs
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.emulator.builds.builders import BuildRequest, DockerError
from infra.emulator.builds.builtin import Options
from infra.emulator.builds.docker import CommandParser, Docker

Output = Callable[[str], None]
PYTHON = "python:3.12-slim"
NODE = "node:22-slim"
NO_EFFECT = ("--builder", "--network", "--run-image", "--pull-policy", "--cache-image", "--descriptor", "--buildpack")


class NotDetected(Exception):
    """No buildpack fits the source; `str()` says what would."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the buildpacks found and what they would do."""

    language: str
    base: str
    start: str  # as a shell would take it
    install: str = ""  # a command, if there are dependencies
    environment: Mapping[str, str] = field(default_factory=dict)

    def dockerfile(self) -> str:
        words = shlex.split(self.start)
        plain = not re.search(r"[$&|;<>`]", self.start)
        command = words if plain else ["/bin/sh", "-c", f"exec {self.start}"]
        settings = "".join(f"ENV {name}={json.dumps(value)}\n" for name, value in self.environment.items())
        install = f"RUN {self.install}\n" if self.install else ""
        return f"FROM {self.base}\n{settings}WORKDIR /workspace\nCOPY . .\n{install}CMD {json.dumps(command)}\n"


class Pack:
    def __init__(self, docker: Docker, scratch: Path) -> None:
        self._docker, self._scratch = docker, scratch

    async def run(self, arguments: Sequence[str], cwd: Path, output: Output) -> int:
        """One pack command; answers its exit code, as a process would."""
        return await self._docker.guarded(self._command(list(arguments), cwd, output), output)

    async def _command(self, arguments: list[str], cwd: Path, output: Output) -> None:
        match arguments:
            case ["config", "default-builder", builder]:
                output(f"Builder {builder} is now the default builder")
                return
            case ["build", *rest]:
                given = _parse(rest)
            case _:
                raise DockerError(f"pack {' '.join(arguments[:1])}: the local Cloud Build knows pack build alone")
        root = (cwd / given.path).resolve()
        output("===> DETECTING")
        try:
            plan = detect(root, dict(setting.partition("=")[::2] for setting in given.env))
        except NotDetected as error:
            raise DockerError(
                f"ERROR: No buildpack groups passed detection.\nERROR: failed to detect: {error}", 20
            ) from error
        output(f"The local stand-in for buildpacks takes the source for {plan.language}, started by: {plan.start}")
        output("===> BUILDING")
        file = self._scratch / "buildpack.Dockerfile"
        file.write_text(plan.dockerfile(), encoding="utf-8")
        await self._docker.build(BuildRequest(root, file, (given.image, *given.tag), Options(), given.publish), output)
        output(f"Successfully built image {given.image}")


def detect(root: Path, settings: Mapping[str, str]) -> Plan:
    """`settings` are what `--env` gave: GOOGLE_ENTRYPOINT and the like. Raises NotDetected."""
    start = settings.get("GOOGLE_ENTRYPOINT") or _procfile(root)
    if (root / "package.json").is_file():
        return _node(root, start)
    if any((root / name).is_file() for name in ("requirements.txt", "main.py", "app.py")) or list(root.glob("*.py")):
        return _python(root, start)
    raise NotDetected("the local Cloud Build builds Python (a .py file or requirements.txt) and Node.js (package.json)")


def _procfile(root: Path) -> str:
    file = root / "Procfile"
    match = re.search(r"^web:\s*(.+?)\s*$", file.read_text(), re.M) if file.is_file() else None
    return match[1] if match else ""


def _python(root: Path, start: str) -> Plan:
    main = next((name for name in ("main.py", "app.py") if (root / name).is_file()), "")
    if not start and not main:
        raise NotDetected("for Python, provide a main.py, an app.py, a Procfile with web: or GOOGLE_ENTRYPOINT")
    requirements = root / "requirements.txt"
    wanted = re.sub(r"#.*", "", requirements.read_text()).strip() if requirements.is_file() else ""
    install = "pip install --no-cache-dir -r requirements.txt" if wanted else ""
    environment = {"PYTHONUNBUFFERED": "TRUE", "PORT": "8080"}
    return Plan("Python", PYTHON, start or f"python {main}", install, environment)


def _node(root: Path, start: str) -> Plan:
    package = json.loads((root / "package.json").read_text())
    start = start or package.get("scripts", {}).get("start", "")
    main = next(
        (name for name in (package.get("main"), "server.js", "index.js") if name and (root / name).is_file()), ""
    )
    if not start and not main:
        raise NotDetected('for Node.js, provide a "start" script or a "main" in package.json, or an index.js')
    install = "npm install --omit=dev --no-audit --no-fund" if package.get("dependencies") else ""
    return Plan("Node.js", NODE, start or f"node {main}", install, {"NODE_ENV": "production", "PORT": "8080"})


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = CommandParser("pack build", add_help=False, allow_abbrev=False)
    parser.add_argument("image")
    parser.add_argument("-p", "--path", default=".")
    parser.add_argument("-e", "--env", action="append", default=[])
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("--publish", action="store_true")
    parser.add_argument("--trust-builder", "-q", "--quiet", "-v", "--verbose", action="store_true")
    parser.add_argument("-B", "--env-file", action="append")
    for name in NO_EFFECT:
        parser.add_argument(name, action="append")
    return parser.parse_args(arguments)
