"""`slipway up`: everything on this machine; with --demo, a real app is shipped to it."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cli.processes import ROOT
from cli.results import show
from cli.runs import run_deployment
from cli.several import SEVERAL, several
from cli.stack import Stack, local_stack
from tasks.failures.errors import StackFailed

DEMO_APP = ROOT / "examples" / "storefront"
DEMO_ENVIRONMENT = "production"
DEMO_PROJECTS = ("storefront-production", "storefront-staging")
DEMO_TAGS = ("v0.9.0", "v1.0.0")


async def up(
    folder: Path, projects: list[str], reach: Sequence[int], *, demo: bool, once: bool, scale: bool, console: Console
) -> int:
    """Runs the local stack until Ctrl-C, or with `once` until the demo has ended; answers the exit code."""
    stop, busy = asyncio.Event(), True
    all_projects = [*(DEMO_PROJECTS if demo else ()), *projects]  # `slipway emulator env` is about the first

    async def run() -> int:
        nonlocal busy
        started = time.monotonic()
        console.print(f"Starting the local Google Cloud and Prefect{f', {SEVERAL}' if scale else ''} …")
        async with local_stack(folder, all_projects, several() if scale else None, reach) as stack:
            console.print(f"Ready after {time.monotonic() - started:.1f} s.  Prefect UI: {stack.ui_url}")
            code = await _demo(stack, folder, console) if demo else 0
            busy = False
            if not once:
                console.print(_hints(stack, folder), markup=False, highlight=False)
                await stop.wait()
                console.print("Stopping …")
            return code

    def interrupt() -> None:
        """The first time, what is under way is cancelled; how the stack ends is never cut short."""
        if busy and not stop.is_set():
            work.cancel()
        stop.set()

    work = asyncio.create_task(run())
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    try:
        return await work
    except asyncio.CancelledError:
        return 130


async def _demo(stack: Stack, folder: Path, console: Console) -> int:
    repository = make_repository(folder / "storefront")
    console.print(f"Shipping {repository} to {DEMO_ENVIRONMENT} …")
    began = time.monotonic()
    outcome = await run_deployment(
        f"deploy/{DEMO_ENVIRONMENT}", {"source": {"repository": str(repository)}}, console, stack.api_url
    )
    show(outcome, time.monotonic() - began, console)
    return 0 if outcome.ok else 1


def make_repository(folder: Path) -> Path:
    """The storefront in a git repository of its own, with a little history and release tags."""
    if not (folder / ".git").is_dir():
        shutil.copytree(DEMO_APP, folder, ignore=shutil.ignore_patterns("__pycache__"))
        _git(folder, "init", "--quiet", "--initial-branch=main")
        for tag in DEMO_TAGS:
            (folder / "CHANGELOG.md").open("a").write(f"{tag}\n")
            _git(folder, "add", "--all")
            _git(folder, "commit", "--quiet", f"--message=Release {tag}")
            _git(folder, "tag", tag)
    return folder.absolute()


def _git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Storefront", "-c", "user.email=storefront@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StackFailed(f"git {arguments[0]} failed in {folder}: {done.stderr.strip()}", "install git 2.28 or newer.")


def _hints(stack: Stack, folder: Path) -> str:
    slipway = own_command()
    return (
        f"\nPrefect UI   {stack.ui_url}\n"
        f"gcloud       eval $({slipway} emulator env --data {shlex.quote(str(folder / 'cloud'))})\n"
        f"Ship again   {slipway} deploy --environment production --repository REPOSITORY\n"
        "Ctrl-C ends everything."
    )


def own_command() -> str:
    """How a shell finds the program that is running: by its name only where that is on PATH."""
    return "slipway" if shutil.which("slipway") else shlex.quote(str(Path(sys.executable).with_name("slipway")))
