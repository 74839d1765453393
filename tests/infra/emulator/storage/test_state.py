"""What the parts of Cloud Storage promise by themselves: listings, multipart bodies, growing objects, restarts."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.iam.policies import Policies
from infra.emulator.kernel.behaviour import Behaviour
from infra.emulator.kernel.store import Store
from infra.emulator.projects.projects import Projects
from infra.emulator.storage.errors import StorageError
from infra.emulator.storage.listing import Page, Query, glob_pattern, list_page
from infra.emulator.storage.objects import Objects
from infra.emulator.storage.related import Related
from infra.emulator.storage.resources import Resource, merged
from infra.emulator.storage.sessions import Sessions

NAMES = st.lists(st.text("ab/", min_size=1, max_size=6), unique=True).map(sorted)


def pages(names: list[str], query: Query) -> Iterator[Page]:
    token = ""
    while True:
        page = list_page(
            [(name, 0) for name in names],
            Query(query.prefix, query.delimiter, max_results=query.max_results, page_token=token),
        )
        yield page
        token = page.next_token
        if not token:
            return


@given(NAMES, st.text("ab/", max_size=2), st.sampled_from(["", "/"]), st.integers(1, 4))
def test_pages_of_any_size_show_each_object_and_prefix_once(
    names: list[str], prefix: str, delimiter: str, size: int
) -> None:
    shown = list(pages(names, Query(prefix, delimiter, max_results=size)))
    inside = [name for name in names if name.startswith(prefix)]
    deeper = [name for name in inside if delimiter and delimiter in name[len(prefix) :]]
    prefixes = sorted({prefix + name[len(prefix) :].split("/", 1)[0] + "/" for name in deeper})
    assert [name for page in shown for name, _ in page.keys] == [name for name in inside if name not in deeper]
    assert sorted(found for page in shown for found in page.prefixes) == prefixes
    assert all(len(page.keys) + len(page.prefixes) == size for page in shown[:-1])


@pytest.mark.parametrize(
    ("glob", "hits", "misses"),
    [
        ("*.txt", ["a.txt"], ["d/a.txt", "a.txt2"]),
        ("**.txt", ["a.txt", "d/a.txt"], ["a.md"]),
        ("d/?", ["d/1"], ["d/12", "d/"]),
        ("[ab]-{1,22}", ["a-1", "b-22"], ["c-1", "a-2"]),
        ("[!a]", ["b"], ["a"]),
        ("a.b", ["a.b"], ["aXb"]),
    ],
)
def test_globs_are_googles(glob: str, hits: list[str], misses: list[str]) -> None:
    pattern = glob_pattern(glob)
    assert [name for name in hits + misses if pattern.fullmatch(name)] == hits


@given(
    media=st.binary(max_size=300),
    newline=st.sampled_from([b"\r\n", b"\n"]),
    quote=st.sampled_from(["", "'", '"']),
    cuts=st.lists(st.integers(0, 500), max_size=6),
)
async def test_multipart_media_arrives_whole_however_it_is_cut_and_quoted(
    media: bytes, newline: bytes, quote: str, cuts: list[int]
) -> None:
    boundary = b"===end=="
    head = [b"--" + boundary, b"Content-Type: application/json", b"", b'{"name": "x"}', b"--" + boundary]
    body = newline.join([*head, b"Content-Type: text/plain", b"", media, b"--" + boundary + b"--", b""])
    loop = asyncio.get_running_loop()
    stream = StreamReader(BaseProtocol(loop), 1 << 16, loop=loop)
    edges = [0, *sorted(cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        stream.feed_data(body[start:end])
    stream.feed_eof()
    related = Related(f"multipart/related; boundary={quote}{boundary.decode()}{quote}", stream)
    assert (await related.metadata()).strip() == b'{"name": "x"}'
    assert await related.media_type() == "text/plain"
    assert b"".join([chunk async for chunk in related.media()]) == media


@pytest.mark.parametrize(
    ("patch", "result"),
    [
        ({"a": 2}, {"a": 2, "labels": {"x": "1", "y": "2"}}),
        ({"a": None}, {"labels": {"x": "1", "y": "2"}}),
        ({"labels": {"x": None, "z": "3"}}, {"a": 1, "labels": {"y": "2", "z": "3"}}),
        ({"labels": None}, {"a": 1}),
    ],
)
def test_a_patch_merges_and_null_removes(patch: Resource, result: Resource) -> None:
    assert merged({"a": 1, "labels": {"x": "1", "y": "2"}}, patch) == result


def world(folder: Path) -> tuple[Objects, Store]:
    store, behaviour = Store(folder / "state.db"), Behaviour("instant")
    projects = Projects(store, behaviour)
    projects.create("acme")
    return Objects(store, projects, Policies(store, behaviour), folder), store


@pytest.fixture
def objects(tmp_path: Path) -> Iterator[Objects]:
    made, store = world(tmp_path)
    made.create_bucket("logs", "acme")
    yield made
    store.close()


def test_a_growing_object_tells_its_size_and_hash_at_any_moment(objects: Objects) -> None:
    text = b""
    for line in (b"one\n", b"two\n", b"three\n"):
        objects.append("logs", "build.txt", line)
        text += line
        found = objects.stat("logs", "build.txt")
        assert (found["size"], found["generation"]) == (str(len(text)), objects.stat("logs", "build.txt")["generation"])
        assert found["md5Hash"] == b64encode(hashlib.md5(text).digest()).decode()
    assert objects.read("logs", "build.txt") == text


def test_a_copy_of_a_growing_object_stays_as_it_was(objects: Objects) -> None:
    objects.append("logs", "build.txt", b"one\n")
    objects.copy(objects.stat("logs", "build.txt"), "logs", "copy", {})
    objects.append("logs", "build.txt", b"two\n")
    assert objects.read("logs", "copy") == b"one\n"


def test_everything_answered_is_there_after_a_restart(tmp_path: Path) -> None:
    before, store = world(tmp_path)
    before.create_bucket("b", "acme", labels={"app": "x"})
    written = before.write("b", "kept", b"hello", metadata={"a": "b"})
    before.append("b", "log", b"one\n")
    upload_id = (sessions := Sessions(store, tmp_path / "sessions")).open({"bucket": "b", "name": "half"})
    sessions.path(upload_id).write_bytes(b"12345")
    # no farewell: what a killed process leaves
    after, reopened = world(tmp_path)
    assert after.stat("b", "kept") == written
    assert after.read("b", "kept") == b"hello"
    after.append("b", "log", b"two\n")
    assert after.read("b", "log") == b"one\ntwo\n"
    assert Sessions(reopened, tmp_path / "sessions").received(upload_id) == 5
    assert after.write("b", "kept", b"again")["generation"] > written["generation"]
    store.close()
    reopened.close()


def test_an_overwritten_objects_file_is_removed_where_nothing_is_soft_deleted(objects: Objects, tmp_path: Path) -> None:
    bucket = objects.buckets.get("logs")
    objects.buckets.put(bucket | {"softDeletePolicy": {"retentionDurationSeconds": "0"}})
    for _ in range(3):
        objects.write("logs", "x", b"x")
    objects.delete("logs", "x")
    assert list((tmp_path / "objects" / "logs").iterdir()) == []


def test_a_soft_deleted_objects_file_goes_with_its_time_or_its_bucket(objects: Objects, tmp_path: Path) -> None:
    folder = tmp_path / "objects" / "logs"
    bucket = objects.buckets.get("logs")
    objects.buckets.put(bucket | {"softDeletePolicy": {"retentionDurationSeconds": "1"}})
    for name in "ab":
        objects.write("logs", name, b"x")
    objects.delete("logs", "a")
    assert len(list(folder.iterdir())) == 2
    while objects.soft_deleted.within("logs"):
        pass  # a second
    objects.delete("logs", "b")
    assert len(list(folder.iterdir())) == 1
    objects.delete_bucket("logs")
    assert list(folder.iterdir()) == []


def test_a_refused_write_leaves_no_file(objects: Objects, tmp_path: Path) -> None:
    objects.write("logs", "x", b"x")
    with pytest.raises(StorageError):
        objects.write("logs", "x", b"y", if_generation_match=0)
    assert list((tmp_path / "objects" / ".staged").iterdir()) == []
