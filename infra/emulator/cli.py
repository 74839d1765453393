"""The emulator's commands, mounted as `slipway emulator …`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import resource
import shlex
import signal
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import cyclopts
from cyclopts import Parameter
from filelock import FileLock, Timeout

if TYPE_CHECKING:
    from infra.emulator.server import Settings

app = cyclopts.App(
    name="emulator",
    help="The local Google Cloud: one process that clients take for the real one.",
    default_parameter=Parameter(negative=()),
)
DATA = Path(".slipway/cloud")
UP = Path(".slipway/up.json")  # what `slipway up` leaves where it was started; its state may be elsewhere
Data = Annotated[Path, Parameter(help="Folder that holds the emulator's state.")]
Profile = Annotated[Literal["instant", "brisk", "real"], Parameter(help="How long things take.")]


@app.command
def run(
    *,
    data: Data = DATA,
    project: Annotated[list[str], Parameter(help="Project to have; repeatable.")] | None = None,
    profile: Profile = "brisk",
    port: Annotated[int, Parameter(help="Port of the proxy; 0 takes a free one.")] = 0,
    admin_port: Annotated[int, Parameter(help="Port of the admin API; 0 takes a free one.")] = 0,
    reach: Annotated[
        list[int] | None,
        Parameter(help="Port of this machine that containers find on their own loopback, too; repeatable."),
    ] = None,
) -> None:
    """Run the local Google Cloud until Ctrl-C."""
    gc.disable()  # what is imported and built while starting stays: looking for garbage in it takes 0.1 s
    from infra.emulator.server import Settings

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    projects = tuple(project or ("slipway-demo",))
    settings = Settings(data.absolute(), projects, profile, port, admin_port, tuple(reach or ()))
    with _alone(data):
        _hide_from_git(data)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
            asyncio.run(_serve(settings))
        except OSError as error:  # a port that is taken, a full disk
            _refuse(f"The local Google Cloud cannot run: {error}")


def _alone(data: Path) -> AbstractContextManager[object]:
    """Held while the process runs: two on the same state would undo each other's work."""
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (data / "state.db").exists() or not any(data.iterdir()):  # else the folder holds something of others too
        data.chmod(0o700)
    file = data / "lock"
    try:
        held = FileLock(file, fallback_to_soft=False).acquire(blocking=False)
    except Timeout:
        who = f"A local Google Cloud (process {file.read_text()}) is running on {data} already."
        _refuse(f"{who} Stop it, or choose another folder with --data.")
    file.write_text(str(os.getpid()))
    return held


def _hide_from_git(data: Path) -> None:
    """In an app's repository the folder is no part of the app: it is not committed, and not shipped."""
    (data / ".gitignore").write_text("*\n")


async def _serve(settings: Settings) -> None:
    from infra.emulator.server import Emulator

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with Emulator(settings) as emulator:
        gc.freeze()
        gc.enable()
        print(
            f"Local Google Cloud for {', '.join(settings.projects)}; admin at {emulator.admin_url}",
            flush=True,
        )
        await stop.wait()


@app.command
def env(
    *, data: Data = DATA, as_json: Annotated[bool, Parameter(name="--json", help="Print them as JSON.")] = False
) -> None:
    """Print the variables that point gcloud, Terraform and the client libraries at the local Google Cloud."""
    variables = _word(data)["environment"]
    if as_json:
        print(json.dumps(variables, indent=2))
        return
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")


@app.command
def reset(*, data: Data = DATA) -> None:
    """Forget everything: services, images, builds, buckets, policies."""
    _admin(data, "POST", "/reset")


@app.command
def faults(
    file: Annotated[
        Path | None, Parameter(help="JSON list of faults; - is standard input.", allow_leading_hyphen=True)
    ] = None,
    *,
    data: Data = DATA,
    clear: Annotated[bool, Parameter(help="Set none.")] = False,
) -> None:
    """Show the faults that are set; with FILE or --clear, set them first."""
    if clear:
        _admin(data, "PUT", "/faults", "[]")
    elif file is not None:
        _admin(data, "PUT", "/faults", _read(file))
    print(json.dumps(_admin(data, "GET", "/faults"), indent=2))


@app.command
def mirror(
    *images: Annotated[str, Parameter(help="Images to have, e.g. python:3.12-slim node:22-slim debian:12-slim.")],
    data: Data = DATA,
    archive: Annotated[str, Parameter(help="Address of a Debian archive; this machine's own by default.")] = "",
    suite: Annotated[str, Parameter(help="Its suite, e.g. bookworm; this machine's own by default.")] = "",
) -> None:
    """Make base images from Debian packages (debootstrap, as root), so that builds need no registry."""
    from infra.emulator.builds.debootstrap import Distribution, MirrorError, fill, own_distribution
    from infra.emulator.builds.mirror import Mirror

    try:
        source = Distribution(suite, archive) if archive and suite else own_distribution()
        chosen = Distribution(suite or source.suite, archive or source.address)
        data = _led(data)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        _hide_from_git(data)
        fill(Mirror(data.absolute()), list(images) or ["python:3.12-slim"], chosen, print)
    except MirrorError as error:
        _refuse(str(error))


def _read(file: Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        _refuse(f"The faults cannot be read: {error}")


def _led(data: Path) -> Path:
    """Where nothing else was said: the folder of the local cloud that `slipway up` was started here with."""
    if data == DATA:
        with contextlib.suppress(FileNotFoundError, KeyError):
            return Path(json.loads(UP.read_text())["folder"], DATA.name)
    return data


def _word(data: Path) -> dict[str, Any]:
    """What the running emulator left in its folder; a killed one's is not believed."""
    import httpx  # 0.15 s, which the running emulator need not spend

    data = _led(data)
    try:
        word: dict[str, Any] = json.loads((data / "emulator.json").read_text())
        httpx.get(f"{word['admin']}/health", trust_env=False, timeout=10).raise_for_status()
    except (FileNotFoundError, httpx.HTTPError):
        _refuse(f"No local Google Cloud is running on {data}. Start one with: slipway emulator run --data {data}")
    return word


def _admin(data: Path, verb: str, path: str, body: str | None = None) -> object:
    import httpx

    response = httpx.request(verb, f"{_word(data)['admin']}{path}", content=body, trust_env=False, timeout=30)
    if response.is_error:
        _refuse(f"The emulator refused: {response.json().get('error')}")
    return response.json()


def _refuse(text: str) -> NoReturn:
    """Ends the program: it could not be done as asked."""
    print(f"slipway: {text}", file=sys.stderr)
    sys.exit(2)


def main() -> None:
    app()
