"""Images as builds and Cloud Run use them: resolved, read and unpacked in process."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from google.cloud import artifactregistry_v1

from infra.emulator.artifacts import builtin
from infra.emulator.artifacts.blobs import GRACE_S
from infra.emulator.artifacts.catalogue import Repository
from infra.emulator.artifacts.images import Images
from infra.emulator.artifacts.listing import page
from infra.emulator.artifacts.manifests import compose
from infra.emulator.artifacts.records import DockerImage
from infra.emulator.artifacts.references import parse_docker_image, parse_package, parse_reference
from infra.emulator.artifacts.unpack import unpack
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.store import Store

ListDockerImagesRequest = artifactregistry_v1.ListDockerImagesRequest.pb()
REPOSITORY = "projects/acme/locations/us-central1/repositories/images"
APP = "us-central1-docker.pkg.dev/acme/images/team/app"
HELLO = "us-docker.pkg.dev/cloudrun/container/hello"
Entry = tuple[str, bytes | str, bytes, int]  # name, contents or link target, tar type, mode


@pytest.fixture
def images(tmp_path: Path) -> Images:
    made = Images(Store(None), tmp_path)
    made.catalogue.repositories.put(REPOSITORY, Repository(name=REPOSITORY))
    return made


def file(name: str, data: bytes = b"", mode: int = 0o644) -> Entry:
    return name, data, tarfile.REGTYPE, mode


def folder(name: str, mode: int = 0o755) -> Entry:
    return name, b"", tarfile.DIRTYPE, mode


def link(name: str, target: str) -> Entry:
    return name, target, tarfile.SYMTYPE, 0o777


def hard(name: str, target: str) -> Entry:
    return name, target, tarfile.LNKTYPE, 0o644


def tar(entries: Iterable[Entry]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, kind, mode in entries:
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            if isinstance(content, str):
                member.linkname = content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue())


def lay(tmp_path: Path, *layers: Iterable[Entry]) -> Path:
    """Unpacks layers of these entries over each other."""
    files = []
    for number, entries in enumerate(layers):
        files.append(tmp_path / f"layer{number}")
        files[-1].write_bytes(tar(entries))
    unpack(files, tmp_path / "root")
    return tmp_path / "root"


# --- references


@pytest.mark.parametrize(
    ("text", "image", "tag", "digest"),
    [
        (APP, "team/app", "latest", ""),
        (f"{APP}:v1.2", "team/app", "v1.2", ""),
        (f"https://{APP}:v1", "team/app", "v1", ""),
        (f"{APP}@sha256:{'0' * 64}", "team/app", "", f"sha256:{'0' * 64}"),
        (f"{APP}:v1@sha256:{'0' * 64}", "team/app", "v1", f"sha256:{'0' * 64}"),
    ],
)
def test_a_reference_is_read_as_docker_reads_it(text: str, image: str, tag: str, digest: str) -> None:
    reference = parse_reference(text)
    assert (reference.repository, reference.image) == (REPOSITORY, image)
    assert (reference.tag, reference.digest) == (tag, digest)


@pytest.mark.parametrize(
    "text",
    ["python:3.12", "docker.io/library/python", "us-docker.pkg.dev/p/r", f"{APP}:", f"{APP}@sha256:12", f"{APP}/UP"],
)
def test_what_is_no_reference_to_artifact_registry_is_refused(text: str) -> None:
    with pytest.raises(RpcError, match="not a valid container image reference"):
        parse_reference(text)


def test_names_of_resources_lead_back_to_the_reference() -> None:
    reference = parse_reference(f"{APP}:v1@sha256:{'a' * 64}")
    assert reference.package == f"{REPOSITORY}/packages/team%2Fapp"
    assert parse_package(reference.tag_name).tag == "v1"
    assert parse_package(reference.version) == parse_docker_image(reference.docker_image)


# --- layers


def test_a_later_layer_replaces_adds_and_removes(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        [folder("etc"), file("etc/old", b"1"), file("etc/kept", b"1"), file("gone/a"), file("gone/b")],
        [file("etc/old", b"2"), file("etc/new", b"2"), file(".wh.gone")],
    )
    assert {path.name: path.read_bytes() for path in (root / "etc").iterdir()} == {
        "old": b"2",
        "kept": b"1",
        "new": b"2",
    }
    assert not (root / "gone").exists()


def test_an_opaque_whiteout_hides_what_was_below_but_not_its_own_layer(tmp_path: Path) -> None:
    root = lay(tmp_path, [file("d/old")], [file("d/early"), file("d/.wh..wh..opq"), file("d/late")])
    assert sorted(path.name for path in (root / "d").iterdir()) == ["early", "late"]


def test_modes_and_links_are_kept(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        [
            folder("usr/bin", 0o750),
            file("usr/bin/tool", b"#!", 0o755),
            link("bin", "/usr/bin"),
            file("bin/other", b"x", 0o600),
            hard("same", "bin/tool"),
        ],
    )
    assert (root / "usr/bin/tool").stat().st_mode & 0o777 == 0o755
    assert (root / "usr/bin/other").stat().st_mode & 0o777 == 0o600
    assert (root / "usr/bin").stat().st_mode & 0o777 == 0o750
    assert (root / "bin").readlink() == Path("/usr/bin")
    assert (root / "same").stat().st_ino == (root / "usr/bin/tool").stat().st_ino


def test_files_go_into_folders_that_forbid_it(tmp_path: Path) -> None:
    root = lay(tmp_path, [folder("closed", 0o500), file("closed/a")], [file("closed/b")])
    assert sorted(path.name for path in (root / "closed").iterdir()) == ["a", "b"]


def test_a_folder_may_become_a_file_and_a_link_a_folder(tmp_path: Path) -> None:
    root = lay(tmp_path, [file("a/x"), link("b", "a")], [file("a", b"now a file"), folder("b"), file("b/y")])
    assert (root / "a").read_bytes() == b"now a file"
    assert (root / "b" / "y").is_file()
    assert not (root / "b").is_symlink()


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([link("out", "/"), file("out/escaped")], id="absolute link"),
        pytest.param([link("out", "../../.."), file("out/escaped")], id="relative link"),
        pytest.param([link("a", "b"), link("b", "../.."), file("a/escaped")], id="link over a link"),
        pytest.param([file("/escaped")], id="absolute name"),
    ],
)
def test_a_way_out_of_the_root_leads_back_into_it(tmp_path: Path, entries: list[Entry]) -> None:
    root = lay(tmp_path, entries)
    assert (root / "escaped").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer0", "root"]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([file("../escaped")], id="name with dots"),
        pytest.param([hard("a", "../../etc/passwd")], id="hard link out"),
        pytest.param([hard("a", "nothing")], id="hard link to nothing"),
        pytest.param([link("a", "b"), link("b", "a"), file("a/x")], id="links in a circle"),
        pytest.param([file("a"), file("a/b")], id="file below a file"),
    ],
)
def test_a_layer_that_makes_no_sense_is_refused(tmp_path: Path, entries: list[Entry]) -> None:
    with pytest.raises(RpcError):
        lay(tmp_path, entries)
    assert not (tmp_path.parent / "escaped").exists()


def test_removing_through_a_link_stays_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    lay(tmp_path, [link("out", str(outside))], [file("out/.wh.precious"), file("out/.wh..wh..opq")])
    assert (outside / "precious").exists()


@pytest.mark.parametrize(
    "data",
    [b"no archive", gzip.compress(b"x" * 1000), tar([file("a", b"x" * 9999)])[:-40]],
    ids=["no archive", "compressed no archive", "cut off"],
)
def test_a_damaged_layer_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "layer").write_bytes(data)
    with pytest.raises(RpcError, match="not a usable archive"):
        unpack([tmp_path / "layer"], tmp_path / "root")


# --- images


async def test_a_pushed_image_is_resolved_read_and_unpacked(images: Images, tmp_path: Path) -> None:
    layer = images.add_blob(tar([file("app", b"1")]))
    config = {"os": "linux", "architecture": "amd64", "config": {"Cmd": ["/app"]}}
    digest = images.push(f"{APP}:v1", compose(images.blobs, config, [layer]))
    assert images.resolve(f"{APP}:v1").uri == f"{APP}@{digest}"
    assert images.resolve(f"{APP}@{digest}") == images.resolve(f"{APP}:v1")
    assert images.layers(f"{APP}:v1") == [images.blobs.path(layer)]
    assert await images.unpack(f"{APP}:v1", tmp_path / "root") == config == images.config(f"{APP}:v1")
    assert (tmp_path / "root" / "app").read_bytes() == b"1"


def test_an_index_gives_the_image_for_linux_on_amd64(images: Images) -> None:
    digests = {}
    for architecture in ("arm64", "amd64"):
        layer = images.add_blob(tar([file(architecture)]))
        manifest = compose(images.blobs, {"os": "linux", "architecture": architecture}, [layer])
        digests[architecture] = images.push(f"{APP}:{architecture}", manifest)
    media_type = "application/vnd.oci.image.index.v1+json"

    def push(*architectures: str) -> None:
        children = [
            {"digest": digests[name], "size": 1, "platform": {"os": "linux", "architecture": name}}
            for name in architectures
        ]
        images.push(f"{APP}:multi", json.dumps({"manifests": children}).encode(), media_type)

    push("arm64", "amd64")
    assert images.config(f"{APP}:multi")["architecture"] == "amd64"
    assert images.resolve(f"{APP}:multi").media_type == media_type
    push("arm64")
    with pytest.raises(RpcError, match="must support amd64/linux"):
        images.layers(f"{APP}:multi")


@pytest.mark.parametrize(
    "reference", [f"{APP}:none", f"{APP}@sha256:{'0' * 64}", "us-docker.pkg.dev/acme/none/app", f"{HELLO}:2"]
)
def test_an_image_that_is_not_there_is_not_found(images: Images, reference: str) -> None:
    with pytest.raises(RpcError) as caught:
        images.resolve(reference)
    assert caught.value.http_status == 404


def test_the_hello_image_is_there_without_anyone_pushing_it(images: Images) -> None:
    assert images.resolve(HELLO) == images.resolve(f"{HELLO}:latest")
    config = images.config(HELLO)["config"]
    assert config["Labels"] == {builtin.AS_PROCESS: "true"}
    assert config["Entrypoint"][1] == "/app/hello.py"


async def test_a_sweep_takes_only_old_blobs_that_nothing_refers_to(images: Images) -> None:
    kept = images.add_blob(tar([file("kept")]))
    images.push(f"{APP}:v1", compose(images.blobs, {}, [kept]))
    orphan, fresh = images.add_blob(b"orphan"), images.add_blob(b"fresh")
    long_ago = time.time() - GRACE_S - 60
    for path in (images.blobs.path(kept).parent).iterdir():
        if path != images.blobs.path(fresh):
            os.utime(path, (long_ago, long_ago))
    assert await images.sweep() == 1
    assert orphan not in images.blobs
    assert fresh in images.blobs
    assert images.resolve(f"{APP}:v1")
    assert images.config(f"{APP}:v1") == {}


def test_images_survive_a_restart(tmp_path: Path) -> None:
    before = Images(Store(tmp_path / "state.db"), tmp_path)
    before.catalogue.repositories.put(REPOSITORY, Repository(name=REPOSITORY))
    digest = before.push(f"{APP}:v1", compose(before.blobs, {"os": "linux"}, []))
    after = Images(Store(tmp_path / "state.db"), tmp_path)
    assert after.resolve(f"{APP}:v1").digest == digest
    assert after.config(f"{APP}:v1") == {"os": "linux"}


def test_a_page_of_a_thousand_images_does_not_wait_for_the_others(images: Images) -> None:
    """The bound is generous: on a quiet machine it takes about 10 ms, whatever the number of images."""
    for number in range(3000):
        name = f"{REPOSITORY}/dockerImages/app@sha256:{number:064x}"
        images.catalogue.manifests.put(name, DockerImage(name=name, tags=[f"v{number}"]))
    request = ListDockerImagesRequest(parent=REPOSITORY, page_size=5000)
    request.page_token = f"{REPOSITORY}/dockerImages/app@sha256:{999:064x}"
    start = time.process_time()
    found, token = page(images.catalogue.manifests, f"{REPOSITORY}/dockerImages/", request)
    assert time.process_time() - start < 0.5
    assert [found[0].tags, found[-1].tags] == [["v1000"], ["v1999"]]
    assert token == found[-1].name
