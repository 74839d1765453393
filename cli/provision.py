"""`slipway provision` and `slipway destroy`: what Terraform makes around an app."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from cli.options import Environment, Folder, Json, Ref, Repository, source_of
from tasks.failures.errors import ProvisionFailed

app = App(
    name="provision",
    help="Make with Terraform what slipway.yaml says under provision, and find every output. Ctrl-C cancels it.\n\n"
    "What is there already is adopted. A run that was killed is taken over by the next one.",
    default_parameter=Parameter(negative=()),
)
Fresh = Annotated[
    list[Literal["gateway", "key"]] | None,
    Parameter(name="--fresh", help="Make this anew, and nothing else; repeatable. A key gets another text."),
]


@app.default
def provision_command(
    *,
    environment: Environment,
    plan: Annotated[bool, Parameter(help="Only show what would be made, changed and adopted.")] = False,
    fresh: Fresh = None,
    repository: Repository = ".",
    folder: Folder = None,
    ref: Ref = None,
    as_json: Json = False,
) -> int:
    """Make with Terraform what slipway.yaml says under provision, and find every output. Ctrl-C cancels it."""
    parameters = {"source": source_of(repository, ref, folder), "environment": environment, "plan_only": plan}
    return _run(f"provision/{environment}", parameters | {"fresh": fresh}, as_json)


@app.command
def bundle(
    folder: Annotated[Path, Parameter(help="Folder to make; SLIPWAY_TERRAFORM_BUNDLE is to name it.")],
    *,
    platform: Annotated[
        list[str] | None, Parameter(help="Such as linux_arm64; repeatable. By default this machine's.")
    ] = None,
) -> int:
    """Gather all that Terraform needs into one folder, so that workers need no network for it."""
    from infra.terraform.bundle import BundleFailed, make_bundle

    try:
        made = make_bundle(folder, platform or ())
    except BundleFailed as error:
        raise ProvisionFailed(str(error), error.remedy, state="No bundle was made.") from error
    print(made.module.parent)
    return 0


def destroy_command(
    *,
    environment: Environment,
    delete: Annotated[
        str | None, Parameter(help="What a dry run has called it: exactly that is deleted. Without it, it is shown.")
    ] = None,
    repository: Repository = ".",
    folder: Folder = None,
    ref: Ref = None,
    as_json: Json = False,
) -> int:
    """Show what Terraform has made around an app in an environment, or take just that away."""
    parameters = {"source": source_of(repository, ref, folder), "environment": environment}
    return _run(f"destroy/{environment}", parameters | {"dry_run": delete is None, "agreed": delete}, as_json)


def _run(deployment: str, parameters: dict[str, Any], as_json: bool) -> int:
    from cli.check import refuse_faulty
    from cli.main import follow

    refuse_faulty(parameters["source"], parameters["environment"], (), provisions=deployment.startswith("provision/"))
    return 0 if follow(deployment, parameters, as_json).ok else 1
