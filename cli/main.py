"""The `slipway` command: thin over the flows."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter
from rich.console import Console

from cli.options import Environment, Json, Ref, Repository, Services, Who, Why
from tasks.failures.errors import SlipwayError

app = App(
    name="slipway",
    help="Ships containers to Google Cloud Run: proven before they take traffic.",
    default_parameter=Parameter(negative=()),
)
# Named, not imported: what is not asked for need not be loaded. tests/test_architecture.py knows these names.
app.command("infra.emulator.cli:app", name="emulator", help="The local Google Cloud: run it, point clients at it.")
app.command("cli.history:history_command", name="history", help="List the releases of an environment.")
app.command("cli.history:status_command", name="status", help="Tell which version should serve, and which does.")
app.command(
    "cli.explain:explain_command",
    name="explain",
    help="Explain an error message of Google Cloud, a build, a container, Terraform or the network.\n\n"
    "With --jsonl a line that is not such an object is reported with its number on standard error and skipped; the "
    "other lines are answered all the same, and the exit code is then 2.",
)


@app.command
def up(
    *,
    demo: Annotated[bool, Parameter(help="Ship examples/storefront to the local cloud.")] = False,
    once: Annotated[bool, Parameter(help="Stop when the demo has ended; the exit code tells how.")] = False,
    project: Annotated[list[str] | None, Parameter(help="Project to have in the local cloud; repeatable.")] = None,
    data: Annotated[Path, Parameter(help="Folder for all state.")] = Path(".slipway"),
) -> int:
    """Run a local Google Cloud, a Prefect server and a worker until Ctrl-C."""
    from cli.up import up as run

    console = Console()
    return asyncio.run(run(data.absolute(), project or ["slipway-demo"], demo=demo, once=once, console=console))


@app.command
def deploy(
    *,
    environment: Environment,
    repository: Repository = ".",
    ref: Ref = None,
    service: Services = None,
    irreversible: Annotated[bool, Parameter(help="It migrates data so that earlier versions cannot serve.")] = False,
    who: Who = None,
    why: Why = None,
    as_json: Json = False,
) -> int:
    """Ship an app through its Prefect deployment, and follow the run. Ctrl-C cancels it."""
    facts = {"services": service, "irreversible": irreversible, "override": _override(who, why)}
    return _run(f"deploy/{environment}", _parameters(environment, repository, ref) | facts, as_json)


@app.command
def ship(
    *,
    repository: Repository = ".",
    ref: Ref = None,
    service: Services = None,
    irreversible: Annotated[bool, Parameter(help="It migrates data so that earlier versions cannot serve.")] = False,
    as_json: Json = False,
) -> int:
    """Ship an app where the commit's tag says: a release to production, anything else to staging."""
    facts = {"services": service, "irreversible": irreversible}
    return _run("ship/by-tag", {"source": _source(repository, ref)} | facts, as_json)


@app.command
def promote(
    *,
    environment: Environment,
    origin: Annotated[str, Parameter(name="--from", help="Environment in which the release was proven.")] = "staging",
    version: Annotated[str | None, Parameter(help="Version to promote; by default the newest good one.")] = None,
    repository: Repository = ".",
    who: Who = None,
    why: Why = None,
    as_json: Json = False,
) -> int:
    """Ship what was proven in another environment, from the same images. Nothing is built."""
    facts = {"origin": origin, "version": version, "override": _override(who, why)}
    return _run(f"promote/{environment}", _parameters(environment, repository) | facts, as_json)


@app.command
def rollback(
    *,
    environment: Environment,
    to: Annotated[str | None, Parameter(help="Version to go back to; by default the good one before.")] = None,
    repository: Repository = ".",
    who: Who = None,
    why: Why = None,
    as_json: Json = False,
) -> int:
    """Give all traffic back to an earlier release that was seen healthy; it is proven again first."""
    facts = {"to": to, "override": _override(who, why)}
    return _run(f"rollback/{environment}", _parameters(environment, repository) | facts, as_json)


@app.command
def cleanup(
    *,
    delete: Annotated[bool, Parameter(help="Delete what the plan names; otherwise it is only shown.")] = False,
    plan: Annotated[str | None, Parameter(help="Name of a plan that was shown, to do exactly that.")] = None,
    repository: Repository = ".",
    as_json: Json = False,
) -> int:
    """Plan which images, revisions, sources and logs nothing needs, in all environments of an app."""
    parameters = {"source": _source(repository), "dry_run": not delete, "plan": plan}
    return _run("cleanup/cleanup", parameters, as_json)


@app.command
def drift(
    *,
    environment: Environment,
    refresh: Annotated[bool, Parameter(help="Ship the recorded release again where something differs.")] = False,
    repository: Repository = ".",
    as_json: Json = False,
) -> int:
    """Tell what was changed in an environment besides Slipway, setting by setting."""
    return _run(f"drift/{environment}", _parameters(environment, repository) | {"refresh": refresh}, as_json)


@app.command
def doctor(
    *,
    environment: Environment,
    repository: Repository = ".",
    ref: Ref = None,
    service: Services = None,
    as_json: Json = False,
) -> int:
    """Tell whether a project is ready for an app, and what to do if not. Changes nothing."""
    parameters = _parameters(environment, repository, ref) | {"services": service}
    return _run("doctor/doctor", parameters, as_json)


@app.command
def version(
    *,
    repo: Annotated[Path, Parameter(help="Path of the git repository.")] = Path(),
    ref: Ref = None,
    as_json: Json = False,
) -> int:
    """Print the version that git gives a commit."""
    from tasks.source.version import read_version

    found = asyncio.run(read_version(repo, ref))
    print(json.dumps(dataclasses.asdict(found)) if as_json else found.version)
    return 0


@app.command
def schema() -> int:
    """Print the JSON Schema of slipway.yaml, for editors."""
    from tasks.manifest.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0


def _parameters(environment: str, repository: str, ref: str | None = None) -> dict[str, Any]:
    return {"source": _source(repository, ref), "environment": environment}


def _source(repository: str, ref: str | None = None) -> dict[str, Any]:
    is_path = "://" not in repository and Path(repository).exists()
    return {"repository": str(Path(repository).absolute()) if is_path else repository, "ref": ref}


def _override(who: str | None, why: str | None) -> dict[str, str] | None:
    """Prefect refuses one that is incomplete, and says what is missing."""
    return {name: said for name, said in (("who", who), ("why", why)) if said} or None


def _run(deployment: str, parameters: dict[str, Any], as_json: bool) -> int:
    from cli.runs import api_url, run_deployment
    from cli.up import show

    console, began = Console(stderr=as_json), time.monotonic()
    outcome = asyncio.run(run_deployment(deployment, parameters, console, api_url()))
    if as_json:
        print(json.dumps(dataclasses.asdict(outcome), default=str))
    else:
        show(outcome, time.monotonic() - began, console)
    return 0 if outcome.ok else 1


def main() -> None:
    """Exit codes: 0 done, 1 the run failed, 2 it could not be started as asked, 130 interrupted."""
    try:
        code = app()
    except SlipwayError as error:
        print(f"slipway: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
