"""When the newest commits of a version were made: how long they have waited is known once they are released."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from tasks.failures.errors import SourceError
from tasks.source.git import attempt

PLENTY = 100


async def recent_commits(folder: Path, commit: str, limit: int = PLENTY) -> dict[str, datetime]:
    """The commit and those before it, the newest first: id of 12 digits -> when it was committed, UTC.

    None where git does not know it, as of a folder that is no repository: no release fails by that.
    """
    try:
        done = await attempt(folder, "log", "--format=%H %ct", f"--max-count={limit}", commit, "--")
    except SourceError:
        return {}
    if done.code:
        return {}
    said = (line.split() for line in done.output.splitlines())
    return {name[:12]: datetime.fromtimestamp(int(when), UTC) for name, when in said}
