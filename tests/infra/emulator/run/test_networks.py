"""Each instance has a network of its own; where none can be made, what that means is said."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from google.cloud import run_v2
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.run.listeners import is_loopback, loopback_only, parse
from infra.emulator.run.networks import MOST_OFFERED, Network, Networks
from infra.emulator.run.ports import free_port
from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_run import APP, PARENT, Own, Run, answer, fetch, lines_of, new_name, template
from tests.serving import serving

FIXED = APP.replace('int(os.environ["PORT"])', "8080")
LOOPBACK = APP.replace('(""', '("127.0.0.1"')
NEVER = "the port defined provided by the PORT=8080 environment variable"
CALLER = """
import http.server, os, urllib.request
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        other = self.path.partition("?")[2] or os.environ["OTHER"]
        body = urllib.request.urlopen(other, timeout=10).read()
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


def networks() -> bool:
    command = ["unshare", *(() if os.geteuid() == 0 else ("--user", "--map-root-user")), "--net", "true"]
    return bool(shutil.which("unshare")) and subprocess.run(command, check=False, capture_output=True).returncode == 0


own_network = pytest.mark.skipif(not networks(), reason="no network namespaces can be made here")


@pytest.fixture
def run(cloud_env: dict[str, str]) -> Run:
    return Run()


@own_network
def test_two_containers_that_ignore_port_listen_on_the_same_fixed_one(run: Run) -> None:
    first, second = run.create(new_name(), template(FIXED)), run.create(new_name(), template(FIXED))
    told = [answer(service.uri) for service in (first, second)]
    assert [one["env"]["PORT"] for one in told] == ["8080", "8080"]
    assert told[0]["pid"] != told[1]["pid"]


@own_network
def test_an_instance_is_reached_by_its_door_alone(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:  # a port that this machine has no room for any more
        port = held.getsockname()[1]
        service = run.create(new_name(), template(container={"ports": [{"container_port": port}]}))
        assert f":{port}" not in service.uri
        assert answer(service.uri)["env"]["PORT"] == str(port)
        held.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody has asked here
            held.accept()


def test_a_container_that_listens_on_loopback_alone_is_refused_in_cloud_runs_words(run: Run) -> None:
    name = new_name()
    operation = run.services.create_service(
        parent=PARENT, service=run_v2.Service(template=template(LOOPBACK)), service_id=name
    )
    assert NEVER in run.failure(operation).message
    said = lines_of(run.get(name), "varlog/system")
    assert any("127.0.0.1" in line and "It must listen on 0.0.0.0" in line for line in said)


def test_a_service_reaches_another_that_was_there_before_it_and_one_that_came_later(run: Run) -> None:
    first = run.create(new_name())
    caller = run.create(new_name(), template(CALLER, env={"OTHER": first.uri}))
    assert fetch(caller.uri).json()["env"]["K_SERVICE"] == first.name.rsplit("/", 1)[1]
    later = run.create(new_name())
    assert fetch(caller.uri, f"/?{later.uri}").json()["env"]["K_SERVICE"] == later.name.rsplit("/", 1)[1]


@pytest.fixture
def own(tmp_path: Path, cloud: LocalCloud) -> Iterator[Own]:
    yield from Own.over(tmp_path / "data", cloud)


@own_network
def test_a_container_finds_a_port_of_this_machine_on_its_own_loopback_where_the_local_cloud_was_told_it(
    own: Own,
) -> None:
    with serving(Told) as told, serving(Told) as other, own.running("--reach", told.rpartition(":")[2]):
        caller = Run().create(new_name(), template(CALLER, env={"OTHER": told}))
        assert fetch(caller.uri).text == "from this machine"
        assert fetch(caller.uri, f"/?{other}").status_code == 503  # the app breaks off: nobody is there


class Told(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"from this machine")


PRIVATE = """
import http.server, os, urllib.parse, urllib.request
class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        other = self.path.partition("?")[2]
        body = b"" if not other else self.ask(other, {"Authorization": f"Bearer {self.token(other)}"})
        self.send_response(200); self.end_headers(); self.wfile.write(body)
    def token(self, audience):
        at = f"http://{os.environ['GCE_METADATA_HOST']}/computeMetadata/v1/instance/service-accounts/default/identity"
        query = urllib.parse.urlencode({"audience": audience, "format": "full"})
        return self.ask(f"{at}?{query}", {"Metadata-Flavor": "Google"}).decode()
    def ask(self, url, headers):
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10).read()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), App).serve_forever()
"""


@own_network
@pytest.mark.parametrize("port", [8080, 80])  # the metadata server is at 80, but for those who listen there themselves
def test_a_service_calls_a_private_one_as_what_it_runs_as_by_its_metadata_server(run: Run, port: int) -> None:
    """https://cloud.google.com/run/docs/authenticating/service-to-service"""
    asks = template(PRIVATE, container={"ports": [run_v2.ContainerPort(container_port=port)]})
    private, caller = run.create(new_name(), public=False), run.create(new_name(), asks)
    assert fetch(private.uri).status_code == 403
    run.open_to(f"serviceAccount:{caller.template.service_account}", private.name)
    assert fetch(caller.uri, f"/?{private.uri}").json()["env"]["K_SERVICE"] == private.name.rsplit("/", 1)[1]


class Here(Network):
    """Lends sockets of this machine's own network."""

    def take(self) -> socket.socket:
        return socket.socket()


async def test_however_many_addresses_there_are_an_instance_listens_at_few_besides_those_that_it_knows() -> None:
    networks, network = Networks(), Here("10.128.0.1", ())
    ports = sorted({free_port() for _ in range(MOST_OFFERED + 8)})
    await networks.offer(ports[0], asyncio.Protocol, always=True)
    for port in ports[1:]:
        await networks.offer(port, asyncio.Protocol)
    try:
        await networks.furnish(network, {"OTHER": f"http://127.0.0.1:{ports[1]}/x", "NONE": "http://example.com:80"})
        assert set(network._servers) == {ports[0], ports[1], *ports[-MOST_OFFERED:]}
        last = free_port()
        await network.serve(last, asyncio.Protocol)
        assert {ports[0], ports[1], last} <= set(network._servers)
        assert len(network._servers) == MOST_OFFERED + 2
    finally:
        network.close()
        network._wardens.close()


@pytest.fixture
def shared(tmp_path: Path, cloud: LocalCloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    """An emulator that finds no `unshare`: its instances share this machine's network."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for program in ("python3", "sh", "env"):
        (tools / program).symlink_to(shutil.which(program) or f"/bin/{program}")
    monkeypatch.setenv("PATH", str(tools))
    yield from Own.over(tmp_path / "data", cloud)


def test_without_networks_instances_are_told_a_port_and_a_fixed_one_is_explained(shared: Own) -> None:
    with shared.running():
        run = Run()
        assert answer(run.create("good").uri)["env"]["PORT"] != "8080"
        for name, code, said in (
            ("fixed", FIXED, "the local Google Cloud can make no network namespaces on this machine"),
            ("inner", LOOPBACK, "alone, which nobody outside of it can reach"),
        ):
            made = run_v2.Service(template=template(code))
            operation = run.services.create_service(parent=PARENT, service=made, service_id=name)
            assert NEVER in run.failure(operation).message
            assert any(said in line for line in lines_of(run.get(name), "varlog/system"))


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100007F:1F91 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 3
"""


def test_the_kernels_table_tells_who_listens() -> None:
    assert set(parse(TABLE.splitlines())) == {("0100007F", 8080), ("00000000", 80)}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        pytest.param("0100007F", True, id="127.0.0.1"),
        pytest.param("0500087F", True, id="127.8.0.5"),
        pytest.param("00000000", False, id="0.0.0.0"),
        pytest.param("0100800A", False, id="10.128.0.1"),
        pytest.param("00000000000000000000000001000000", True, id="::1"),
        pytest.param("00000000000000000000000000000000", False, id="::"),
        pytest.param("0000000000000000FFFF00000100007F", True, id="127.0.0.1 in IPv6"),
        pytest.param("B80D012000000000000000000100007F", False, id="an IPv6 address that ends alike"),
    ],
)
def test_loopback_is_known_as_the_kernel_writes_it(address: str, expected: bool) -> None:
    assert is_loopback(address) is expected


@given(st.sets(st.tuples(st.sampled_from(["0100007F", "00000000"]), st.integers(1, 3))))
def test_a_port_is_loopbacks_only_if_nobody_listens_on_it_elsewhere(found: set[tuple[str, int]]) -> None:
    assert loopback_only(found, 1) == (("0100007F", 1) in found and ("00000000", 1) not in found)
