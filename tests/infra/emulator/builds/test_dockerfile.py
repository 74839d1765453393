"""How the built-in builder reads Dockerfiles and build contexts."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.artifacts.blobs import Blobs
from infra.emulator.artifacts.unpack import unpack
from infra.emulator.builds import context, dockerfile, rootfs
from infra.emulator.builds.bases import Base, canonical, stand_in
from infra.emulator.builds.builtin import Builtin, Options, base_names
from infra.emulator.builds.dockerfile import DockerfileError


def build(folder: Path, text: str, files: dict[str, str] | None = None, options: Options | None = None) -> Image:
    """Builds a Dockerfile with these context files and answers the image."""
    root = folder / "context"
    for name, content in (files or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    root.mkdir(exist_ok=True)
    options = options or Options()
    parsed = dockerfile.parse(text)
    bases = {name: stand_in(name) or Base({}) for name in base_names(parsed, options)}
    blobs = Blobs(folder / "blobs")
    said: list[str] = []
    manifest = Builtin(parsed, options, bases, {}, (), said.append).build(context.load(root), blobs)
    return Image(manifest, blobs, folder / "image", said)


class Image:
    def __init__(self, manifest: bytes, blobs: Blobs, folder: Path, said: list[str]) -> None:
        self.manifest, self.said = json.loads(manifest), said
        self.config: dict[str, Any] = json.loads(blobs.read(self.manifest["config"]["digest"]))
        self.settings: dict[str, Any] = self.config["config"]
        unpack([blobs.path(layer["digest"]) for layer in self.manifest["layers"]], folder)
        self.files = {
            str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()
        }


@pytest.mark.parametrize(
    ("copy", "expected"),
    [
        pytest.param(
            "COPY . .", {"app/a.txt", "app/lib/b.py", "app/lib/c.py"}, id="everything into the working folder"
        ),
        pytest.param("COPY a.txt /x/", {"x/a.txt"}, id="a file into a folder"),
        pytest.param("COPY a.txt /x", {"x"}, id="a file under another name"),
        pytest.param("COPY a.txt .", {"app/a.txt"}, id="a file into the working folder"),
        pytest.param("COPY lib /x", {"x/b.py", "x/c.py"}, id="a folder's content, not the folder"),
        pytest.param("COPY lib/*.py code/", {"app/code/b.py", "app/code/c.py"}, id="a glob"),
        pytest.param("COPY l?b/[b].py /", {"b.py"}, id="single characters and sets"),
        pytest.param('COPY ["a.txt", "lib", "/y/"]', {"y/a.txt", "y/b.py", "y/c.py"}, id="JSON form, several sources"),
        pytest.param("ADD a.txt /z/", {"z/a.txt"}, id="ADD of a plain file"),
        pytest.param("COPY --chown=1000:1000 a.txt /o/", {"o/a.txt"}, id="an owner is ignored"),
        pytest.param("COPY <<EOF /etc/motd\nhello\nEOF", {"etc/motd"}, id="a here-document"),
    ],
)
def test_copy_puts_files_where_docker_puts_them(tmp_path: Path, copy: str, expected: set[str]) -> None:
    files = {"a.txt": "a", "lib/b.py": "b", "lib/c.py": "c"}
    image = build(tmp_path, f"FROM scratch\nWORKDIR /app\n{copy}\n", files)
    assert set(image.files) == expected


@pytest.mark.parametrize(
    ("delimiter", "body", "written"),
    [  # as BuildKit's own tests have them: frontend/dockerfile/dockerfile_heredoc_test.go
        pytest.param("EOF", "Hello ${name}!", "Hello world!", id="a variable"),
        pytest.param("EOF", "'${name}' \"$name\"", "'world' \"world\"", id="quotes are text"),
        pytest.param("EOF", r"a \$ and \${name}", "a $ and ${name}", id="an escaped dollar sign"),
        pytest.param("EOF", r"\\", "\\", id="an escaped backslash"),
        pytest.param("EOF", "\\", "", id="a backslash at a line's end"),
        pytest.param("'EOF'", r"${name} \$ $HOME", r"${name} \$ $HOME", id="verbatim by single quotes"),
        pytest.param('"EOF"', r"${name} \\ 'x'", r"${name} \\ 'x'", id="verbatim by double quotes"),
    ],
)
def test_a_here_document_is_written_as_buildkit_writes_it(
    tmp_path: Path, delimiter: str, body: str, written: str
) -> None:
    image = build(tmp_path, f"FROM scratch\nARG name=world\nCOPY <<{delimiter} /f\n{body}\nEOF\n")
    assert image.files["f"] == f"{written}\n"


def test_a_single_word_loses_its_quotes_and_its_escapes(tmp_path: Path) -> None:
    image = build(tmp_path, "FROM scratch\nENV price \\$5 'a b'\nENV N=x\nWORKDIR \"/a b/$N\"\nUSER us\\er\n")
    assert "price=$5 a b" in image.settings["Env"]
    assert image.settings["WorkingDir"] == "/a b/x"
    assert image.settings["User"] == "user"


def test_a_source_that_is_not_there_fails_with_dockers_words(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError, match=r"excluded by .dockerignore: stat root/: file does not exist"):
        build(tmp_path, "FROM scratch\nCOPY root/ /\n")


def test_dockerignore_leaves_out_and_brings_back(tmp_path: Path) -> None:
    files = {
        ".dockerignore": "# comment\n**/*.log\nsecrets\n!secrets/public.txt\n/.git\n",
    } | dict.fromkeys(("a.log", "deep/er/b.log", "deep/keep.txt", "secrets/key", "secrets/public.txt", ".git/HEAD"), "")
    image = build(tmp_path, "FROM scratch\nCOPY . /\n", files)
    assert set(image.files) == {".dockerignore", "deep/keep.txt", "secrets/public.txt"}


def test_every_setting_lands_in_the_image_configuration(tmp_path: Path) -> None:
    text = """
# syntax=docker/dockerfile:1
ARG TAG=3.12
FROM python:${TAG}-slim AS base
ARG COLOUR=red
ARG UNSET
ENV A=1 B="two words" C=${COLOUR:-blue}-$A
ENV OLD style value
WORKDIR /srv
WORKDIR app
USER 1000:1000
EXPOSE 8080 53/udp
LABEL org.example.name="Store \\"front\\"" plain=yes
STOPSIGNAL SIGINT
VOLUME ["/data"]
HEALTHCHECK --interval=1m30s --retries=2 CMD curl -f http://localhost/
ENTRYPOINT ["python"]
CMD main.py \\
    # a comment inside
    --verbose
"""
    settings = build(tmp_path, text).settings
    env = dict(entry.split("=", 1) for entry in settings["Env"])
    assert {k: env[k] for k in ("A", "B", "C", "OLD")} == {
        "A": "1",
        "B": "two words",
        "C": "red-",
        "OLD": "style value",
    }
    assert settings["WorkingDir"] == "/srv/app"
    assert settings["User"] == "1000:1000"
    assert settings["ExposedPorts"] == {"8080/tcp": {}, "53/udp": {}}
    assert settings["Labels"]["org.example.name"] == 'Store "front"'
    assert settings["StopSignal"] == "SIGINT"
    assert settings["Volumes"] == {"/data": {}}
    assert settings["Healthcheck"]["Interval"] == 90 * 10**9
    assert settings["Entrypoint"] == ["python"]
    assert settings["Cmd"] == ["/bin/sh", "-c", "main.py     --verbose"]


def test_build_arguments_override_defaults_and_reach_from(tmp_path: Path) -> None:
    text = "ARG BASE=nothing/else\nFROM $BASE\nARG WHO=world\nENV GREETING=hello-$WHO\n"
    options = Options(arguments={"BASE": "python:3", "WHO": "you"})
    assert base_names(dockerfile.parse(text), options) == ["python:3"]
    assert "GREETING=hello-you" in build(tmp_path, text, options=options).settings["Env"]


def test_a_later_stage_takes_files_from_an_earlier_one(tmp_path: Path) -> None:
    text = """
FROM scratch AS assets
COPY site /site
FROM assets AS more
COPY extra.txt /site/
FROM scratch
COPY --from=more /site /www
COPY --from=0 /site/index.html /first.html
"""
    image = build(tmp_path, text, {"site/index.html": "<h1>", "extra.txt": "x"})
    assert image.files == {"www/index.html": "<h1>", "www/extra.txt": "x", "first.html": "<h1>"}


def test_the_target_ends_the_build_early(tmp_path: Path) -> None:
    text = "FROM scratch AS one\nENV N=1\nFROM scratch AS two\nENV N=2\n"
    assert "N=1" in build(tmp_path, text, options=Options(target="one")).settings["Env"]
    with pytest.raises(DockerfileError, match="failed to reach build target three"):
        build(tmp_path, text, options=Options(target="three"))


def test_add_unpacks_an_archive_and_copy_does_not(tmp_path: Path) -> None:
    (tmp_path / "context").mkdir()
    with tarfile.open(tmp_path / "context" / "a.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("inner/file.txt")
        member.size = 2
        archive.addfile(member, io.BytesIO(b"hi"))
    image = build(tmp_path, "FROM scratch\nADD a.tar.gz /added/\n")
    assert image.files == {"added/inner/file.txt": "hi"}


def test_run_is_refused_with_its_line_and_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DockerfileError) as refusal:
        build(tmp_path, "FROM python:3.12-slim\nCOPY . .\nRUN pip install flask\n")
    assert "line 3: RUN pip install flask" in str(refusal.value)
    assert "buildah" in str(refusal.value)
    assert "slipway emulator mirror python:3.12-slim" in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "no instructions", id="empty"),
        pytest.param("COPY . .", "before FROM", id="no FROM"),
        pytest.param("FROM a b", "FROM requires either one or three arguments", id="bad FROM"),
        pytest.param("FROM scratch\nFETCH x", "line 2: unknown instruction: FETCH", id="unknown instruction"),
        pytest.param("FROM scratch\nENV", "line 2: ENV requires", id="nothing after the name"),
        pytest.param("FROM scratch\nCOPY <<EOF /x\ntext", "unterminated heredoc EOF", id="open here-document"),
        pytest.param("FROM scratch\nENV A=1 B", 'line 2: Syntax error - can\'t find = in "B"', id="ENV without ="),
        pytest.param("FROM scratch\nADD https://example.com/x /x", "fetches nothing from the network", id="a URL"),
    ],
)
def test_a_broken_dockerfile_is_refused_with_the_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(DockerfileError) as refusal:
        build(tmp_path, text)
    assert problem in str(refusal.value)


def test_another_escape_character_frees_the_backslash() -> None:
    parsed = dockerfile.parse("# escape=`\nFROM scratch\nCMD one `\n  two\\three\n")
    assert parsed.stages[0].instructions[0].value == "one   two\\three"


def test_the_same_content_gives_the_same_digest_whatever_its_times_and_order(tmp_path: Path) -> None:
    files = {"b/x.txt": "x", "a.txt": "a"}
    first = build(tmp_path / "1", "FROM scratch\nCOPY . /app/\n", files)
    second = build(tmp_path / "2", "FROM scratch\nCOPY . /app/\n", dict(reversed(files.items())))
    os.utime(tmp_path / "2" / "context" / "a.txt", (1, 1))
    assert first.manifest == second.manifest
    assert first.manifest == build(tmp_path / "2", "FROM scratch\nCOPY . /app/\n").manifest


def test_only_the_executable_bit_of_a_mode_counts(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o700)
    (tmp_path / "key").write_text("k")
    (tmp_path / "key").chmod(0o600)
    tree = rootfs.read_folder(tmp_path)
    assert {name: item.mode for name, item in tree.items()} == {"run.sh": 0o755, "key": 0o644}


@given(st.dictionaries(st.text("abc/", min_size=1, max_size=6).map(rootfs.clean).filter(bool), st.binary(max_size=20)))
def test_a_layer_is_a_gzipped_tar_of_exactly_its_entries(tmp_path_factory: Any, entries: dict[str, bytes]) -> None:
    blobs = Blobs(tmp_path_factory.mktemp("blobs"))
    tree = {name: rootfs.Entry("file", 0o644, data=data) for name, data in entries.items()}
    layer = rootfs.write_layer(tree, blobs)
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(blobs.read(layer.digest)))) as archive:
        members = archive.getmembers()
        assert [member.name for member in members] == sorted(entries)
        assert {m.name: (archive.extractfile(m) or io.BytesIO()).read() for m in members} == entries
    assert layer == rootfs.write_layer(dict(reversed(tree.items())), blobs)


@given(st.text())
def test_text_without_a_dollar_a_quote_or_an_escape_expands_to_itself(text: str) -> None:
    plain = re.sub(r"""[$\\'"]""", "", text)
    assert dockerfile.expand(plain, lambda _: None) == plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ${X} b", ["a", "1", "b"]),
        ("'$X' \"$X\"", ["$X", "1"]),
        (r"\$X a\ b", ["$X", "a b"]),
        ("${Y:-d} ${Y-d} ${E:-d} ${E-d}", ["d", "d", "d"]),
        ("${X:+set}${Y:+set}", ["set"]),
    ],
    ids=["variable", "quotes", "escapes", "defaults", "alternatives"],
)
def test_words_follow_the_shells_rules(text: str, expected: list[str]) -> None:
    assert dockerfile.words(text, {"X": "1", "E": ""}.get) == expected


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim"),
        ("bitnami/nginx", "docker.io/bitnami/nginx:latest"),
        ("gcr.io/distroless/python3", "gcr.io/distroless/python3:latest"),
        ("localhost:5000/x:1", "localhost:5000/x:1"),
    ],
)
def test_short_image_names_mean_docker_hub(short: str, full: str) -> None:
    assert canonical(short) == full


@pytest.mark.parametrize(
    "name", ["python:3.12-slim", "node:22", "debian", "gcr.io/distroless/python3-debian12", "alpine:3"]
)
def test_a_system_or_interpreter_has_a_stand_in(name: str) -> None:
    base = stand_in(name)
    assert base is not None
    assert not base.layers
    assert "this machine's own" in base.note


@pytest.mark.parametrize("name", ["nginx:1", "golang:1.22", "postgres", "mcr.microsoft.com/dotnet/sdk:8.0"])
def test_an_image_that_is_more_than_a_system_has_none(name: str) -> None:
    assert stand_in(name) is None
