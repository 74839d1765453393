"""`slipway history`, `status` and `figures`: what was released, what serves, how it went. All only read."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter
from rich.console import Console

from cli.local import use_local_stack
from cli.options import Environment, Folder, Json, Repository
from cli.tables import show
from tasks.failures.errors import ParameterError

if TYPE_CHECKING:
    from tasks.history.record import ReleaseRecord
    from tasks.history.status import Status
    from tasks.manifest.manifest import Manifest
    from tasks.observe.figures import Figures

R = TypeVar("R")


def history_command(
    *,
    environment: Environment,
    repository: Repository = ".",
    folder: Folder = None,
    limit: Annotated[int, Parameter(help="How many releases, the newest first.")] = 20,
    as_json: Json = False,
) -> int:
    """List the releases of an environment: what, when, by whom, and how each ended."""
    from tasks.history.table import rows

    history = reading(_history(repository, folder, environment, limit), "reading the history")
    if as_json:
        print(json.dumps([record.model_dump(mode="json") for record in history]))
    else:
        _show(rows(history), "Nothing was released here yet.")
    return 0


def status_command(
    *,
    environment: Annotated[str | None, Parameter(name=["--environment", "-e"], help="Only this environment.")] = None,
    repository: Repository = ".",
    folder: Folder = None,
    as_json: Json = False,
) -> int:
    """Tell which version should serve and which does, per service, region and environment."""
    found = reading(_status(repository, folder, environment), "reading what serves")
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in found]))
    else:
        _show([_row(each) for each in found], "The manifest has no services.")
    return 0


def figures_command(
    *,
    environment: Annotated[str | None, Parameter(name=["--environment", "-e"], help="Only this environment.")] = None,
    days: Annotated[float, Parameter(help="Of releases that began within so many days.")] = 30,
    objective: Annotated[float, Parameter(help="Share of releases that are to succeed, for the error budget.")] = 0.995,
    repository: Repository = ".",
    folder: Folder = None,
    as_json: Json = False,
) -> int:
    """Tell in figures how releases went: how often, how fast, how well."""
    from tasks.observe.figures import rows

    if days <= 0 or not 0 <= objective <= 1:
        raise ParameterError("Of no days there are no figures, and an objective is a share from 0 to 1.")
    found = reading(_figures(repository, folder, environment, days, objective), "reading the history")
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in found], default=str))
        return 0
    for each in found:
        span = f"{each.environment}: {each.since:%Y-%m-%d} to {each.until:%Y-%m-%d}"
        show(Console(), rows(each), span)
    return 0


async def _figures(
    repository: str, folder: str | None, environment: str | None, days: float, objective: float
) -> list[Figures]:
    from tasks.observe.figures import figures
    from tasks.observe.read import read_since

    manifest = await described(repository, folder)
    until = datetime.now(UTC)
    since = until - timedelta(days=days)
    found = []
    for name in [environment] if environment else list(manifest.environments):
        history = await read_since(manifest.environment(name).bucket, manifest.app, name, since)
        found.append(figures(name, history, since, until, objective))
    return found


async def _history(repository: str, folder: str | None, environment: str, limit: int) -> list[ReleaseRecord]:
    from tasks.history.store import read_history

    manifest = await described(repository, folder)
    return await read_history(manifest.environment(environment).bucket, manifest.app, environment, limit)


async def _status(repository: str, folder: str | None, environment: str | None) -> list[Status]:
    from tasks.history.status import read_status
    from tasks.orchestration.gather import all_of

    manifest = await described(repository, folder)
    names = [environment] if environment else list(manifest.environments)
    found = await all_of([read_status(manifest, manifest.environment(name)) for name in names])
    return [status for statuses in found for status in statuses]


async def described(repository: str, folder: str | None) -> Manifest:
    from tasks.source.described import read_manifest
    from tasks.source.source import Source, open_source

    with TemporaryDirectory(prefix="slipway-") as workdir:
        checkout = await open_source(Source(repository=repository, folder=folder), Path(workdir) / "checkout")
        return await read_manifest(checkout)


def reading(work: Coroutine[Any, Any, R], doing: str) -> R:
    from tasks.failures.explain import to_slipway

    use_local_stack()
    try:
        return asyncio.run(work)
    except Exception as error:
        raise to_slipway(error, doing=doing) from error


def _row(status: Status) -> dict[str, str]:
    shares = status.current.items()
    current = ", ".join(version if percent == 100 else f"{version} {percent} %" for version, percent in shares)
    return {
        "environment": status.environment,
        "service": status.service if status.kind == "service" else f"{status.service} ({status.kind})",
        "region": status.region,
        "desired": status.desired or "-",
        "current": current or "-",
        "": str(status.standing),
    }


def _show(rows: Sequence[Mapping[str, str]], nothing: str) -> None:
    if rows:
        show(Console(), rows)
    else:
        print(nothing)
