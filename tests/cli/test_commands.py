"""Every command explains itself, and says what is missing when it cannot do its work."""

from __future__ import annotations

import http.server
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cli.main import app
from tests.cli.command import SLIPWAY, refusal, slipway

pytestmark = pytest.mark.usefixtures("warm")

ROOT = Path(__file__).parent.parent.parent
SHOP = ROOT / "examples" / "storefront"
COMMANDS = {
    "up": ["--demo", "--once", "--project", "--data"],
    "deploy": ["--environment", "--repository", "--ref", "--service", "--irreversible", "--who", "--why"],
    "promote": ["--environment", "--from", "--version", "--repository", "--who", "--why", "--json"],
    "rollback": ["--environment", "--to", "--repository", "--who", "--why", "--json"],
    "init": ["--folder", "--app", "--project", "--region", "--output"],
    "register": ["--repository", "--folder", "--pool", "--credentials", "--move", "--generic", "--json"],
    "unregister": ["--app", "--environment", "--gone", "--repository", "--folder", "--yes", "--json"],
    "check": ["--folder", "--file", "--environment", "--json"],
    "history": ["--environment", "--repository", "--limit", "--json"],
    "status": ["--environment", "--repository", "--json"],
    "doctor": ["--environment", "--repository", "--ref", "--service", "--json"],
    "version": ["--repo", "--ref", "--json"],
    "explain": ["--file", "--jsonl"],
    "schema": [],
    "emulator run": ["--data", "--project", "--profile", "--port", "--admin-port"],
    "emulator env": ["--data", "--json"],
    "emulator reset": ["--data"],
    "emulator faults": ["--file", "--data", "--clear"],
    "emulator mirror": ["IMAGES", "--data", "--archive", "--suite"],
}


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """The lines of the help."""
    app([*arguments, "--help"], console=Console(width=100, force_terminal=False), result_action="return_value")
    return [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]


def test_the_help_names_every_command_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys)
    for name in {command.split()[0] for command in COMMANDS}:
        assert any(row.startswith(f"{name} ") and len(row) > len(name) + 10 for row in rows), name


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_describes_it_and_every_option(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = shown(capsys, *command.split())
    assert rows[2].endswith(".")
    for option in COMMANDS[command]:
        row = next(row for row in rows if option in row.split())
        words = [word for word in row.partition("[")[0].split() if word.islower() and word[0] != "-"]
        assert words, row
    assert not any("--no-" in row for row in rows)  # a switch is on when it is given, that is all


def test_a_shell_gets_the_help_too(tmp_path: Path) -> None:
    done = slipway("--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: slipway COMMAND" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["version", "--nonsense"],
        ["deploy"],
        ["schema", "too", "much"],
        ["emulator", "run", "--profile=fast"],
    ],
    ids=["unknown command", "unknown option", "missing option", "too many words", "wrong choice"],
)
def test_a_command_line_that_makes_no_sense_is_refused(arguments: list[str], tmp_path: Path) -> None:
    done = slipway(*arguments, cwd=tmp_path)
    assert done.returncode != 0
    assert "Error" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_the_schema_is_the_one_that_editors_read(tmp_path: Path) -> None:
    done = slipway("schema", cwd=tmp_path)
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((ROOT / "slipway.schema.json").read_text())


@pytest.mark.parametrize("command", ["deploy", "doctor", "promote", "rollback", "cleanup", "ship"])
def test_a_run_without_a_prefect_server_is_refused_with_the_remedy(command: str, tmp_path: Path) -> None:
    where = [] if command in ("cleanup", "ship") else ["--environment", "production"]
    said = refusal(slipway(command, *where, "--repository", str(SHOP), cwd=tmp_path))
    assert "No Prefect server is known" in said
    assert "To fix: set PREFECT_API_URL, or start a local one with: slipway up" in said


def test_drift_that_could_not_be_looked_for_is_not_told_by_the_exit_code_of_drift(tmp_path: Path) -> None:
    done = slipway("drift", "--environment=production", f"--repository={SHOP}", cwd=tmp_path)
    assert "No Prefect server is known" in done.stderr
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/api", "nonsense"], ids=["nobody listens", "no address"])
def test_a_prefect_server_that_does_not_answer_is_named(address: str, tmp_path: Path) -> None:
    said = refusal(
        slipway("deploy", "--environment=production", f"--repository={SHOP}", cwd=tmp_path, PREFECT_API_URL=address)
    )
    assert f"Prefect's API at {address} does not answer" in said
    assert "correct PREFECT_API_URL" in said
    assert "Nothing was changed." in said


class _Page(http.server.BaseHTTPRequestHandler):
    """A web page where Prefect's API should be: what an address without /api leads to."""

    def do_GET(self) -> None:
        self.send_response(self.server.status)  # type: ignore[attr-defined]
        self.end_headers()
        self.wfile.write(b"<html>hello</html>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(params=[200, 401], ids=["a page", "a refusal"])
def web_page(request: pytest.FixtureRequest) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    server.status = request.param  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_an_address_that_is_not_a_prefect_api_is_said(web_page: str, tmp_path: Path) -> None:
    said = refusal(
        slipway("deploy", "--environment=production", f"--repository={SHOP}", cwd=tmp_path, PREFECT_API_URL=web_page)
    )
    assert web_page in said
    assert "correct PREFECT_API_URL" in said


@pytest.mark.parametrize("web_page", [500], indirect=True)
def test_a_prefect_server_in_trouble_is_not_said_to_be_the_wrong_address(web_page: str, tmp_path: Path) -> None:
    said = refusal(
        slipway("deploy", "--environment=production", f"--repository={SHOP}", cwd=tmp_path, PREFECT_API_URL=web_page)
    )
    assert "answered 500" in said
    assert "log of the Prefect server" in said
    assert "PREFECT_API_URL" not in said


@pytest.mark.parametrize("command", ["env", "reset", "faults"])
@pytest.mark.parametrize("killed", [False, True], ids=["never ran", "was killed"])
def test_an_emulator_that_does_not_run_is_said_with_the_remedy(command: str, killed: bool, tmp_path: Path) -> None:
    if killed:
        (tmp_path / "emulator.json").write_text('{"admin": "http://127.0.0.1:1", "environment": {"A": "B"}}')
    said = refusal(slipway("emulator", command, "--data", str(tmp_path), cwd=tmp_path))
    assert f"No local Google Cloud is running on {tmp_path}" in said
    assert f"slipway emulator run --data {tmp_path}" in said


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Path]:
    """The folder of a running one."""
    command = [sys.executable, "-m", "infra.emulator", "run", "--data", str(tmp_path / "cloud")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # says that it listens
    yield tmp_path / "cloud"
    process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert not (tmp_path / "cloud" / "emulator.json").exists()


def test_the_commands_of_a_running_emulator(emulator: Path) -> None:
    def ask(*arguments: str, text: str = "") -> str:
        done = slipway("emulator", *arguments, "--data", str(emulator), cwd=emulator, text=text)
        assert done.returncode == 0, done.stderr
        return done.stdout

    variables = json.loads(ask("env", "--json"))
    assert variables["CLOUDSDK_CORE_PROJECT"] == "slipway-demo"
    shell = subprocess.run(
        ["bash", "-c", f"{ask('env')}\nenv"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {f"{name}={value}" for name, value in variables.items()} <= set(shell.stdout.splitlines())
    assert (
        json.loads(ask("faults", "-", text='[{"method": "*/GetService", "code": "UNAVAILABLE"}]'))[0]["times"] is None
    )
    assert json.loads(ask("faults", "--clear")) == []
    ask("reset")

    said = refusal(slipway("emulator", "faults", "-", "--data", str(emulator), cwd=emulator, text='[{"methud": "x"}]'))
    assert "methud" in said
    said = refusal(slipway("emulator", "faults", "nowhere.json", "--data", str(emulator), cwd=emulator))
    assert "nowhere.json" in said
    said = refusal(slipway("emulator", "run", "--data", str(emulator), cwd=emulator))
    assert re.search(r"\(process \d+\) is running on", said)
    port = variables["CLOUDSDK_PROXY_PORT"]
    said = refusal(slipway("emulator", "run", f"--port={port}", f"--data={shlex.quote(str(emulator))}2", cwd=emulator))
    assert port in said


@pytest.mark.parametrize(
    "arguments",
    [["schema"], ["--help"], ["version", "--repo", str(ROOT)], ["check", "--folder", str(SHOP)]],
    ids=" ".join,
)
def test_a_reader_that_goes_away_ends_a_command_without_a_word(arguments: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as out:
        done = subprocess.run(
            [str(SLIPWAY), *arguments],
            cwd=tmp_path,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")
