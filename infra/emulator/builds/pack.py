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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from infra.emulator.builds.bases import PATH
from infra.emulator.builds.builders import BuildRequest, DockerError
from infra.emulator.builds.builtin import Options
from infra.emulator.builds.docker import CommandParser, Docker

Output = Callable[[str], None]
PYTHON = "python:3.12-slim"
NODE = "node:22-slim"
PROCESSES = "cnb/process"  # where an image has a program for each of its processes
FRAMEWORK = "functions-framework"  # https://cloud.google.com/functions/docs/functions-framework
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
    processes: Mapping[str, str] = field(default_factory=dict)  # what else can be started, as a shell would take it

    def dockerfile(self) -> str:
        words = shlex.split(self.start)
        plain = not re.search(r"[$&|;<>`]", self.start)
        one = "" if re.search(r"[&|;]", self.start) else "exec "  # the rest of several would never run
        command = words if plain else ["/bin/sh", "-c", f"{one}{self.start}"]
        settings = "".join(f"ENV {name}={json.dumps(value)}\n" for name, value in self.environment.items())
        install = f"RUN {self.install}\n" if self.install else ""
        others = f"COPY {PROCESSES} /{PROCESSES}\nENV PATH=/{PROCESSES}:{PATH}\n" if self.processes else ""
        start = f"CMD {json.dumps(command)}\n"
        return f"FROM {self.base}\n{settings}WORKDIR /workspace\nCOPY . .\n{install}{others}{start}"

    def write_processes(self, root: Path) -> None:
        """Programs by the names of what else can be started, where the Dockerfile copies them from.

        https://buildpacks.io/docs/for-app-developers/how-to/build-outputs/specify-launch-process/
        """
        for name, command in self.processes.items():
            program = root / PROCESSES / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(f'#!/bin/sh\n{command} "$@"\n', encoding="utf-8")
            program.chmod(0o755)


class Pack:
    def __init__(self, docker: Docker, scratch: Path) -> None:
        self._docker, self._scratch = docker, scratch

    async def run(self, arguments: Sequence[str], cwd: Path, _: Mapping[str, str], output: Output) -> int:
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
        plan.write_processes(root)
        file = self._scratch / "buildpack.Dockerfile"
        file.write_text(plan.dockerfile(), encoding="utf-8")
        await self._docker.build(BuildRequest(root, file, (given.image, *given.tag), Options(), given.publish), output)
        output(f"Successfully built image {given.image}")


def detect(root: Path, settings: Mapping[str, str]) -> Plan:
    """`settings` are what `--env` gave: GOOGLE_ENTRYPOINT and the like. Raises NotDetected."""
    processes = _procfile(root)
    start = settings.get("GOOGLE_ENTRYPOINT") or processes.pop("web", "")
    return replace(_detected(root, start, settings), processes=processes)


def _detected(root: Path, start: str, settings: Mapping[str, str]) -> Plan:
    if (root / "package.json").is_file():
        return _node(root, start, settings.get("GOOGLE_FUNCTION_TARGET", ""))
    if any((root / name).is_file() for name in ("requirements.txt", "main.py", "app.py")) or list(root.glob("*.py")):
        return _python(root, start, settings.get("GOOGLE_FUNCTION_TARGET", ""))
    raise NotDetected("the local Cloud Build builds Python (a .py file or requirements.txt) and Node.js (package.json)")


def _procfile(root: Path) -> dict[str, str]:
    """Commands by the names of the processes that they are of."""
    file = root / "Procfile"
    return dict(re.findall(r"^([\w-]+):\s*(.+?)\s*$", file.read_text(), re.M)) if file.is_file() else {}


def _python(root: Path, start: str, target: str) -> Plan:
    """`target`: the function to serve; '' for an app that serves by itself."""
    main = next((name for name in ("main.py", "app.py") if (root / name).is_file()), "")
    if not start and not main:
        raise NotDetected("for Python, provide a main.py, an app.py, a Procfile with web: or GOOGLE_ENTRYPOINT")
    requirements = root / "requirements.txt"
    wanted = re.sub(r"#.*", "", requirements.read_text()).strip() if requirements.is_file() else ""
    packages = (["-r requirements.txt"] if wanted else []) + ([FRAMEWORK] if target else [])
    install = f"pip install --no-cache-dir {' '.join(packages)}" if packages else ""
    environment = {"PYTHONUNBUFFERED": "TRUE", "PORT": "8080"}
    if target:
        start = f"functions-framework --target={target} --source={main or 'main.py'}"
    return Plan("Python", PYTHON, start or f"python {main}", install, environment)


def _node(root: Path, start: str, target: str) -> Plan:
    package = json.loads((root / "package.json").read_text())
    start = f"npx functions-framework --target={target}" if target else start or _npm_start(package)
    main = next(
        (name for name in (package.get("main"), "server.js", "index.js") if name and (root / name).is_file()), ""
    )
    if not start and not main:
        raise NotDetected('for Node.js, provide a "start" script or a "main" in package.json, or an index.js')
    dependencies = package.get("dependencies") or {}
    added = f" @google-cloud/{FRAMEWORK}" if target and f"@google-cloud/{FRAMEWORK}" not in dependencies else ""
    install = f"npm install --omit=dev --no-audit --no-fund{added}" if dependencies or added else ""
    return Plan("Node.js", NODE, start or f"node {main}", install, {"NODE_ENV": "production", "PORT": "8080"})


def _npm_start(package: Mapping[str, Any]) -> str:
    return str(package.get("scripts", {}).get("start", ""))


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
