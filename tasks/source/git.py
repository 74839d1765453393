"""The only place that runs git.

Every call has a deadline, cannot ask a question, answers in English and takes its children with it when it is
stopped. No message that leaves this module shows the credentials of a URL.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import SourceError
from tasks.failures.spelling import meant

TIMEOUT_S = 30.0

# Set by git for its hooks: they would point every call at the hook's repository instead of the one asked for.
_REPOSITORY_VARIABLES = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX"}
    | {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"}
)
# Nothing may outlive the call: neither a background gc nor a file system monitor.
_NO_DAEMONS = ("-c", "gc.auto=0", "-c", "maintenance.auto=false", "-c", "core.fsmonitor=false")
_USERINFO = re.compile(r"://\S*@")
_QUERY = re.compile(r"(://[^\s?'\"]*)\?[^\s'\"]+")


_lent: dict[Path, Mapping[str, str]] = {}  # by the clone that it is for


def lend(folder: Path, credentials: Mapping[str, str]) -> None:
    """Every later call in this folder, or below, has these variables: a clone fetches files when they are asked for."""
    _lent[folder] = credentials


@dataclass(frozen=True, slots=True)
class Finished:
    """How a git command ended; `complaint` is its stderr without credentials."""

    code: int
    output: str
    complaint: str

    @property
    def reason(self) -> str:
        """The complaint in one line: what git called fatal, else the last thing it said."""
        lines = [line.strip() for line in self.complaint.splitlines() if line.strip()]
        fatal = [line for line in lines if line.startswith(("fatal:", "error:"))]
        return (fatal or lines or [f"exit code {self.code}"])[-1]


def hide_credentials(text: str) -> str:
    """The text with user names, passwords and query strings of URLs replaced by `***`."""
    return _QUERY.sub(r"\1?***", _USERINFO.sub("://***@", text))


async def git(
    folder: Path,
    *arguments: str,
    timeout_s: float = TIMEOUT_S,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run git in `folder` and return its stdout; SourceError when it fails, is missing or takes too long."""
    finished = await attempt(folder, *arguments, timeout_s=timeout_s, stdin=stdin, env=env)
    if finished.code:
        raise SourceError(
            f"git {arguments[0]} failed in {folder}: {finished.reason}",
            f"run `{hide_credentials(' '.join(['git', '-C', str(folder), *arguments]))}` to see what git says.",
            Cause.OTHER,
        )
    return finished.output


async def attempt(
    folder: Path,
    *arguments: str,
    timeout_s: float = TIMEOUT_S,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
) -> Finished:
    """Run git in `folder` for a caller that reads the exit code; SourceError when git is missing or too slow."""
    process = await _started(_start(folder, arguments, stdin is not None, env or {}))
    try:
        async with asyncio.timeout(timeout_s):
            output, complaint = await process.communicate(stdin.encode() if stdin is not None else None)
    except TimeoutError:
        raise SourceError(
            f"git {arguments[0]} did not finish within {timeout_s:g} s in {folder}.",
            "check the network and the size of the repository, then run it again.",
            Cause.TIMEOUT,
            transient=Transient.MAYBE,
        ) from None
    finally:
        await _end(process)
    return Finished(
        process.returncode or 0, output.decode(errors="replace"), hide_credentials(complaint.decode(errors="replace"))
    )


async def commit_of(folder: Path, ref: str) -> str | None:
    """The full id of the commit that a branch, tag, id or expression like HEAD~1 names; None if there is none.

    A branch that only the remote `origin` has is found by its bare name, as `git switch` does. SourceError when a tag
    and a branch of that name are different commits.
    """
    if ref.startswith(("-", "^")) or not ref.isprintable():
        return None
    await _refuse_namesakes(folder, ref)
    found = await attempt(folder, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
    if found.code and ref != "HEAD":
        found = await attempt(folder, "show-ref", "--verify", "--hash", f"refs/remotes/origin/{ref}")
    return found.output.strip() or None


async def _refuse_namesakes(folder: Path, ref: str) -> None:
    """git would take the tag, the person may have meant the branch: it is not for us to choose."""
    places = (f"refs/tags/{ref}", f"refs/heads/{ref}", f"refs/remotes/origin/{ref}")
    listed = await attempt(folder, "for-each-ref", "--format=%(refname) %(objectname) %(*objectname)", *places)
    commits = {name: tagged or own for name, own, tagged in (line.split(" ") for line in listed.output.splitlines())}
    tag = commits.get(places[0])
    branch = next((commits[name] for name in places[1:] if name in commits), tag)
    if tag and branch != tag:
        raise SourceError(
            f"{ref} is a tag ({tag[:12]}) and a branch ({(branch or '')[:12]}), and they are different commits.",
            f"say which one is meant: refs/tags/{ref} or refs/heads/{ref}.",
        )


async def meant_ref(folder: Path, ref: str) -> str:
    """Which branches and tags, up to three, somebody may have meant by one that does not exist; '' for none."""
    names = "--format=%(refname:strip=2)"
    listed = await git(folder, "for-each-ref", names, "refs/heads", "refs/tags", "refs/remotes")
    return meant(ref, {name.removeprefix("origin/") for name in listed.split()}, at_most=3)


async def _started(start: Coroutine[Any, Any, asyncio.subprocess.Process]) -> asyncio.subprocess.Process:
    """The process, or a cancellation with nothing left running: asyncio alone would leave git's children behind."""
    starting = asyncio.ensure_future(start)
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await _end(await starting)
        raise


async def _start(
    folder: Path, arguments: tuple[str, ...], piped: bool, env: Mapping[str, str]
) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *("git", "-C", str(folder), *_NO_DAEMONS, *arguments),
            stdin=asyncio.subprocess.PIPE if piped else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment() | _lent_to(folder) | dict(env),
            start_new_session=True,  # no terminal for ssh to ask on, and one group to kill
        )
    except (FileNotFoundError, PermissionError) as error:
        raise SourceError(
            "git cannot be run: it is not installed, or not on PATH.",
            "install git 2.31 or newer, for instance with `apt-get install git`.",
            Cause.NOT_FOUND,
        ) from error


def _lent_to(folder: Path) -> dict[str, str]:
    return next((dict(_lent[each]) for each in (folder, *folder.parents) if each in _lent), {})


def _environment() -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _REPOSITORY_VARIABLES}
    return inherited | {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kill git and whatever it started (ssh, git-remote-https), unless it has already ended."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
