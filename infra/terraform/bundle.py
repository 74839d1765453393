"""All that `terraform init` needs, the module, its provider and its lock file, in one folder: no network is asked.

`make_bundle` is run where there is internet, `find_bundle` and `lay_out` for every run. A lock file is only good
with the mirror that it was made from: it belongs to the bundle, not to the repository. Terraform itself is not in it.
"""

from __future__ import annotations

import filecmp
import json
import os
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "SLIPWAY_TERRAFORM_BUNDLE"
CONFIG = "TF_CLI_CONFIG_FILE"  # Terraform's own; who has set it has said where providers come from
MODULE = Path(__file__).parent / "module"
LOCK = ".terraform.lock.hcl"
OLDEST = (1, 11)  # write-only arguments
DOWNLOAD_S, QUICK_S = 900.0, 60.0
INSTALL = "install Terraform 1.11 or newer: https://developer.hashicorp.com/terraform/install"
MAKE_ANEW = "make it anew where there is internet: slipway provision bundle FOLDER"
# A mirror alone: no package is looked for anywhere else.
CONFIGURATION = "provider_installation {{\n  filesystem_mirror {{\n    path = {}\n  }}\n}}\n"


class BundleFailed(Exception):
    """There is no bundle, or it is of no use. `remedy` says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Bundle:
    """module: a folder, read only. mirror: of its providers; without one they come from where `config` says, or else
    from the network."""

    module: Path
    mirror: Path | None = None
    config: Path | None = None

    @property
    def init_arguments(self) -> tuple[str, ...]:
        """What `terraform init` is told besides: a lock file that came along is not written anew."""
        return ("-lockfile=readonly",) if (self.module / LOCK).is_file() else ()


def find_bundle(environment: Mapping[str, str]) -> Bundle:
    """Raises BundleFailed where the environment names what is not there, or was made for another module."""
    if config := environment.get(CONFIG):
        if not Path(config).is_file():  # Terraform would only warn, and ask the network
            raise BundleFailed(
                f"{CONFIG} names {config}, and there is no such file.", f"unset {CONFIG}, or correct it."
            )
        return Bundle(MODULE, config=Path(config).absolute())
    if folder := environment.get(VARIABLE):
        return _checked(Path(folder).absolute())
    return Bundle(MODULE)


def _checked(folder: Path) -> Bundle:
    bundle = Bundle(folder / "module", folder / "mirror")
    if not (bundle.module / LOCK).is_file() or not (folder / "mirror").is_dir():
        raise BundleFailed(f"{VARIABLE} names {folder}, which holds no bundle.", MAKE_ANEW)
    ours = sorted(path.name for path in MODULE.glob("*.tf"))
    if ours != sorted(path.name for path in bundle.module.glob("*.tf")) or filecmp.cmpfiles(
        MODULE, bundle.module, ours, shallow=False
    ) != (ours, [], []):
        raise BundleFailed(f"The bundle in {folder} was made for another version of the module.", MAKE_ANEW)
    return bundle


def lay_out(bundle: Bundle, work: Path) -> dict[str, str]:
    """Copies the module into `work`, which is the run's own; answers the variables that Terraform needs there.

    Everything is written anew: what an earlier attempt has left of the module is not believed.
    """
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in bundle.module.iterdir():
        if path.suffix == ".tf" or path.name == LOCK:
            shutil.copyfile(path, work / path.name)
    config = bundle.config
    if bundle.mirror is not None:
        config = work.absolute() / "terraform.rc"
        config.write_text(CONFIGURATION.format(json.dumps(str(bundle.mirror))))
    return {"CHECKPOINT_DISABLE": "1", **({CONFIG: str(config)} if config else {})}


def make_bundle(
    folder: Path,
    platforms: Sequence[str] = (),
    *,
    environment: Mapping[str, str] | None = None,
) -> Bundle:
    """Module, mirror and lock file in `folder`, whole or as before; needs internet.

    platforms: such as linux_arm64; this machine's by default. environment: of Terraform; this process's
    by default. Raises BundleFailed.
    """
    folder, env = folder.absolute(), {**(os.environ if environment is None else environment), "CHECKPOINT_DISABLE": "1"}
    if folder.exists() and not (folder / "module" / LOCK).is_file() and (folder.is_file() or any(folder.iterdir())):
        raise BundleFailed(
            f"{folder} holds something else, which would be lost.", "name a folder that is new or empty."
        )
    own = terraform_platform(env)
    chosen = [f"-platform={each}" for each in platforms or [own]]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as place:
        new = Path(place) / "new"
        mirror, module = new / "mirror", new / "module"
        shutil.copytree(MODULE, module, ignore=shutil.ignore_patterns(".terraform*", "tests"))
        _terraform(env, module, "providers", "mirror", *chosen, str(mirror))
        _terraform(env, module, "providers", "lock", f"-fs-mirror={mirror}", *chosen)
        unpack(mirror)
        if not platforms or own in platforms:
            _prove(env, new, Path(place) / "proof")
        _replace(folder, new, Path(place) / "old")
    return _checked(folder)


def _replace(folder: Path, new: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    new.rename(folder)


def terraform_platform(environment: Mapping[str, str]) -> str:
    """Of the Terraform that is installed; raises BundleFailed where there is none, or an old one."""
    try:
        said = json.loads(_terraform(environment, Path(), "version", "-json"))
    except ValueError as error:
        raise BundleFailed("Terraform does not say which version it is.", INSTALL) from error
    if tuple(map(int, said["terraform_version"].split("-")[0].split(".")[:2])) < OLDEST:
        raise BundleFailed(f"Terraform {said['terraform_version']} is too old.", INSTALL)
    return str(said["platform"])


def _terraform(environment: Mapping[str, str], folder: Path, *arguments: str) -> str:
    command = ["terraform", f"-chdir={folder}", *arguments]
    deadline_s = DOWNLOAD_S if arguments[:1] == ("providers",) else QUICK_S
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline_s,
            check=False,
        )
    except FileNotFoundError as error:
        raise BundleFailed("Terraform is not installed here.", INSTALL) from error
    except subprocess.TimeoutExpired as error:
        raise BundleFailed(f"`terraform {arguments[0]}` took longer than {deadline_s:g} s.", "try it again.") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise BundleFailed(f"`terraform {' '.join(arguments[:2])}` failed: {said}", "see what Terraform says.")
    return done.stdout


def unpack(mirror: Path) -> None:
    """Each package becomes a folder, which `init` links to: a packed one it would unpack for every run."""
    for package in list(mirror.rglob("terraform-provider-*.zip")):
        version, platform = package.stem.removeprefix("terraform-provider-").split("_", 1)[1].split("_", 1)
        place = package.parent / version / platform
        with zipfile.ZipFile(package) as archive:
            archive.extractall(place)
        for program in place.glob("terraform-provider-*"):
            program.chmod(0o755)
        package.unlink()
    for index in [*mirror.rglob("index.json"), *mirror.rglob("*.*.*.json")]:
        index.unlink()


def _prove(environment: Mapping[str, str], new: Path, work: Path) -> None:
    """What `init` cannot use here it could not use later either."""
    bundle = Bundle(new / "module", new / "mirror")
    variables = {**environment, **lay_out(bundle, work)}
    _terraform(variables, work, "init", "-backend=false", "-input=false", "-no-color", *bundle.init_arguments)
