"""Instances as plain processes, run from the image's unpacked files: for machines without a container engine."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from infra.emulator.artifacts.images import Images
from infra.emulator.run.runtime import Order, port_variable
from infra.emulator.run.workload import Workload

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PYTHONS = ("python", "python3")


class Processes:
    name = "process"
    isolates = True

    def __init__(self, images: Images) -> None:
        self._images = images

    async def prepare(self, workload: Workload, port: int, folder: Path) -> Order:
        root = folder / "root"
        await self._images.unpack(workload.image, root)
        cwd = inside(root, workload.working_dir)
        cwd.mkdir(parents=True, exist_ok=True)
        env = {name: _located(root, value) for name, value in workload.env.items()}
        env["PATH"] = _search_path(root, workload.env.get("PATH", DEFAULT_PATH))
        env |= {**port_variable(port), "HOME": str(root)}
        return Order(command_line(root, cwd, workload.command, env["PATH"]), env, str(cwd))


def command_line(root: Path, cwd: Path, command: tuple[str, ...], path: str) -> list[str]:
    """The command with what lies in the image found there: programs and absolute file names alike."""
    if not command:
        return ["/no-command-in-image"]
    return [_program(root, cwd, command[0], path), *(_located(root, argument) for argument in command[1:])]


def inside(root: Path, path: str) -> Path:
    """Where an absolute path of the image lies on this machine."""
    return root / path.lstrip("/")


def _program(root: Path, cwd: Path, program: str, path: str) -> str:
    """The image's own program if it has it; else this machine's python for python; else this machine's program."""
    if "/" in program:
        own = inside(root, program) if program.startswith("/") else cwd / program
        if own.exists():
            return str(own)
    elif (found := shutil.which(program, path=path)) and (Path(found).is_relative_to(root) or program not in PYTHONS):
        return found
    if Path(program).name.startswith(PYTHONS):
        return getattr(sys, "_base_executable", None) or sys.executable
    return shutil.which(Path(program).name) or program


def _located(root: Path, text: str) -> str:
    """A file name, or a list of them as in PYTHONPATH, led into the image where the file exists there."""
    parts = text.split(os.pathsep)
    return os.pathsep.join(
        str(inside(root, part)) if part.startswith("/") and part != "/" and inside(root, part).exists() else part
        for part in parts
    )


def _search_path(root: Path, path: str) -> str:
    """The image's directories first, then this machine's."""
    inner = [str(inside(root, part)) for part in path.split(os.pathsep) if part.startswith("/")]
    return os.pathsep.join([*inner, *DEFAULT_PATH.split(os.pathsep)])
