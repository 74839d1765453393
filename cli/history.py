"""`slipway history` and `slipway status`: what was released, and what serves. Both only read."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from cli.options import Environment, Json, Repository
from cli.runs import use_local_stack

if TYPE_CHECKING:
    from tasks.history.record import ReleaseRecord
    from tasks.history.status import Status
    from tasks.manifest.manifest import Manifest

R = TypeVar("R")


def history_command(
    *,
    environment: Environment,
    repository: Repository = ".",
    limit: Annotated[int, Parameter(help="How many releases, the newest first.")] = 20,
    as_json: Json = False,
) -> int:
    """List the releases of an environment: what, when, by whom, and how each ended."""
    from tasks.history.table import rows

    history = _read(_history(repository, environment, limit), "reading the history")
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in history]))
    else:
        _show(rows(history), "Nothing was released here yet.")
    return 0


def status_command(
    *,
    environment: Annotated[str | None, Parameter(name=["--environment", "-e"], help="Only this environment.")] = None,
    repository: Repository = ".",
    as_json: Json = False,
) -> int:
    """Tell which version should serve and which does, per service, region and environment."""
    found = _read(_status(repository, environment), "reading what serves")
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in found]))
    else:
        _show([_row(each) for each in found], "The manifest has no services.")
    return 0


async def _history(repository: str, environment: str, limit: int) -> list[ReleaseRecord]:
    from tasks.history.store import read_history

    manifest = await _manifest(repository)
    return await read_history(manifest.environment(environment).bucket, manifest.app, environment, limit)


async def _status(repository: str, environment: str | None) -> list[Status]:
    from tasks.history.status import read_status
    from tasks.orchestration.gather import all_of

    manifest = await _manifest(repository)
    names = [environment] if environment else list(manifest.environments)
    found = await all_of([read_status(manifest, manifest.environment(name)) for name in names])
    return [status for statuses in found for status in statuses]


async def _manifest(repository: str) -> Manifest:
    from tasks.manifest.loading import load_manifest
    from tasks.manifest.manifest import MANIFEST_NAME
    from tasks.source.source import Source, open_source

    with TemporaryDirectory(prefix="slipway-") as folder:
        checkout = await open_source(Source(repository=repository), Path(folder) / "checkout")
        return load_manifest(checkout / MANIFEST_NAME)


def _read(reading: Coroutine[Any, Any, R], doing: str) -> R:
    from tasks.failures.explain import to_slipway

    use_local_stack()
    try:
        return asyncio.run(reading)
    except Exception as error:
        raise to_slipway(error, doing=doing) from error


def _row(status: Status) -> dict[str, str]:
    shares = status.current.items()
    current = ", ".join(version if percent == 100 else f"{version} {percent} %" for version, percent in shares)
    return {
        "environment": status.environment,
        "service": status.service,
        "region": status.region,
        "desired": status.desired or "-",
        "current": current or "-",
        "": str(status.standing),
    }


def _show(rows: Sequence[Mapping[str, str]], nothing: str) -> None:
    console = Console()
    if not rows:
        console.print(nothing)
        return
    table = Table(box=None)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    console.print(table, markup=False)
