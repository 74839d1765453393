"""Where a live service differs from what it should be, and whether a person meant it to. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.names import resources
from tasks.spec.settings import default, settings

# Counts only where it is asked for: the server, gcloud and the console write these of their own accord.
_ONLY_WHEN_ASKED_FOR = re.compile(
    r"(template\.)?annotations\[.*"
    r"|(template\.)?labels\[(goog-|([^\]/]*\.)?(googleapis\.com|knative\.dev)/).*"
    r"|launchStage"
    r"|template\.containers\[0\]\.name"
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting; a side that does not have it, nor a default for it, is None."""

    path: str  # template.containers[0].env[LOG_LEVEL]
    desired: object
    live: object


class DriftKind(StrEnum):
    """How a service differs from what was released; the words of the report."""

    NONE = "none"
    ROLLED_BACK = "rolled back by a human"  # on purpose: reported, never repaired
    OTHERS = "changed by others"  # what slipway.yaml does not say is not ours to put right
    TRAFFIC = "traffic"
    CHANGED = "changed"


def compare(desired: Mapping[str, Any], live: Mapping[str, Any], ignore: Sequence[str] = ()) -> tuple[Difference, ...]:
    """Every setting in which the two bodies of a Cloud Run v2 service differ, by path.

    `ignore` holds paths, with `*` for any text; each stands for everything below it as well. A default counts as set,
    and what a live service has beyond what is desired is a difference too.
    """
    project = project_of(live) or project_of(desired)
    wanted, found = settings(desired, project), settings(live, project)
    skipped = _matcher(ignore)
    differences = []
    for path in sorted(wanted.keys() | found.keys()):
        if skipped.match(path) or (path not in wanted and _ONLY_WHEN_ASKED_FOR.fullmatch(path)):
            continue
        ours, theirs = wanted.get(path) or default(path), found.get(path) or default(path)
        if (ours and ours.same) != (theirs and theirs.same):
            differences.append(Difference(path, ours and ours.shown, theirs and theirs.shown))
    return tuple(differences)


def classify(
    differences: Iterable[Difference], good: Mapping[str, str], ours: Callable[[str], bool] = lambda _: True
) -> DriftKind:
    """What kind of drift the differences are. `good` has the version of every earlier revision seen healthy, by name.

    A rollback by a human gives more traffic only to such revisions. Whatever else differs then, to ship the release
    again would undo it.
    """
    every = tuple(differences)
    found = [each for each in every if ours(each.path)]
    if not found:
        return DriftKind.OTHERS if every else DriftKind.NONE
    moved = [difference for difference in found if difference.path.startswith("traffic[")]
    gained = {revision_of(difference) for difference in moved if _share(difference.live) > _share(difference.desired)}
    if gained and gained <= good.keys():
        return DriftKind.ROLLED_BACK
    return DriftKind.TRAFFIC if len(moved) == len(found) else DriftKind.CHANGED


def revision_of(difference: Difference) -> str:
    """The revision whose share of the traffic differs."""
    return difference.path.removeprefix("traffic[").removesuffix("]")


def _share(value: object) -> int:
    return value if isinstance(value, int) else 0


def project_of(service: Mapping[str, Any]) -> str:
    """'' for a body without a name."""
    name = str(service.get("name", ""))
    return resources.parts(name)["projects"] if name else ""


def ignored(path: str, globs: Iterable[str]) -> bool:
    return bool(_matcher(globs).match(path))


def _matcher(globs: Iterable[str]) -> re.Pattern[str]:
    patterns = (re.escape(glob).replace(r"\*", ".*") + r"(?:[.\[].*)?$" for glob in globs)
    return re.compile("|".join(patterns) or r"(?!)")
