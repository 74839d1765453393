"""Real git repositories for tests, the same on every machine."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

_IDENTITY = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "ada@example.com",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.com",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
_FIRST_COMMIT_AT = 1_700_000_000  # seconds since the epoch


@dataclass
class Repo:
    """A repository with a work tree; every commit is a minute after the one before."""

    path: Path
    commits: int = field(default=0, init=False)

    @classmethod
    def init(cls, path: Path) -> Repo:
        path.mkdir(parents=True, exist_ok=True)
        repo = cls(path)
        repo.git("init", "--quiet", "--initial-branch=main")
        return repo

    @classmethod
    def clone(cls, origin: Path, path: Path, *options: str) -> Repo:
        """Over the git protocol, as from a server: a plain path would ignore --depth."""
        repo = cls(path)
        run_git(path.parent, "clone", "--quiet", *options, origin.as_uri(), str(path))
        return repo

    def cloned_without(self, nested: str, *, ignored: bool) -> Repo:
        """Commits a repository inside as a submodule that nobody says where to get; answers a clone, which lacks it.

        ignored: the folder around it leaves it out of what is built.
        """
        Repo.init(self.path / nested).commit()
        self.git("-c", "advice.addEmbeddedRepo=false", "add", nested)
        folder, _, name = nested.rpartition("/")
        self.write(f"{folder}/.dockerignore", f"{name}\n" if ignored else "")
        self.commit()
        return Repo.clone(self.path, self.path.parent / "clone")

    def git(self, *arguments: str, stdin: str | None = None) -> str:
        date = f"{_FIRST_COMMIT_AT + 60 * self.commits} +0000"
        return run_git(self.path, *arguments, stdin=stdin, GIT_AUTHOR_DATE=date, GIT_COMMITTER_DATE=date)

    def commit(self, message: str = "change", **files: str) -> str:
        """Commit the files (by default one that is new each time) and return the commit's id."""
        for name, content in (files or {"counter": str(self.commits)}).items():
            self.write(name, content)
        self.commits += 1
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", f"--message={message} {self.commits}")
        return self.head()

    def write(self, name: str, content: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def tag(self, *names: str, at: str = "HEAD") -> None:
        for name in names:
            self.git("tag", name, at)

    def annotated_tag(self, name: str) -> None:
        self.git("tag", "--annotate", f"--message={name}", name)

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")


def run_git(folder: Path, *arguments: str, stdin: str | None = None, **env: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=os.environ | _IDENTITY | env,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
