"""Instances of the local Cloud Run: what they are given, what they leave behind, and what a restart does to them."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.api_core import exceptions
from google.cloud import run_v2, secretmanager
from google.iam.v1 import iam_policy_pb2, policy_pb2

from infra.emulator.run.journal import structured
from infra.emulator.run.workload import command_of, quantity
from tests.conftest import PROJECT, LocalCloud
from tests.infra.emulator.emulated_run import (
    PARENT,
    QUICK,
    Own,
    Run,
    answer,
    ends,
    is_alive,
    lines_of,
    new_name,
    short,
    template,
    to,
)
from tests.infra.emulator.identities import grant, new_identity


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


def test_each_line_of_a_containers_output_is_logged(run: Run) -> None:
    service = run.create(new_name())
    answer(service.uri, "/log/one")
    answer(service.uri, "/log/two")
    assert lines_of(service, "stdout")[:1] == ["one"]
    deadline = time.monotonic() + 30
    while lines_of(service, "stdout") != ["one", "two"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_last_words_of_a_container_that_fails_are_logged(run: Run) -> None:
    made = template("import sys; print('no database', file=sys.stderr); sys.exit(3)")
    operation = run.services.create_service(parent=PARENT, service=run_v2.Service(template=made), service_id=new_name())
    run.failure(operation)
    assert lines_of(operation.metadata, "stderr") == ["no database"]
    system = lines_of(operation.metadata, "varlog/system")
    assert system[0].startswith("Starting an instance with the process runtime: the image holds a program")
    assert "Container called exit(3)." in system


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("plain", ("plain", "DEFAULT")),
        ('{"message": "low", "severity": "warning"}', ("low", "WARNING")),
        ('{"message": "m", "n": 1, "severity": "nonsense"}', ({"message": "m", "n": 1}, "DEFAULT")),
        ("{broken", ("{broken", "DEFAULT")),
    ],
)
def test_a_json_line_becomes_a_structured_entry(line: str, expected: tuple[Any, str]) -> None:
    assert structured(line) == expected


def secret_template(name: str, version: str = "latest") -> run_v2.RevisionTemplate:
    made = template()
    reference = run_v2.SecretKeySelector(secret=name, version=version)
    made.containers[0].env = [run_v2.EnvVar(name="KEY", value_source=run_v2.EnvVarSource(secret_key_ref=reference))]
    return made


def make_secret(name: str, value: bytes) -> None:
    client = secretmanager.SecretManagerServiceClient()
    secret = client.create_secret(
        parent=f"projects/{PROJECT}", secret_id=name, secret=secretmanager.Secret(replication={"automatic": {}})
    )
    client.add_secret_version(parent=secret.name, payload=secretmanager.SecretPayload(data=value))


def let_run_read(name: str, account: str) -> None:
    client = secretmanager.SecretManagerServiceClient()
    binding = policy_pb2.Binding(role="roles/secretmanager.secretAccessor", members=[f"serviceAccount:{account}"])
    client.set_iam_policy(
        iam_policy_pb2.SetIamPolicyRequest(
            resource=f"projects/{PROJECT}/secrets/{name}", policy=policy_pb2.Policy(bindings=[binding])
        )
    )


def test_a_secret_reaches_the_container_as_a_variable(run: Run) -> None:
    name = new_name("secret")
    make_secret(name, b"s3cret")
    service = run.create(new_name())
    let_run_read(name, service.template.service_account)
    service.template = secret_template(name)
    assert answer(run.update(service).uri)["env"]["KEY"] == "s3cret"


def test_a_missing_secret_fails_the_revision_and_says_which(run: Run) -> None:
    service = run.create(new_name())
    name = new_name("secret")
    make_secret(name, b"x")
    let_run_read(name, service.template.service_account)
    service.template = secret_template(name, "7")
    error = run.failure(run.start_update(service))
    assert f"/secrets/{name}/versions/7 was not found" in error.message
    assert "is not ready and cannot serve traffic." in error.message


def test_a_secret_that_the_runtime_account_may_not_read_fails_the_revision(run: Run) -> None:
    name = new_name("secret")
    make_secret(name, b"x")
    service = run.create(new_name())
    service.template = secret_template(name)
    error = run.failure(run.start_update(service))
    assert "Permission denied on secret" in error.message
    assert "roles/secretmanager.secretAccessor" in error.message


@pytest.mark.parametrize(
    ("text", "expected"), [("512Mi", 512 << 20), ("1G", 10**9), ("2048", 2048), ("0.5Gi", 1 << 29)]
)
def test_a_memory_limit_is_understood(text: str, expected: int) -> None:
    assert quantity(text) == expected


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (run_v2.Container(), ("entry", "argument")),
        (run_v2.Container(command=["mine"]), ("mine",)),
        (run_v2.Container(args=["else"]), ("entry", "else")),
        (run_v2.Container(command=["mine"], args=["else"]), ("mine", "else")),
    ],
    ids=["image", "command", "args", "both"],
)
def test_a_command_replaces_the_images_entry_point_and_arguments(
    container: run_v2.Container, expected: tuple[str, ...]
) -> None:
    assert command_of(container, {"Entrypoint": ["entry"], "Cmd": ["argument"]}) == expected


# --- an emulator of one's own, to be stopped and killed


@pytest.fixture
def own(cloud: LocalCloud, tmp_path: Path) -> Iterator[Own]:
    yield from Own.over(tmp_path / "cloud", cloud)


PARENT_OF_MANY = """
import os, subprocess, sys, http.server
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(f'{{"pids": [{os.getpid()}, {child.pid}]}}'.encode())
http.server.HTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


@pytest.mark.parametrize("kill", [False, True], ids=["stopped", "killed"])
def test_an_emulator_that_ends_leaves_no_process_behind(own: Own, kill: bool) -> None:
    with own.running(kill=kill):
        service = Run().create("svc", template(PARENT_OF_MANY))
        pids = answer(service.uri)["pids"]
        assert all(is_alive(pid) for pid in pids)
    assert all(ends(pid) for pid in pids)
    assert not list((own.data / "instances").glob("*")) or kill


def test_a_killed_emulator_comes_back_with_its_services_at_the_same_addresses(own: Own) -> None:
    with own.running(kill=True):
        service = Run().create("svc", template(revision="svc-a"))
        service.template, service.traffic = (
            template(revision="svc-b", env={"B": "1"}),
            [to("svc-a", 100), to("svc-b", 0, "b")],
        )
        before = Run().update(service)
    with own.running():
        after = Run().get("svc")
        assert after == before
        assert answer(after.uri)["revision"] == "svc-a"
        assert answer(after.traffic_statuses[1].uri)["revision"] == "svc-b"


def test_a_restart_keeps_the_routes_of_before_a_change_that_failed(own: Own) -> None:
    with own.running():
        service = Run().create("svc", template(revision="svc-a"))
        service.traffic = [to("svc-gone", 100)]
        Run().failure(Run().start_update(service, "traffic"))
        assert answer(service.uri)["revision"] == "svc-a"
    with own.running():
        assert answer(Run().get("svc").uri)["revision"] == "svc-a"


def test_a_service_gets_another_address_when_its_own_was_taken_meanwhile(own: Own) -> None:
    with own.running(kill=True):
        before = Run().create("svc")
    import socket

    with socket.create_server(("127.0.0.1", int(before.uri.rsplit(":", 1)[1]))), own.running():
        after = Run().get("svc")
        assert after.uri != before.uri
        assert answer(after.uri)["revision"] == short(before.latest_ready_revision)


def test_a_deployment_under_way_goes_on_after_a_restart_under_the_same_operation(own: Own) -> None:
    with own.running(kill=True, profile="real"):
        operation = Run().services.create_service(
            parent=PARENT, service=run_v2.Service(template=template()), service_id="svc"
        )
        name = operation.operation.name
    with own.running():
        run = Run()
        deadline = time.monotonic() + 20
        while not (found := run.services.get_operation({"name": name})).done:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not found.HasField("error")
        assert run.get("svc").uri


def test_a_reset_ends_the_instances_and_forgets_the_services(own: Own) -> None:
    with own.running():
        service = Run().create("svc")
        pid = answer(service.uri)["pid"]
        admin = json.loads((own.data / "emulator.json").read_text())["admin"]
        httpx.post(f"{admin}/reset", trust_env=False, timeout=30).raise_for_status()
        assert ends(pid)
        os.environ.update(json.loads((own.data / "emulator.json").read_text())["environment"])
        with pytest.raises(exceptions.NotFound):
            Run().get("svc")


def test_an_instance_that_gets_no_request_ends_unless_a_least_number_stays_and_the_next_request_starts_one(
    own: Own,
) -> None:
    """https://cloud.google.com/run/docs/about-instance-autoscaling"""
    with own.running():
        idle, kept = Run().create("idle"), Run().create("kept", scaling={"min_instance_count": 1})
        first, stays = answer(idle.uri)["pid"], answer(kept.uri)["pid"]
        admin = json.loads((own.data / "emulator.json").read_text())["admin"]
        httpx.put(f"{admin}/latency", json={"stages": {"run.idle": 0.5}}, trust_env=False).raise_for_status()
        assert ends(first)
        assert answer(idle.uri)["pid"] != first
        assert answer(kept.uri)["pid"] == stays


def test_a_service_deleted_while_it_starts_is_gone_at_once(run: Run) -> None:
    name = new_name()
    made = template("import time; time.sleep(600)")
    creating = run.services.create_service(parent=PARENT, service=run_v2.Service(template=made), service_id=name)
    while not any(r.name for r in run.revisions.list_revisions(parent=f"{PARENT}/services/{name}")):
        time.sleep(0.02)
    run.services.delete_service(name=f"{PARENT}/services/{name}").result(polling=QUICK)
    assert "was deleted while" in run.failure(creating).message


def test_lending_an_account_needs_permission_to_act_as_it(run: Run, tmp_path: Path) -> None:
    account = new_identity(tmp_path).email
    run.create(new_name(), template(service_account=account))  # the owner may
    developer = new_identity(tmp_path, ["roles/run.developer"])
    services = run_v2.ServicesClient(credentials=developer.credentials)
    service = run_v2.Service(template=template(service_account=account))
    with pytest.raises(exceptions.PermissionDenied) as raised:
        services.create_service(parent=PARENT, service=service, service_id=new_name())
    assert raised.value.message == (
        f"Permission 'iam.serviceaccounts.actAs' denied on service account {account} (or it may not exist)."
    )
    grant(developer.member, "roles/iam.serviceAccountUser")
    name = new_name()
    assert services.create_service(parent=PARENT, service=service, service_id=name).result(polling=QUICK).uri


def test_an_account_that_does_not_exist_cannot_be_lent(run: Run) -> None:
    account = f"nobody@{PROJECT}.iam.gserviceaccount.com"
    service = run_v2.Service(template=template(service_account=account))
    with pytest.raises(exceptions.PermissionDenied, match=r"\(or it may not exist\)"):
        run.services.create_service(parent=PARENT, service=service, service_id=new_name())


def test_a_viewer_may_look_at_services_but_not_change_them(run: Run, tmp_path: Path) -> None:
    service = run.create(new_name())
    services = run_v2.ServicesClient(credentials=new_identity(tmp_path, ["roles/run.viewer"]).credentials)
    assert services.get_service(name=service.name) == service
    with pytest.raises(exceptions.PermissionDenied, match=r"run\.services\.delete"):
        services.delete_service(name=service.name)
