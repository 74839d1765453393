"""The environments that an app was ever released to: one that slipway.yaml lacks has not ceased to run.

An old checkout, or an edit, may leave one out. Its project may run another environment's images by digest, and its
history says what it can go back to; so nothing is cleaned up until slipway.yaml says that it may be forgotten.
Each environment's bucket remembers all of them, as JSON, for any of them may be the one that is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter

from infra.gcp.calls.errors import GoogleError
from infra.gcp.storage import buckets, objects
from tasks.history.store import read_history
from tasks.manifest.manifest import Manifest
from tasks.model import Request
from tasks.orchestration.gather import all_of

TRIES = 3


@dataclass(frozen=True, slots=True, order=True)
class Known:
    environment: str
    project: str
    bucket: str

    def __str__(self) -> str:
        return f"{self.environment} in project {self.project}"


KNOWN: TypeAdapter[tuple[Known, ...]] = TypeAdapter(tuple[Known, ...])


def known_of(manifest: Manifest) -> frozenset[Known]:
    return frozenset(Known(name, each.project, each.bucket) for name, each in manifest.environments.items())


async def remember(request: Request) -> None:
    """In the environment's own bucket, with a release to it. Raises GoogleError."""
    await _add(request.settings.bucket, request.app, known_of(request.manifest))


async def refusals(requests: Sequence[Request]) -> tuple[str, ...]:
    """Why nothing may go, for each environment that is known and that slipway.yaml lacks; remembers those it has."""
    app, manifest = requests[0].app, requests[0].manifest
    names = dict.fromkeys(request.settings.bucket for request in requests)
    there = [name for name in names if await buckets.get_bucket(name) is not None]
    remembered = await all_of([_read(bucket, app) for bucket in there])
    recorded = await all_of([_recorded(request, there) for request in requests])
    known = {each for some in (*(found for found, _ in remembered), *recorded) for each in some}
    missing = vanished(known, manifest)
    released = await all_of([_released(each, app) for each in missing])
    await all_of([_add(bucket, app, known_of(manifest)) for bucket in there])
    return tuple(refusal(each) for each, was in zip(missing, released, strict=True) if was)


def vanished(known: Iterable[Known], manifest: Manifest) -> list[Known]:
    """What slipway.yaml lacks without saying that it may be forgotten; another project is another environment."""
    there = {(name, each.project) for name, each in manifest.environments.items()}
    forget = frozenset(manifest.retention.forget)
    lacking = (each for each in known if (each.environment, each.project) not in there)
    return sorted(each for each in lacking if not forget & {each.environment, each.project})


def refusal(each: Known) -> str:
    return (
        f"{each} was released to, and slipway.yaml does not have it any more: what it runs would count as unused. "
        f"Put it back, or say `retention: {{forget: [{each.environment}]}}` in slipway.yaml when it is gone for good."
    )


async def _recorded(request: Request, there: Sequence[str]) -> frozenset[Known]:
    """Environments whose records lie in the same bucket, whoever wrote them."""
    bucket, start = request.settings.bucket, f"releases/{request.app}/"
    if bucket not in there:
        return frozenset()
    found = await objects.list_objects(bucket, start)
    names = {each.name.removeprefix(start).partition("/")[0] for each in found}
    return frozenset(Known(name, request.project, bucket) for name in names - request.manifest.environments.keys())


async def _released(each: Known, app: str) -> bool:
    """Whether it has a history; one that cannot be read counts."""
    try:
        return bool(await read_history(each.bucket, app, each.environment, limit=1))
    except GoogleError:
        return True


async def _add(bucket: str, app: str, new: frozenset[Known]) -> None:
    for attempt in range(TRIES):
        found, generation = await _read(bucket, app)
        if new <= found:
            return
        try:
            value = KNOWN.dump_python(tuple(sorted(found | new)), mode="json")
            await objects.write_json(bucket, _name(app), value, generation)
        except GoogleError as error:
            if error.status != "FAILED_PRECONDITION" or attempt == TRIES - 1:
                raise


async def _read(bucket: str, app: str) -> tuple[frozenset[Known], int]:
    found = await objects.read_json(bucket, _name(app))
    return (frozenset(), 0) if found is None else (frozenset(KNOWN.validate_python(found[0], strict=False)), found[1])


def _name(app: str) -> str:
    return f"cleanup/{app}/environments.json"
