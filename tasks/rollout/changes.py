"""What a release changes of a service's settings and what it keeps, said before anything is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from prefect.logging import get_run_logger

from tasks.failures.redact import redact
from tasks.history.masking import masked
from tasks.model import Request
from tasks.orchestration.artifacts import table
from tasks.rollout.base import is_ours, template_of
from tasks.rollout.live import LiveService
from tasks.rollout.service import SAYS, WHOLE, Desired, said_before
from tasks.spec.bare import bare
from tasks.spec.merge import is_below, shown_as
from tasks.spec.settings import Setting, default, settings

_OWN = ("labels[slipway-", "labels[managed-by]", f"annotations[{SAYS}]")
SHOWN_LENGTH = 80


@dataclass(frozen=True, slots=True)
class Change:
    """One setting of a template; a side that does not have it is ''."""

    setting: str  # containers[0].resources.limits.memory
    live: str
    released: str

    @property
    def kept(self) -> bool:
        return self.live == self.released


def changes(
    live: Mapping[str, Any],
    wanted: Mapping[str, Any],
    whole: Mapping[str, Any] = MappingProxyType({}),
    wanted_whole: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Change, ...]:
    """What differs between two templates, and what stays although slipway.yaml does not mention it.

    whole, wanted_whole: what is set of the service beside them.
    """
    before, after = _shown(live, whole), _shown(wanted, wanted_whole)
    found = (_change(path, before.get(path), after.get(path)) for path in sorted(before.keys() | after.keys()))
    said = _said(wanted)
    return tuple(each for each in found if not each.kept or not is_below(each.setting, said))


def _change(path: str, live: Setting | None, released: Setting | None) -> Change:
    """Two ways to write the same are no change."""
    before = _text(path, live.shown) if live else ""
    if live and released and live.same == released.same:
        return Change(path, before, before)
    return Change(path, before, _text(path, released.shown) if released else "")


def _shown(template: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Setting]:
    """Without our own marks and what is as it is by default; of values of variables their hashes."""
    beside = {key: value for key, value in whole.items() if key != "labels"}  # those of the template tell
    found = settings({**beside, "template": masked(bare(template))})
    names = {path: path.removeprefix("template.") for path in found if not _is_default(path, found[path])}
    return {name: found[path] for path, name in names.items() if not name.startswith(_OWN)}


def _is_default(path: str, setting: Setting) -> bool:
    usual = default(path)
    return usual is not None and usual.same == setting.same


def _text(name: str, value: object) -> str:
    variable = name.rpartition("[")[2].rstrip("]") if ".env[" in name else ""
    text = redact(f"{variable}={value}").partition("=")[2] if variable else redact(str(value))
    return text[:SHOWN_LENGTH]


def _said(template: Mapping[str, Any]) -> frozenset[str]:
    """The paths, as they are shown, of what slipway.yaml says."""
    said = said_before(template) or ()
    return frozenset(shown_as(path.removeprefix(WHOLE)) for path in said)


async def tell(request: Request, live: LiveService, wanted: Desired) -> None:
    """In the log; as a table as well at the first release over a service that Slipway has not made."""
    place, template, logger = live.place, template_of(live.service), get_run_logger()
    found = changes(template, wanted.template, live.service.whole, wanted.whole)
    for line in lines(found):
        logger.info("%s %s", place, line)
    if not is_ours(template):
        name = f"{place.service}-{place.region}-taken-over"
        title = f"What the first release of {place} changes and keeps: nothing that slipway.yaml does not say is lost."
        await table(request, name, rows(found), title)


def lines(found: tuple[Change, ...]) -> Iterator[str]:
    for each in found:
        if not each.kept:
            yield f"changes {each.setting}: {each.live or 'not set'} -> {each.released or 'not set'}"
    kept = ", ".join(each.setting for each in found if each.kept)
    if kept:
        yield f"keeps what slipway.yaml does not say: {kept}"


def rows(found: tuple[Change, ...]) -> list[dict[str, str]]:
    return [
        {"setting": each.setting, "what": "kept" if each.kept else "changed", "live": each.live, "then": each.released}
        for each in sorted(found, key=lambda each: each.kept)
    ]
