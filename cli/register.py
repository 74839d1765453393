"""`slipway register`, `slipway unregister`: an app's own deployments in Prefect, with everything filled in."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from cyclopts import Parameter
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from cli.local import use_local_stack
from cli.options import Folder, Json, Repository, source_of
from cli.runs import api_url, refusals
from cli.tables import show
from tasks.failures.cause import Cause
from tasks.failures.errors import ParameterError

if TYPE_CHECKING:
    from deployments.register import Outcome
    from tasks.manifest.manifest import Manifest
    from tasks.source.source import Source

R = TypeVar("R")
Alerts = Annotated[
    list[str] | None,
    Parameter(
        help="Instead, what tells people: by a block, such as slack-webhook/team; none for nobody.",
        consume_multiple=False,
        negative=(),
    ),
]
POOL = "slipway"
NOBODY = "none"  # for --alerts
HALF_DONE = "Run it again: what is done is not done twice."


def register_command(
    *,
    repository: Repository = ".",
    folder: Folder = None,
    pool: Annotated[str, Parameter(name=["--pool", "-p"], help="Work pool whose workers do the work.")] = POOL,
    credentials: Annotated[
        str | None, Parameter(help="Block in Prefect with a token for a private repository: a Secret, or type/name.")
    ] = None,
    move: Annotated[bool, Parameter(help="The app is in another repository or folder than it was.")] = False,
    generic: Annotated[bool, Parameter(help="Instead, those of prefect.yaml, which are for any app.")] = False,
    alerts: Alerts = None,
    fallback: Annotated[str | None, Parameter(help="Block that is told when a notice could not be sent.")] = None,
    as_json: Json = False,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    use_local_stack()
    if fallback and (not alerts or alerts == [NOBODY]):
        raise ParameterError("--fallback is for notices that --alerts sends.", "add --alerts.")
    if alerts:
        outcomes = asyncio.run(_asked(lambda client: _register_alerts(client, alerts, fallback)))
    elif generic:
        outcomes = asyncio.run(_asked(_register_generic))
    else:
        source = source_of(repository, folder=folder) | {"credentials": credentials}
        if credentials and "://" not in repository:
            raise ParameterError("--credentials are for a URL.", "give the repository's https:// address.")
        outcomes = asyncio.run(_asked(lambda client: _register(client, source, pool, move)))
    _show(outcomes, as_json)
    if not (generic or alerts or as_json) and Path(repository).exists():
        place = Path(repository).absolute()
        print(f"Runs read {place} on their worker's machine; --repository URL is for any machine.")
    return 0


def unregister_command(
    *,
    app: Annotated[str | None, Parameter(help="Which app; by default that of slipway.yaml.")] = None,
    environment: Annotated[str | None, Parameter(name=["--environment", "-e"], help="Only this environment.")] = None,
    gone: Annotated[bool, Parameter(help="Only what slipway.yaml would not register any more.")] = False,
    repository: Repository = ".",
    folder: Folder = None,
    yes: Annotated[bool, Parameter(name=["--yes", "-y"], help="Do not ask.")] = False,
    as_json: Json = False,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    use_local_stack()
    if gone and (app or environment):
        raise ParameterError("--gone goes by slipway.yaml alone.", "leave --app and --environment out.")
    source = source_of(repository, folder=folder)
    outcomes = asyncio.run(_asked(lambda client: _unregister(client, app or source, environment, gone, yes)))
    if outcomes is None:
        return 1
    _show(outcomes, as_json)
    return 0


async def _register(client: PrefectClient, parameters: dict[str, Any], pool: str, move: bool) -> list[Outcome]:
    from deployments.apps import register_app
    from deployments.own import app_of
    from deployments.register import refuse_missing

    await refuse_missing(client, pool)  # said before the flows are loaded, which takes seconds
    source, manifest = await _read(parameters)
    app = app_of(manifest, source, pool)
    return await register_app(client, app, moves=move)


async def _register_generic(client: PrefectClient) -> list[Outcome]:
    from deployments.generic import generic_deployments, register_generic

    return await register_generic(client, generic_deployments())


async def _register_alerts(client: PrefectClient, blocks: Sequence[str], fallback: str | None) -> list[Outcome]:
    from deployments.notices import register_notices, silence

    return await silence(client) if blocks == [NOBODY] else await register_notices(client, blocks, fallback)


async def _unregister(
    client: PrefectClient, which: str | dict[str, Any], environment: str | None, only_gone: bool, yes: bool
) -> list[Outcome] | None:
    """None where a person does not want it. which: the app by its name, or where it is described."""
    from deployments.apps import gone, read_registered, unregister
    from deployments.own import app_of

    if isinstance(which, str):
        name, there = which, await read_registered(client, which, environment)
    else:
        source, manifest = await _read(which)
        name, there = manifest.app, await read_registered(client, manifest.app, environment)
        there = gone(app_of(manifest, source, POOL), there) if only_gone else there
    if not there.names:
        what = "slipway.yaml would not register any more" if only_gone else "was registered"
        where = f"{name} in {environment}" if environment else name
        raise ParameterError(
            f"Prefect has nothing for {where} that {what}.",
            "see what is there: prefect deployment ls",
            Cause.NOT_FOUND,
        )
    return await unregister(client, there) if yes or _agreed(there.names) else None


def _agreed(names: Sequence[str]) -> bool:
    if not sys.stdin.isatty():
        raise ParameterError("Nobody is there to be asked.", "add --yes.")
    print("To be taken away; what they have released stays as it is:", *(f"  {name}" for name in names), sep="\n")
    try:
        return input("Take them away? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


async def _read(parameters: dict[str, Any]) -> tuple[Source, Manifest]:
    """The app as the repository describes it, on its default branch; of a folder as it is."""
    from pydantic import ValidationError

    from tasks.source.described import read_manifest
    from tasks.source.source import Source, open_source

    try:
        source = Source.model_validate(parameters)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ParameterError(f"The source cannot be that: {said}.") from None
    with TemporaryDirectory(prefix="slipway-") as workdir:
        return source, await read_manifest(await open_source(source, Path(workdir) / "checkout"))


async def _asked(work: Callable[[PrefectClient], Awaitable[R]]) -> R:
    """What Prefect's API answers, or the error that it is not there, or has refused."""
    url = api_url()
    with temporary_settings({PREFECT_API_URL: url}), refusals(url, HALF_DONE, "a deployment"):
        async with get_client() as client:
            return await work(client)


def _show(outcomes: Sequence[Outcome], as_json: bool) -> None:
    if as_json:
        print(json.dumps([dataclasses.asdict(each) for each in outcomes]))
        return
    rows = [{"deployment": each.name, "": each.change, "what": ", ".join(each.fields)} for each in outcomes]
    show(Console(), rows)
    if any(each.change == "gone from slipway.yaml" for each in outcomes):
        print("What is gone from slipway.yaml is taken away with: slipway unregister --gone")
