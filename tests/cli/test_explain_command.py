"""`slipway explain` as a process: files, pipes, many messages at once, broken lines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SLIPWAY = Path(sys.executable).parent / "slipway"
DENIED = "ERROR: (gcloud.run.deploy) PERMISSION_DENIED: Permission 'run.services.get' denied on resource"


def slipway(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(SLIPWAY), "explain", *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("arguments", [(), ("-",)], ids=["nothing", "a dash"])
def test_a_pasted_message_is_explained(arguments: tuple[str, ...]) -> None:
    done = slipway(*arguments, text=DENIED)
    lines = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert done.returncode == 0
    assert list(lines) == ["cause", "transient", "problem", "remedy", "link"]
    assert (lines["cause"].strip(), lines["transient"].strip()) == ("permission", "no")
    assert "roles/run.admin" in lines["remedy"]


def test_a_file_is_explained_even_when_it_is_not_all_utf8(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff\xfe 429 Too Many Requests")
    assert "rate_limit" in slipway(str(tmp_path / "log")).stdout


def test_a_message_may_be_given_as_it_is() -> None:
    done = slipway(DENIED)
    assert (done.returncode, done.stdout) == (0, slipway(text=DENIED).stdout)


def test_a_word_that_is_no_file_is_not_taken_for_a_message() -> None:
    done = slipway("build.log")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read from build.log: No such file" in done.stderr


def test_many_messages_are_answered_in_one_process_in_their_order() -> None:
    texts = [DENIED, "googleapi: Error 503: Service Unavailable", 'build x completed with status "TIMEOUT"', "odd"]
    done = slipway("--jsonl", text="".join(json.dumps({"id": n, "text": t}) + "\n" for n, t in enumerate(texts)))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [answer["id"] for answer in answers] == [0, 1, 2, 3]
    assert [answer["cause"] for answer in answers] == ["permission", "service_unavailable", "timeout", "other"]
    assert [answer["transient"] for answer in answers] == [False, True, "maybe", False]
    assert all(set(answer) == {"id", "cause", "transient", "remedy", "link"} for answer in answers)


def test_a_broken_line_is_named_by_its_number_and_the_others_are_answered() -> None:
    lines = [
        '{"id": "a", "text": "x"}',
        "{not json",
        "",
        '{"id": "b"}',
        '["c"]',
        '{"id": 1, "text": 2}',
        '{"id": "d", "text": "y"}',
    ]
    done = slipway("-", "--jsonl", text="\n".join(lines))
    assert done.returncode == 2
    assert [json.loads(line)["id"] for line in done.stdout.splitlines()] == ["a", "d"]
    assert [line.split(" is ")[0] for line in done.stderr.splitlines()] == [
        f"slipway: line {number}" for number in (2, 4, 5, 6)
    ]


def test_a_file_that_cannot_be_read_is_said_without_a_traceback(tmp_path: Path) -> None:
    done = slipway(str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_secret_of_the_message_is_printed() -> None:
    done = slipway(text=f"{DENIED} with Authorization: Bearer ya29.planted-planted-planted")
    assert "planted" not in done.stdout + done.stderr
