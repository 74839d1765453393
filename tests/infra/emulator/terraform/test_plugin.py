"""The stand-in as a process, asked over its socket as Terraform asks."""

from __future__ import annotations

import base64
import os
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from infra.emulator.terraform.mirror import write_mirror
from infra.emulator.terraform.plugin import COOKIE
from infra.emulator.terraform.wire import RPCS, M, pack


@dataclass(frozen=True)
class Plugin:
    process: subprocess.Popen[str]
    channel: grpc.Channel
    folder: Path  # of its socket

    def ask(self, name: str, **fields: Any) -> Any:
        request, response = RPCS[name]
        call: Any = self.channel.unary_unary(
            f"/tfplugin5.Provider/{name}", lambda message: message.SerializeToString(), M[response].FromString
        )
        return call(M[request](**fields), timeout=30)

    def shutdown(self) -> None:
        empty = M["Empty"]
        call: Any = self.channel.unary_unary("/plugin.GRPCController/Shutdown", lambda _: b"", empty.FromString)
        call(empty(), timeout=30)


@contextmanager
def started(program: Path, folder: Path | None = None) -> Iterator[Plugin]:
    """From the mirror, with the handshake that Terraform makes; it must have gone in the end."""
    environment = {**os.environ, COOKIE[0]: COOKIE[1]}
    process = subprocess.Popen(
        [program], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        core, protocol, network, address, kind, certificate = process.stdout.readline().strip().split("|")
        assert (core, protocol, network, kind) == ("1", "5", "unix", "grpc")
        der = base64.b64decode(certificate + "=" * (-len(certificate) % 4))
        credentials = grpc.ssl_channel_credentials(ssl.DER_cert_to_PEM_cert(der).encode())
        options = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"unix:{address}", credentials, options) as channel:
            yield Plugin(process, channel, Path(address).parent)
    finally:
        process.kill()
        process.communicate(timeout=30)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("providers")
    write_mirror(folder)
    (found,) = folder.rglob("terraform-provider-google-beta_v*")
    return found


@pytest.fixture(scope="module")
def plugin(program: Path) -> Iterator[Plugin]:
    with started(program) as plugin:
        yield plugin


def test_it_tells_its_schema(plugin: Plugin) -> None:
    answer = plugin.ask("GetSchema")
    key = answer.resource_schemas["google_apikeys_key"].block
    assert {each.name for each in key.attributes if each.sensitive} == {"key_string"}
    assert answer.server_capabilities.get_provider_schema_optional


def test_nothing_that_goes_wrong_in_it_ends_it(plugin: Plugin) -> None:
    """Terraform would take it for crashed, and lose what it is making."""
    answer = plugin.ask("ReadResource", type_name="google_no_such_thing", current_state=pack({}))
    assert [each.summary for each in answer.diagnostics] == [
        "The stand-in provider failed: KeyError('google_no_such_thing')"
    ]
    answer = plugin.ask("UpgradeResourceState", type_name="google_apikeys_key", raw_state={"json": b"half"})
    assert len(answer.diagnostics) == 1
    assert plugin.ask("GetSchema").resource_schemas


def test_neither_an_interrupt_nor_stop_ends_it(plugin: Plugin) -> None:
    os.killpg(plugin.process.pid, signal.SIGINT)
    assert plugin.ask("Stop").Error == ""
    assert plugin.ask("GetSchema").resource_schemas
    assert plugin.process.poll() is None


def test_a_state_of_another_version_keeps_what_is_known(plugin: Plugin) -> None:
    state = {"json": b'{"name": "k", "was": "once"}'}
    answer = plugin.ask("UpgradeResourceState", type_name="google_apikeys_key", raw_state=state)
    assert not answer.diagnostics
    assert b"once" not in answer.upgraded_state.msgpack


def test_it_ends_when_it_is_told_and_leaves_nothing(program: Path) -> None:
    with started(program) as plugin:
        assert plugin.folder.is_dir()
        plugin.shutdown()
        assert plugin.process.wait(timeout=120) == 0
        assert not plugin.folder.exists()


def test_it_takes_no_module_from_the_folder_in_which_terraform_runs(program: Path, tmp_path: Path) -> None:
    (tmp_path / "grpc.py").write_text("raise SystemExit('not the one that was meant')")
    with started(program, tmp_path) as plugin:
        assert plugin.ask("GetSchema").resource_schemas


def test_who_starts_it_by_hand_is_told_what_it_is(program: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != COOKIE[0]}
    done = subprocess.run([program], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert (
        done.stderr.strip()
        == "This is a Terraform provider, which Terraform starts by itself: `terraform init` finds it."
    )
