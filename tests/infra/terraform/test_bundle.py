"""Bundles: made from a registry, and used where there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from infra.terraform.bundle import LOCK, MODULE, Bundle, BundleFailed, find_bundle, lay_out, make_bundle
from tests.infra.terraform.registry import ARCH, VERSION, Registry, registry

WITHOUT_OTHERS = {k: v for k, v in os.environ.items() if not k.startswith(("TF_", "HTTP", "http", "SLIPWAY_"))}
needs_tools = pytest.mark.skipif(
    not (shutil.which("terraform") and shutil.which("gpg")), reason="terraform or gpg is not installed"
)


@pytest.fixture(scope="module")
def bundled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Registry]]:
    """A bundle for two platforms, and the registry that it came from."""
    folder = tmp_path_factory.mktemp("registry")
    with registry(folder) as served:
        environment = {**WITHOUT_OTHERS, **served.environment}
        platforms = [f"linux_{ARCH}", "linux_arm64"]
        make_bundle(folder / "bundle", platforms, environment=environment)
        yield folder / "bundle", served


def init(bundle: Bundle, work: Path, environment: Mapping[str, str], *before: str) -> subprocess.CompletedProcess[str]:
    variables = {**WITHOUT_OTHERS, **environment, **lay_out(bundle, work)}
    command = [
        "terraform",
        f"-chdir={work}",
        "init",
        "-backend=false",
        "-input=false",
        "-no-color",
        *bundle.init_arguments,
    ]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)


@needs_tools
def test_a_bundle_has_what_init_needs_without_a_network(bundled: tuple[Path, Registry], tmp_path: Path) -> None:
    folder, served = bundled
    shutil.copytree(folder, tmp_path / "elsewhere")  # as an image carries it
    asked = len(served.asked)
    bundle = find_bundle({"SLIPWAY_TERRAFORM_BUNDLE": str(tmp_path / "elsewhere")})
    done = init(bundle, tmp_path / "work", served.environment)
    assert done.returncode == 0, done.stderr
    assert len(served.asked) == asked, "the registry was asked"
    assert [path.is_symlink() for path in (tmp_path / "work").rglob(f"{VERSION}/linux_*")] == [True]


@needs_tools
def test_init_works_where_there_is_no_network_at_all(bundled: tuple[Path, Registry], tmp_path: Path) -> None:
    alone = ("unshare", "--map-root-user", "--net")
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no network namespaces here")
    bundle = find_bundle({"SLIPWAY_TERRAFORM_BUNDLE": str(bundled[0])})
    done = init(bundle, tmp_path / "work", {}, *alone)
    assert done.returncode == 0, done.stderr
    without = init(Bundle(MODULE), tmp_path / "other", {}, *alone)
    assert without.returncode == 1, "there is a network after all"


@needs_tools
def test_a_bundle_is_for_every_platform_that_was_asked_for(bundled: tuple[Path, Registry]) -> None:
    folder, _ = bundled
    programs = list((folder / "mirror").rglob("terraform-provider-*"))
    assert {path.parent.name for path in programs} == {f"linux_{ARCH}", "linux_arm64"}
    assert all(os.access(path, os.X_OK) for path in programs)
    assert (folder / "module" / LOCK).read_text().count("h1:") == len(programs)


@needs_tools
def test_a_provider_that_was_tampered_with_is_refused(bundled: tuple[Path, Registry], tmp_path: Path) -> None:
    shutil.copytree(bundled[0], tmp_path / "bundle")
    for program in (tmp_path / "bundle" / "mirror").rglob("terraform-provider-*"):
        program.write_text("#!/bin/sh\nexec something-else\n")
    done = init(find_bundle({"SLIPWAY_TERRAFORM_BUNDLE": str(tmp_path / "bundle")}), tmp_path / "work", {})
    assert done.returncode == 1
    assert "doesn't match any of the checksums" in " ".join(done.stderr.split())


@needs_tools
def test_a_bundle_that_cannot_be_made_leaves_the_one_before(bundled: tuple[Path, Registry], tmp_path: Path) -> None:
    shutil.copytree(bundled[0], tmp_path / "bundle")
    served = {**WITHOUT_OTHERS, **bundled[1].environment}
    with pytest.raises(BundleFailed) as failure:
        make_bundle(tmp_path / "bundle", ["plan9_386"], environment=served)
    assert "plan9_386" in str(failure.value)
    assert find_bundle({"SLIPWAY_TERRAFORM_BUNDLE": str(tmp_path / "bundle")}).mirror is not None
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@needs_tools
def test_a_bundle_for_another_module_is_said(bundled: tuple[Path, Registry], tmp_path: Path) -> None:
    shutil.copytree(bundled[0], tmp_path / "bundle")
    (tmp_path / "bundle" / "module" / "outputs.tf").write_text("")
    with pytest.raises(BundleFailed, match="another version of the module") as failure:
        find_bundle({"SLIPWAY_TERRAFORM_BUNDLE": str(tmp_path / "bundle")})
    assert "slipway provision bundle" in failure.value.remedy


def test_a_folder_without_a_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(BundleFailed, match="holds no bundle"):
        find_bundle({"SLIPWAY_TERRAFORM_BUNDLE": str(tmp_path)})


def test_who_configures_terraform_has_said_where_providers_come_from(tmp_path: Path) -> None:
    config = tmp_path / "terraform.rc"
    config.touch()
    found = find_bundle({"TF_CLI_CONFIG_FILE": str(config), "SLIPWAY_TERRAFORM_BUNDLE": "/nowhere"})
    assert found == Bundle(MODULE, config=config)
    assert lay_out(found, tmp_path / "work")["TF_CLI_CONFIG_FILE"] == str(config)


def test_a_configuration_that_is_not_there_is_said() -> None:
    with pytest.raises(BundleFailed, match="no such file"):
        find_bundle({"TF_CLI_CONFIG_FILE": "/nowhere/terraform.rc"})


def test_without_either_providers_come_from_the_network(tmp_path: Path) -> None:
    bundle = find_bundle({"TF_CLI_CONFIG_FILE": "", "SLIPWAY_TERRAFORM_BUNDLE": ""})
    assert bundle == Bundle(MODULE)
    assert bundle.init_arguments == ()
    assert "TF_CLI_CONFIG_FILE" not in lay_out(bundle, tmp_path / "work")


def test_what_an_earlier_attempt_left_of_the_module_is_written_anew(tmp_path: Path) -> None:
    lay_out(Bundle(MODULE), tmp_path)
    (tmp_path / "main.tf").write_text("half")
    (tmp_path / "terraform.tfvars.json").write_text("{}")
    lay_out(Bundle(MODULE), tmp_path)
    assert (tmp_path / "main.tf").read_text() == (MODULE / "main.tf").read_text()
    assert (tmp_path / "terraform.tfvars.json").read_text() == "{}"


def test_a_folder_with_something_else_in_it_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    for place in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(BundleFailed, match="holds something else"):
            make_bundle(place)
    assert (tmp_path / "thesis.txt").exists()


def test_without_terraform_it_is_said_how_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(BundleFailed, match="not installed") as failure:
        make_bundle(tmp_path / "bundle", environment={"PATH": str(tmp_path)})
    assert "install Terraform" in failure.value.remedy
