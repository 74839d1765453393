"""`slipway logs`: the log of a run, from Prefect while it is there, else as it is kept in the bucket of the records."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

from cyclopts import Parameter
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from cli.follow import ENGINE_CHATTER, LEVEL_STYLES, Following
from cli.history import described, reading
from cli.options import Folder, Json, Repository
from cli.runs import api_url, refusals
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError, PrefectUnavailable
from tasks.names.tags import SHIPPING_FLOWS, tags_of

if TYPE_CHECKING:
    from tasks.observe.archive import Shelf
    from tasks.observe.kept import KeptLog

URL_MINUTES = 15
Give = Callable[["Shelf", str], Awaitable["KeptLog | str"]]
Url = Annotated[
    bool, Parameter(name="--url", help=f"Print an address to download the kept log, good for {URL_MINUTES} minutes.")
]
Account = Annotated[
    str | None,
    Parameter(name="--account", help="Service account that signs the address; by default the one we act as."),
]
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def logs_command(
    run: Annotated[str | None, Parameter(help="Id, link or name of a run; by default the newest one.")] = None,
    /,
    *,
    environment: Annotated[str | None, Parameter(name=["--environment", "-e"], help="Of a run to there.")] = None,
    app: Annotated[str | None, Parameter(help="Which app; by default that of slipway.yaml.")] = None,
    follow: Annotated[bool, Parameter(name=["--follow", "-f"], help="Go on until the run has ended.")] = False,
    archive: Annotated[bool, Parameter(help="As it is kept, also where Prefect has it still.")] = False,
    url: Url = False,
    account: Account = None,
    repository: Repository = ".",
    folder: Folder = None,
    as_json: Json = False,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    if account and not url:
        raise ParameterError("Nothing is to be signed.", "leave --account out, or ask for an address with --url.")
    if not run and not environment:
        raise ParameterError("Nothing says which run.", "name one, or its environment with --environment.")
    wanted = _Wanted(run, environment, app, repository, folder)
    console = Console()
    if follow:
        return reading(_follow(wanted, console), "following the run")
    if url:
        print(reading(_found(wanted, partial(_signed, account=account), kept=True), "signing the address"))
        return 0
    found = reading(_found(wanted, _read, kept=archive), "reading the log")
    assert not isinstance(found, str)
    if as_json:
        print(found.model_dump_json())
    else:
        _show(console, found)
    return 0


class _Wanted:
    """What was asked for."""

    def __init__(
        self, run: str | None, environment: str | None, app: str | None, repository: str, folder: str | None
    ) -> None:
        found = ID.search(run or "")
        self.id = UUID(found[0]) if found else None
        self.name = None if found else run
        self.environment, self._app, self._repository, self._folder = environment, app, repository, folder

    @property
    def said(self) -> str:
        return str(self.id or self.name or f"to {self.environment}")

    async def app(self) -> str:
        return self._app or (await described(self._repository, self._folder)).app

    async def shelf(self) -> Shelf | None:
        """Where slipway.yaml says that the log is kept; None where no environment is named."""
        from tasks.observe.archive import Shelf

        if self.environment is None:
            return None
        manifest = await described(self._repository, self._folder)
        return Shelf(manifest.environment(self.environment).bucket, manifest.app, self.environment)


async def _found(wanted: _Wanted, give: Give, *, kept: bool) -> KeptLog | str:
    """The log from Prefect unless it is to be the one that is kept; of that one, what `give` makes of it."""
    said = PrefectUnavailable("No Prefect server was asked.")
    try:
        url = api_url()
        with temporary_settings({PREFECT_API_URL: url}), refusals(url):
            async with get_client() as client:
                run = await _run(client, wanted)
                if run and not kept and (log := await _in_prefect(client, run)).lines:
                    return log
                if place := await _place(client, wanted, run.id if run else None):
                    return await give(*place)
    except PrefectUnavailable as unavailable:
        said = unavailable
    if wanted.name is None and (shelf := await wanted.shelf()) and (name := await _on(shelf, wanted.id)):
        return await give(shelf, name)
    if said.remedy:
        raise said
    raise ParameterError(
        f"No log of a run {wanted.said} is {'' if kept else 'in Prefect or '}kept.",
        "look for the run: slipway history --environment ENVIRONMENT --json" if wanted.id else "name another run.",
        Cause.NOT_FOUND,
    )


async def _run(client: PrefectClient, wanted: _Wanted) -> FlowRun | None:
    """The one that is named, or the newest that has shipped to the environment."""
    if wanted.id:
        with suppress(ObjectNotFound):
            return await client.read_flow_run(wanted.id)
        return None
    tags = tags_of(await wanted.app(), wanted.environment or "") if wanted.environment else ()
    found = await client.read_flow_runs(
        flow_filter=None if wanted.name else FlowFilter(name=FlowFilterName(any_=list(SHIPPING_FLOWS))),
        flow_run_filter=FlowRunFilter(
            name=FlowRunFilterName(any_=[wanted.name]) if wanted.name else None,
            tags=FlowRunFilterTags(all_=list(tags)) if tags else None,
        ),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    return found[0] if found else None


async def _in_prefect(client: PrefectClient, run: FlowRun) -> KeptLog:
    """With the lines of the runs that it has started."""
    from tasks.observe.kept import line_of, merged, said_of
    from tasks.observe.lines import artifacts_of, read_lines
    from tasks.orchestration.family import below

    flow = await client.read_flow(run.flow_id)
    family = [run.id, *(child.id for child in await below(client, run.id))]
    lines = [line_of(line) for each in family for page in [p async for p in read_lines(client, each)] for line in page]
    return merged(said_of(run, flow=flow.name, artifacts=await artifacts_of(client, run.id)), lines)


async def _place(client: PrefectClient, wanted: _Wanted, run: UUID | None) -> tuple[Shelf, str] | None:
    """Where it is kept: wherever anything was released to, as far as this Prefect server remembers."""
    from tasks.observe.archive import every_shelf

    shelves = await every_shelf(client)
    if wanted.environment:
        app = await wanted.app()
        shelves = [each for each in shelves if (each.app, each.environment) == (app, wanted.environment)]
    elif not (run or wanted.id):
        return None
    for each in shelves:
        if name := await _on(each, run or wanted.id):
            return each, name
    return None


async def _on(shelf: Shelf, run: UUID | None) -> str | None:
    from tasks.observe.archive import locate

    return await locate(shelf, run)


async def _read(shelf: Shelf, name: str) -> KeptLog | str:
    from tasks.observe.archive import read

    return await read(shelf, name)


async def _signed(shelf: Shelf, name: str, *, account: str | None) -> KeptLog | str:
    from tasks.observe.archive import address

    return await address(shelf, name, URL_MINUTES, account)


async def _follow(wanted: _Wanted, console: Console) -> int:
    url = api_url()
    with temporary_settings({PREFECT_API_URL: url}), refusals(url):
        async with get_client() as client:
            run = await _run(client, wanted)
            if run is None:
                raise ParameterError(f"Prefect knows no run {wanted.said}.", "leave --follow out.", Cause.NOT_FOUND)
            ended = await Following(client, console, url.removesuffix("/").removesuffix("/api"), run.id).to_the_end()
    return 0 if ended.state and ended.state.is_completed() else 1


def _show(console: Console, log: KeptLog) -> None:
    run = log.run
    when = f", {run.started:%Y-%m-%d}" if run.started else ""
    console.print(f"{run.name}: {run.state}{when} ({run.id})", style="dim", highlight=False, soft_wrap=True)
    for line in log.lines:
        if not line.message.startswith(ENGINE_CHATTER):
            text = f"{line.at:%H:%M:%S} {line.message}"
            console.print(text, style=LEVEL_STYLES.get(line.level), markup=False, highlight=False, soft_wrap=True)
