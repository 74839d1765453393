"""The `slipway` command: thin over the flows."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from cli.options import Environment, Folder, Json, Ref, Repository, Services, Who, Why, source_of
from tasks.failures.errors import SlipwayError

if TYPE_CHECKING:
    from cli.runs import RunResult

app = App(
    name="slipway",
    help="Ships containers to Google Cloud Run: proven before they take traffic.",
    default_parameter=Parameter(negative=()),
)
# Named, not imported: what is not asked for need not be loaded. tests/test_architecture.py knows these names.
app.command("infra.emulator.cli:app", name="emulator", help="The local Google Cloud: run it, point clients at it.")
app.command(
    "cli.check:check_command",
    name="check",
    help="Tell everything that is wrong with slipway.yaml and the sources it names, offline.\n\n"
    "The exit code is 1 if anything is. Commands that start a run from a folder as it is check it first.",
)
app.command(
    "cli.init:init_command",
    name="init",
    help="Write the first slipway.yaml of a repository that has none.\n\n"
    "It looks for Dockerfiles, a compose file and what buildpacks can build, and says in comments what a person must "
    "decide. Nothing is written over a file that is there.",
)
app.command(
    "cli.register:register_command",
    name="register",
    help="Make an app's own deployments in Prefect, with source and environment filled in.\n\n"
    "For each environment of slipway.yaml: deploy, promote, rollback, drift, reconcile and doctor; and one clean-up. "
    "Drift is reported every hour, and the clean-up planned every night. Run it again after a change of slipway.yaml "
    "or of Slipway: it changes what differs.",
)
app.command(
    "cli.register:unregister_command",
    name="unregister",
    help="Take away what register has made for an app, also for environments that slipway.yaml has no more.",
)
app.command(
    "cli.adopt:adopt_command",
    name="adopt",
    help="Write slipway.yaml for services that are on Cloud Run already.\n\n"
    "It reads what serves, and writes the least that gives the same again; comments say what a person must decide and "
    "what slipway.yaml cannot say. The file that --output names is made, or the environment is added to it. With files "
    "it reads those instead: gcloud commands in scripts and workflows, service.yaml, Terraform. Nothing is changed in "
    "Google Cloud.",
)
app.command(
    "cli.provision:app",
    name="provision",
    help="Make with Terraform what slipway.yaml says under provision, and find every output. Ctrl-C cancels it.",
)
app.command(
    "cli.provision:destroy_command",
    name="destroy",
    help="Show what Terraform has made around an app in an environment, or take just that away.",
)
app.command("cli.history:history_command", name="history", help="List the releases of an environment.")
app.command("cli.history:status_command", name="status", help="Tell which version should serve, and which does.")
app.command(
    "cli.history:figures_command",
    name="figures",
    help="Tell in figures how the releases of an app went, from their records: success rate, rollbacks, durations by "
    "stage, and the four DORA figures.",
)
app.command(
    "cli.logs:logs_command",
    name="logs",
    help="Print the log of a run: from Prefect while it has it, else as it is kept beside the release records.\n\n"
    "With --follow the exit code is 1 if the run has not ended well.",
)
app.command(
    "cli.serve:serve_command",
    name="serve",
    help="Answer other systems over HTTP: webhooks of git hosts, live logs, health, metrics, and a page of what serves "
    "where.\n\n"
    "SLIPWAY_API_TOKENS has the tokens that callers give, SLIPWAY_HOOK_SECRETS the secrets that git hosts sign with; "
    "several are separated by white space, so that one can be replaced. Without a token only this machine is answered.",
)
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
    scale: Annotated[
        bool, Parameter(help="As on several machines: two API servers, PostgreSQL, Redis, HAProxy and four workers.")
    ] = False,
    project: Annotated[list[str] | None, Parameter(help="Project to have in the local cloud; repeatable.")] = None,
    reach: Annotated[
        list[int] | None,
        Parameter(
            help="Port of this machine that containers of the local cloud reach, as they do Prefect; repeatable."
        ),
    ] = None,
    data: Annotated[Path, Parameter(help="Folder for all state.")] = Path(".slipway"),
) -> int:
    """Run a local Google Cloud, a Prefect server and a worker until Ctrl-C."""
    from rich.console import Console

    from cli.up import up as run

    console = Console()
    projects = project or ["slipway-demo"]
    return asyncio.run(run(data.absolute(), projects, reach or (), demo=demo, once=once, scale=scale, console=console))


@app.command
def deploy(
    *,
    environment: Environment,
    repository: Repository = ".",
    folder: Folder = None,
    ref: Ref = None,
    service: Services = None,
    irreversible: Annotated[bool, Parameter(help="It migrates data so that earlier versions cannot serve.")] = False,
    who: Who = None,
    why: Why = None,
    as_json: Json = False,
) -> int:
    """Ship an app through its Prefect deployment, and follow the run. Ctrl-C cancels it."""
    facts = {"services": service, "irreversible": irreversible, "override": _override(who, why)}
    parameters = _parameters(environment, repository, ref, folder) | facts
    return _run(f"deploy/{environment}", _checked(parameters, builds=True), as_json)


@app.command
def ship(
    *,
    repository: Repository = ".",
    folder: Folder = None,
    ref: Ref = None,
    service: Services = None,
    irreversible: Annotated[bool, Parameter(help="It migrates data so that earlier versions cannot serve.")] = False,
    as_json: Json = False,
) -> int:
    """Ship an app where the commit's tag says: a release to production, anything else to staging."""
    parameters = {"source": source_of(repository, ref, folder), "services": service, "irreversible": irreversible}
    return _run("ship/by-tag", _checked(parameters, builds=True), as_json)


@app.command
def promote(
    *,
    environment: Environment,
    origin: Annotated[str, Parameter(name="--from", help="Environment in which the release was proven.")] = "staging",
    version: Annotated[str | None, Parameter(help="Version to promote; by default the newest good one.")] = None,
    repository: Repository = ".",
    folder: Folder = None,
    who: Who = None,
    why: Why = None,
    as_json: Json = False,
) -> int:
    """Ship what was proven in another environment, from the same images. Nothing is built."""
    facts = {"origin": origin, "version": version, "override": _override(who, why)}
    parameters = _parameters(environment, repository, folder=folder) | facts
    return _run(f"promote/{environment}", _checked(parameters), as_json)


@app.command
def rollback(
    *,
    environment: Environment,
    to: Annotated[str | None, Parameter(help="Version to go back to; by default the good one before.")] = None,
    repository: Repository = ".",
    folder: Folder = None,
    who: Who = None,
    why: Why = None,
    as_json: Json = False,
) -> int:
    """Give all traffic back to an earlier release that was seen healthy; it is proven again first."""
    facts = {"to": to, "override": _override(who, why)}
    # Needs no slipway.yaml, so that none keeps it from going back.
    return _run(f"rollback/{environment}", _parameters(environment, repository, folder=folder) | facts, as_json)


@app.command
def cleanup(
    *,
    delete: Annotated[bool, Parameter(help="Delete what the plan names; otherwise it is only shown.")] = False,
    plan: Annotated[str | None, Parameter(help="Name of a plan that was shown, to do exactly that.")] = None,
    repository: Repository = ".",
    folder: Folder = None,
    as_json: Json = False,
) -> int:
    """Plan which images, revisions, sources and logs nothing needs, in all environments of an app."""
    parameters = {"source": source_of(repository, folder=folder), "dry_run": not delete, "plan": plan}
    return _run("cleanup/cleanup", _checked(parameters), as_json)


@app.command
def drift(
    *,
    environment: Environment,
    refresh: Annotated[bool, Parameter(help="Ship the recorded release again where something differs.")] = False,
    repository: Repository = ".",
    folder: Folder = None,
    as_json: Json = False,
) -> int:
    """Tell what was changed in an environment besides Slipway, setting by setting.

    The exit code is 0 where nothing differs, 2 where something does, also when --refresh ships it again, and 1 where
    that could not be told.
    """
    parameters = _parameters(environment, repository, folder=folder) | {"refresh": refresh}
    try:
        outcome = follow(f"drift/{environment}", _checked(parameters), as_json)
    except SlipwayError as error:
        print(f"slipway: {error}", file=sys.stderr)
        return 1  # 2 says that something differs
    return (2 if outcome.drifted else 0) if outcome.ok else 1


@app.command
def doctor(
    *,
    environment: Environment,
    repository: Repository = ".",
    folder: Folder = None,
    ref: Ref = None,
    service: Services = None,
    as_json: Json = False,
) -> int:
    """Tell whether a project is ready for an app, and what to do if not. Changes nothing."""
    parameters = _parameters(environment, repository, ref, folder) | {"services": service}
    return _run("doctor/doctor", _checked(parameters, builds=True), as_json)


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


def _parameters(environment: str, repository: str, ref: str | None = None, folder: str | None = None) -> dict[str, Any]:
    return {"source": source_of(repository, ref, folder), "environment": environment}


def _override(who: str | None, why: str | None) -> dict[str, str] | None:
    """Prefect refuses one that is incomplete, and says what is missing."""
    return {name: said for name, said in (("who", who), ("why", why)) if said} or None


def _checked(parameters: dict[str, Any], *, builds: bool = False) -> dict[str, Any]:
    """The parameters, unless what a run would read is faulty: that is said at once."""
    from cli.check import refuse_faulty

    refuse_faulty(parameters["source"], parameters.get("environment"), parameters.get("services") if builds else ())
    return parameters


def _run(deployment: str, parameters: dict[str, Any], as_json: bool) -> int:
    return 0 if follow(deployment, parameters, as_json).ok else 1


def follow(deployment: str, parameters: dict[str, Any], as_json: bool) -> RunResult:
    from rich.console import Console

    from cli.results import show
    from cli.runs import api_url, run_deployment

    console, began = Console(stderr=as_json), time.monotonic()
    outcome = asyncio.run(run_deployment(deployment, parameters, console, api_url()))
    if as_json:
        print(json.dumps(dataclasses.asdict(outcome), default=str))
    else:
        show(outcome, time.monotonic() - began, console)
    return outcome


def main() -> None:
    """Exit codes: 0 done, 1 the run failed or nobody reads what it says, 2 not to be started as asked, 130 interrupted;
    `drift` has its own.
    """
    try:
        code = app()
        sys.stdout.flush()
    except SlipwayError as error:
        print(f"slipway: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # as of `slipway schema | head`; see https://docs.python.org/3/library/signal.html
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
