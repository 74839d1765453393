"""The emulated Cloud Build's decisions: filters, substitutions, validation, the step graph, builders and buildpacks."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.builds import choice, filters, pack, substitutions, validation
from infra.emulator.builds.queue import Queue
from infra.emulator.builds.steps import StepRefused, Workspace, entrypoint
from infra.emulator.builds.substitutions import BuildPb
from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.errors import RpcError


def build_of(**fields: Any) -> Any:
    return json_format.ParseDict({"steps": [{"name": "ubuntu"}], **fields}, BuildPb())


SAMPLE = build_of(
    id="b1",
    status="WORKING",
    tags=["app-storefront", "v1"],
    createTime="2026-03-04T05:06:07Z",
    source={"storageSource": {"bucket": "src", "object": "a.tgz"}},
    results={"images": [{"name": "x:1", "digest": "sha256:aa"}, {"name": "y:1", "digest": "sha256:bb"}]},
    substitutions={"_COLOUR": "red"},
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        'status="WORKING" OR status="QUEUED"',
        '(tags="v1") AND (status="WORKING" OR status="QUEUED")',
        "tags=v1 AND tags=app-storefront",
        'create_time>"2026-03-04T00:00:00.000+00:00"',
        'createTime<="2026-03-05"',
        'NOT status="SUCCESS"',
        '-tags="v2" build_id="b1"',
        'results.images.digest="sha256:bb"',
        'source.storage_source.object="a.tgz"',
        "status!=SUCCESS",
        'substitutions._COLOUR="red"',
        'tags="none" OR status="WORKING" AND tags="v1"',
        'status=("QUEUED" OR "WORKING")',
    ],
)
def test_a_filter_admits_the_build_it_describes(text: str) -> None:
    assert filters.parse(text)(SAMPLE)


@pytest.mark.parametrize(
    "text",
    [
        'status="SUCCESS"',
        'tags="v1" AND tags="v2"',
        'create_time>"2026-03-05T00:00:00Z"',
        'finish_time>"2020-01-01T00:00:00Z"',
        'tags!="v1"',
        'substitutions._SIZE="red"',
        'status="WORKING" AND tags="none" OR tags="neither"',
    ],
)
def test_a_filter_leaves_out_other_builds(text: str) -> None:
    assert not filters.parse(text)(SAMPLE)


@pytest.mark.parametrize(
    "text", ["status=", "(status=WORKING", "status WORKING", "status=~W", "=x", 'create_time>"soon"', "colour=red"]
)
def test_what_is_no_filter_is_refused(text: str) -> None:
    with pytest.raises(RpcError, match="invalid filter"):
        filters.parse(text)(SAMPLE)


def test_parameters_are_replaced_wherever_cloud_build_does_it() -> None:
    build = build_of(
        steps=[{"name": "$_TOOL", "args": ["$PROJECT_ID", "${_TOOL}s", "$$HOME"], "dir": "$_TOOL", "script": "$_TOOL"}],
        images=["x/$PROJECT_ID:$BUILD_ID"],
        tags=["t-$_TOOL"],
        substitutions={"_TOOL": "ubuntu"},
    )
    substitutions.substitute(build, {"PROJECT_ID": "p", "BUILD_ID": "7"})
    step = build.steps[0]
    assert (step.name, list(step.args), step.dir_) == ("ubuntu", ["p", "ubuntus", "$HOME"], "ubuntu")
    assert step.script == "$_TOOL"
    assert (list(build.images), list(build.tags)) == (["x/p:7"], ["t-ubuntu"])


def test_dynamic_substitutions_reach_into_values() -> None:
    build = build_of(
        images=["$_IMAGE"], substitutions={"_IMAGE": "x/${PROJECT_ID}"}, options={"dynamicSubstitutions": True}
    )
    substitutions.substitute(build, {"PROJECT_ID": "p"})
    assert list(build.images) == ["x/p"]


@given(st.text())
def test_doubled_dollars_protect_any_text(text: str) -> None:
    build = build_of(images=[text.replace("$", "$$")])
    substitutions.substitute(build, {"PROJECT_ID": "p", "A": "q"})
    assert list(build.images) == [text]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        pytest.param({"steps": []}, "no build steps are specified", id="no steps"),
        pytest.param({"steps": [{"args": ["x"]}]}, "build step 0 must specify name", id="no name"),
        pytest.param(
            {"steps": [{"name": "u", "args": ["x" * 10_001]}]}, "build step 0 arg 0 too long", id="long argument"
        ),
        pytest.param({"steps": [{"name": "u", "env": ["A"]}]}, 'must be of the form "KEY=VALUE"', id="odd variable"),
        pytest.param(
            {"steps": [{"name": "u", "script": "x", "args": ["y"]}]}, "script together with args", id="script"
        ),
        pytest.param(
            {"steps": [{"name": "u", "waitFor": ["later"]}]}, '"later", which has not been defined', id="unknown step"
        ),
        pytest.param({"steps": [{"name": "u", "id": "a"}, {"name": "u", "id": "a"}]}, "ID is not unique", id="same id"),
        pytest.param(
            {"timeout": "10s", "steps": [{"name": "u", "timeout": "20s"}]}, "must be <= build timeout", id="timeout"
        ),
        pytest.param({"images": ["$_X"]}, '"_X" is not matched in the substitution data', id="missing value"),
        pytest.param({"substitutions": {"_X": "1"}}, '"_X" in the substitution data is not matched', id="unused value"),
        pytest.param({"substitutions": {"x": "1"}}, 'substitution key "x" does not respect format', id="bad key"),
        pytest.param({"images": ["$NOPE"]}, '"NOPE" is not a valid built-in substitution', id="not built in"),
        pytest.param({"steps": [{"name": "u", "secretEnv": ["S"]}]}, 'uses the secretEnv "S" without', id="secret"),
        pytest.param({"images": ["a"], "artifacts": {"images": ["b"]}}, "different .images", id="two lists of images"),
    ],
)
def test_a_request_that_cannot_be_built_is_refused_with_the_reason(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(RpcError) as refusal:
        validation.check(build_of(**fields))
    assert problem in str(refusal.value)


def test_loose_substitutions_forgive_what_does_not_match() -> None:
    validation.check(build_of(images=["$_X"], substitutions={"_Y": "1"}, options={"substitutionOption": "ALLOW_LOOSE"}))


def test_steps_wait_for_those_named_or_for_all_before_them() -> None:
    steps = [
        {"name": "u", "id": "a"},
        {"name": "u", "id": "b", "waitFor": ["-"]},
        {"name": "u", "waitFor": ["a"]},
        {"name": "u"},
    ]
    assert validation.dependencies(build_of(steps=steps)) == [set(), set(), {0}, {0, 1, 2}]


@pytest.mark.parametrize(
    ("setting", "installed", "absent", "buildah", "why"),
    [
        ("builtin", True, [], False, "SLIPWAY_EMULATOR_BUILDER=builtin"),
        ("buildah", True, ["python:3"], True, "SLIPWAY_EMULATOR_BUILDER=buildah"),
        ("auto", False, [], False, "buildah is not installed"),
        ("auto", True, ["python:3"], False, "neither a network nor the local mirror has python:3"),
        ("auto", True, [], True, "can have every base image"),
    ],
)
def test_the_builder_is_chosen_for_a_reason(
    setting: str, installed: bool, absent: list[str], buildah: bool, why: str
) -> None:
    chosen = choice.choose(setting, installed, absent)
    assert chosen.buildah is buildah
    assert why in chosen.why


async def test_a_registry_that_does_not_answer_is_absent() -> None:
    assert await choice.Reach().absent(["127.0.0.1:1/app:v1"]) == ["127.0.0.1:1/app:v1"]


@pytest.mark.parametrize(
    ("image", "program"),
    [
        ("gcr.io/cloud-builders/docker", "docker"),
        ("gcr.io/cloud-builders/docker:20.10.24", "docker"),
        ("gcr.io/cloud-builders/git@sha256:ab", "git"),
        ("gcr.io/k8s-skaffold/pack", "pack"),
        ("gcr.io/google.com/cloudsdktool/cloud-sdk:slim", ""),
        ("python:3.12", ""),
    ],
)
def test_a_step_image_stands_for_a_program(image: str, program: str) -> None:
    assert entrypoint(image) == program


def test_other_step_images_are_refused_by_name() -> None:
    with pytest.raises(StepRefused, match=r"step image gcr\.io/kaniko-project/executor:v1 cannot be run by the local"):
        entrypoint("gcr.io/kaniko-project/executor:v1")


def test_workspace_paths_lead_to_where_the_workspace_really_is() -> None:
    workspace = Workspace(Path("/data/builds/1"))
    assert workspace.localised("cp /workspace/a /workspace") == "cp /data/builds/1/workspace/a /data/builds/1/workspace"
    assert workspace.localised("/my/workspace /workspaces x/workspace/y") == "/my/workspace /workspaces x/workspace/y"


async def test_places_are_given_in_order_and_free_ones_go_on() -> None:
    behaviour = Behaviour("instant")
    behaviour.set_latency(None, {"build.concurrency": 1})
    queue, order = Queue(behaviour), []

    async def build(name: str, parent: str = "p") -> None:
        async with queue.place(parent, 5):
            order.append(f"{name} starts")
            await asyncio.sleep(0)
            order.append(f"{name} ends")

    await asyncio.gather(build("a"), build("b"), build("elsewhere", "q"))
    assert [event for event in order if "elsewhere" not in event] == ["a starts", "a ends", "b starts", "b ends"]
    assert order.index("elsewhere starts") < order.index("b starts")


async def test_who_loses_patience_leaves_the_queue() -> None:
    behaviour = Behaviour("instant")
    behaviour.set_latency(None, {"build.concurrency": 1})
    queue = Queue(behaviour)
    async with queue.place("p", 5):
        with pytest.raises(TimeoutError):
            async with queue.place("p", 0.01):
                pytest.fail("there was no place")
    async with queue.place("p", 5):
        pass


@pytest.mark.parametrize(
    ("files", "settings", "expected"),
    [
        pytest.param({"main.py": ""}, {}, ("Python", 'CMD ["python", "main.py"]'), id="main.py"),
        pytest.param(
            {"main.py": "", "Procfile": "worker: x\nweb: python serve.py --port $PORT\n"},
            {},
            ("Python", 'CMD ["/bin/sh", "-c", "exec python serve.py --port $PORT"]'),
            id="Procfile",
        ),
        pytest.param(
            {"lib.py": ""},
            {"GOOGLE_ENTRYPOINT": "python lib.py"},
            ("Python", 'CMD ["python", "lib.py"]'),
            id="entrypoint",
        ),
        pytest.param(
            {"package.json": '{"scripts": {"start": "node ."}}'}, {}, ("Node.js", 'CMD ["node", "."]'), id="npm start"
        ),
        pytest.param(
            {"package.json": "{}", "index.js": ""}, {}, ("Node.js", 'CMD ["node", "index.js"]'), id="index.js"
        ),
        pytest.param(
            {"main.py": ""},
            {"GOOGLE_FUNCTION_TARGET": "serve"},
            ("Python", 'CMD ["functions-framework", "--target=serve", "--source=main.py"]'),
            id="Python function",
        ),
        pytest.param(
            {"package.json": "{}"},
            {"GOOGLE_FUNCTION_TARGET": "serve"},
            ("Node.js", 'CMD ["npx", "functions-framework", "--target=serve"]'),
            id="Node.js function",
        ),
    ],
)
def test_buildpacks_find_the_language_and_the_start_command(
    tmp_path: Path, files: dict[str, str], settings: dict[str, str], expected: tuple[str, str]
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    plan = pack.detect(tmp_path, settings)
    assert (plan.language, plan.dockerfile().splitlines()[-1]) == expected


def test_each_process_of_a_procfile_can_be_started_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "app.py").touch()
    (tmp_path / "Procfile").write_text("# all\nweb: prepare && serve $PORT\nmigrate: echo first && echo to\n")
    plan = pack.detect(tmp_path, {})
    *_, copied, path, start = plan.dockerfile().splitlines()
    assert (copied, start) == ("COPY cnb/process /cnb/process", 'CMD ["/bin/sh", "-c", "prepare && serve $PORT"]')
    assert path.startswith("ENV PATH=/cnb/process:")
    plan.write_processes(tmp_path)
    said = subprocess.run([tmp_path / "cnb/process/migrate", "v2"], capture_output=True, text=True, check=True)
    assert said.stdout == "first\nto v2\n"


@pytest.mark.parametrize(
    ("requirements", "installs"),
    [("# nothing\n\n", False), ("flask==3.0  # web\n", True)],
    ids=["empty", "one package"],
)
def test_only_real_requirements_are_installed(tmp_path: Path, requirements: str, installs: bool) -> None:
    (tmp_path / "main.py").touch()
    (tmp_path / "requirements.txt").write_text(requirements)
    assert ("RUN pip install" in pack.detect(tmp_path, {}).dockerfile()) is installs


def test_a_function_brings_its_framework_along(tmp_path: Path) -> None:
    (tmp_path / "main.py").touch()
    target = {"GOOGLE_FUNCTION_TARGET": "serve"}
    assert "RUN pip install --no-cache-dir functions-framework\n" in pack.detect(tmp_path, target).dockerfile()
    (tmp_path / "package.json").write_text('{"dependencies": {"@google-cloud/functions-framework": "5"}}')
    assert "RUN npm install --omit=dev --no-audit --no-fund\n" in pack.detect(tmp_path, target).dockerfile()


@pytest.mark.parametrize("files", [["README.md"], ["lib.py"], ["package.json"]], ids=["neither", "python", "node"])
def test_a_source_that_no_buildpack_fits_is_told_what_would(tmp_path: Path, files: list[str]) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(pack.NotDetected):
        pack.detect(tmp_path, {})
