"""Instances of the local Cloud Run as containers, where podman can run them."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from google.cloud import run_v2

from tests.conftest import LocalCloud
from tests.infra.emulator.emulated_registry import HOST, OCI_MANIFEST, OciClient, image_name, new_repository
from tests.infra.emulator.emulated_run import Own, Run, fetch, lines_of, new_name, short

PERL_BASE = Path("/usr/lib/x86_64-linux-gnu/perl-base")
pytestmark = pytest.mark.skipif(
    shutil.which("podman") is None or not PERL_BASE.is_dir(),
    reason="podman, or Debian's perl-base to run in it, is missing",
)
# A web server for a system that has perl alone: tells its environment, and eats memory when asked to.
SERVER = r"""
use IO::Socket::INET; $| = 1;
$SIG{TERM} = sub { print "told to end\n"; exit 0 };
my $server = IO::Socket::INET->new(LocalAddr => "0.0.0.0", LocalPort => $ENV{PORT}, Listen => 9, ReuseAddr => 1) or die;
print "listening\n";
while (my $client = $server->accept) {
    my $line = <$client>; while (<$client>) { last if /^\r?\n$/ }
    my $eaten = "x" x ($line =~ m{/eat} ? 200 << 20 : 0);
    my $body = join("\n", map { "$_=$ENV{$_}" } sort keys %ENV);
    print $client "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
    close $client;
}
"""


class Kinds(NamedTuple):
    """Media types, as one of the two standards has them."""

    manifest: str
    config: str
    layer: str


OCI = Kinds(OCI_MANIFEST, "application/vnd.oci.image.config.v1+json", "application/vnd.oci.image.layer.v1.tar+gzip")
DOCKER = Kinds(  # as buildah makes them
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.container.image.v1+json",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
)


@pytest.fixture
def own(cloud: LocalCloud, tmp_path: Path) -> Iterator[Own]:
    yield from Own.over(tmp_path / ".Slipway_" / "cloud", cloud)  # podman makes no image name of such a path


def system_with_perl() -> bytes:
    """A layer (tar) with perl, what it needs to run, and the server."""
    libraries = subprocess.run(["ldd", "/usr/bin/perl"], capture_output=True, text=True, check=True).stdout
    files = ["/usr/bin/perl", *re.findall(r"(/\S+\.so\S*)", libraries)]
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", dereference=True) as archive:
        for file in files:
            archive.add(file, file.lstrip("/"))
        archive.add(PERL_BASE, str(PERL_BASE).lstrip("/"))
        member = tarfile.TarInfo("app/server.pl")
        member.size = len(SERVER)
        archive.addfile(member, io.BytesIO(SERVER.encode()))
    return out.getvalue()


def push_image(cloud: LocalCloud, kinds: Kinds = OCI) -> str:
    """Pushes the image to a repository of its own; answers its reference by digest."""
    registry, name, layer = OciClient(cloud), image_name(new_repository()), system_with_perl()
    with registry.http:
        return push(registry, name, layer, kinds)


def push(registry: OciClient, name: str, layer: bytes, kinds: Kinds) -> str:
    diff_id = f"sha256:{hashlib.sha256(layer).hexdigest()}"
    config = {
        "os": "linux",
        "architecture": "amd64",
        "config": {
            "Entrypoint": ["/usr/bin/perl"],
            "Cmd": ["server.pl"],
            "WorkingDir": "/app",
            "Env": ["FROM_IMAGE=yes", "TMPDIR=/of/the/image"],
        },
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": kinds.manifest,
        "config": {"mediaType": kinds.config, **registry.blob(name, json.dumps(config).encode())},
        "layers": [{"mediaType": kinds.layer, **registry.blob(name, gzip.compress(layer, 1))}],
    }
    document = json.dumps(manifest).encode()
    assert registry.put(name, "v1", document, kinds.manifest).status_code == 201
    return f"{HOST}/{name}@sha256:{hashlib.sha256(document).hexdigest()}"


def create(cloud: LocalCloud, kinds: Kinds = OCI, mark: str = "yes", **limits: str) -> Any:
    resources = run_v2.ResourceRequirements(limits=limits) if limits else None
    container = run_v2.Container(
        image=push_image(cloud, kinds), resources=resources, env=[run_v2.EnvVar(name="FROM_SERVICE", value=mark)]
    )
    service = Run().create(new_name("pod"), run_v2.RevisionTemplate(containers=[container]))
    if "with the podman runtime" not in (said := lines_of(service, "varlog/system")[0]):
        pytest.skip(said)
    return service


@pytest.mark.parametrize("kinds", [OCI, DOCKER], ids=["an OCI image", "a Docker image"])
def test_a_container_answers_with_the_environment_of_image_and_service(
    cloud: LocalCloud, cloud_env: dict[str, str], kinds: Kinds
) -> None:
    service = create(cloud, kinds)
    env = dict(line.partition("=")[::2] for line in fetch(service.uri).text.splitlines())
    assert (env["FROM_IMAGE"], env["FROM_SERVICE"]) == ("yes", "yes")
    assert env["TMPDIR"] == "/of/the/image"  # and podman keeps its own files elsewhere
    assert env["K_SERVICE"] == service.name.rsplit("/", 1)[1]
    assert lines_of(service, "stdout") == ["listening"]


def test_a_container_that_takes_more_memory_than_it_may_is_killed_and_started_again(
    cloud: LocalCloud, cloud_env: dict[str, str]
) -> None:
    service = create(cloud, memory="128Mi", cpu="1")
    assert fetch(service.uri, "/eat").status_code == 503
    assert fetch(service.uri).status_code == 200


def test_a_killed_emulator_leaves_no_container_behind(cloud: LocalCloud, own: Own) -> None:
    with own.running(kill=True) as process:
        mine = LocalCloud({}, "", own.data)
        service = create(mine, mark=str(own.data))
        assert len(marked(str(own.data))) == 1
        assert process.poll() is None
    deadline = time.monotonic() + 30
    while marked(str(own.data)):
        assert time.monotonic() < deadline, "the container still runs"
        time.sleep(0.1)
    with own.running():
        assert fetch(Run().get(short(service.name)).uri).status_code == 200  # and it comes back when it is needed


def marked(mark: str) -> list[str]:
    """The processes of this machine that run the server with that mark in their environment."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            command = environment.with_name("cmdline").read_bytes().split(b"\0")
            if command[0] == b"/usr/bin/perl" and f"FROM_SERVICE={mark}".encode() in environment.read_bytes():
                found.append(environment.parent.name)
    return found
