"""How clean-up learns of a kind of resource: write one class, name it in `registry.KINDS`, and the rest follows.

`ResourceKind` is what a kind's file fills in; `buckets.py` is a short one, `docs/how-to/add-a-cleanup-kind.md` goes
through another. What to mind:

* `list` never guesses. It asks through `Look.listed`, which turns a call that failed into a `Listing` that says so: a
  plan that rests on it is then refused. What must have been asked, `required` names by the same words.
* An `Item` is what the API has just described. Its `name` is the full name of the resource, its `owner` the app whose
  labels it carries, its `group` where keep-N counts. What would make Google refuse the delete goes into `locked`.
* Who needs something says so in its own words, as a `Reference`: a revision names an image by tag or digest, a service
  account by e-mail. What that means the referred kind knows, by `keys`. So a new kind needs no change in those that
  use it, and those that use it need not know how it is listed.
* Whoever uses things but is nothing to clean up is a `Consumer`; every `ResourceKind` is one, too.
* A kind whose delete cannot be undone has a first step that can: `Traits.first` and `first()`. The delete comes
  `Traits.settle_s` later, in another run; `again` and `list` say by `Item.prepared` since when it holds. Where others
  can bring it about as well, that is `Memory.taken`: what a person has stopped is not halfway to its end.
* `again` reads the one item anew right before its step. Every field that differs from the plan stops the step.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, TypeVar, cast

from infra.gcp.calls.errors import GoogleError
from tasks.cleanup.engine.model import DELETE, CleanupStep, Item, Kind, Listing, Traits, Use
from tasks.cleanup.memory import Memory
from tasks.failures.roles import Need
from tasks.history.record import ReleaseRecord
from tasks.model import Request

T = TypeVar("T")
AT_ONCE = 16  # listings
TIMEOUT_S = 120.0  # of one delete

Keys = Callable[[str], Iterable[str]]  # what somebody calls a thing -> the keys of what that may mean


class Reference(NamedTuple):
    """A thing as whoever needs it calls it."""

    kind: Kind
    name: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody who needs something: `Use`, in the words of whoever needs it."""

    by: str  # reads after "in use by"
    needs: tuple[Reference, ...]
    live: bool = False  # used at this moment: there is no plan unless all of it is listed
    any_of: tuple[Kind, ...] = ()  # kinds of which it may need anything: nobody can tell what it does need

    def use(
        self,
        keys: Callable[[Iterable[Reference]], tuple[str, ...]],
        every: Callable[[Iterable[Kind]], Iterable[str]] = lambda _: (),
    ) -> Use:
        """keys: of what is called so; every: the keys of all that is listed of some kinds."""
        return Use(self.by, (*keys(self.needs), *every(self.any_of)), self.live)


@dataclass(frozen=True, slots=True)
class Found:
    """What a listing came to."""

    items: tuple[Item, ...] = ()
    claims: tuple[Claim, ...] = ()
    listings: tuple[Listing, ...] = ()
    parts: Mapping[str, tuple[Reference, ...]] = field(default_factory=dict)  # item's name -> what it cannot do without

    @classmethod
    def merged(cls, found: Iterable[Found]) -> Found:
        found = tuple(found)
        return cls(
            tuple(item for each in found for item in each.items),
            tuple(claim for each in found for claim in each.claims),
            tuple(listing for each in found for listing in each.listings),
            {name: parts for each in found for name, parts in each.parts.items()},
        )


class History(NamedTuple):
    """The release history of one environment."""

    records: Sequence[ReleaseRecord]  # newest first
    listing: Listing


async def listed(
    clock: Callable[[], datetime],
    source: str,
    lister: Callable[..., Awaitable[Sequence[T]]],
    *arguments: object,
    floor: int = 0,
) -> tuple[Sequence[T], Listing]:
    """What `lister(*arguments)` answers and how that went; nothing when it failed.

    source: what was asked for and where, in words: "buckets of acme-prod".
    floor: fewer cannot be true.
    """
    read = clock()
    try:
        things = await lister(*arguments)
    except GoogleError as error:
        return (), Listing(source, read, 0, complete=False, error=str(error), floor=floor)
    return things, Listing(source, read, len(things), floor=floor)


@dataclass(slots=True, eq=False)
class Look:
    """One look at everything that an app has: what it is for, and what several kinds ask for is asked once."""

    requests: tuple[Request, ...]  # one per environment
    histories: Mapping[str, History]  # by environment
    memory: Memory
    clock: Callable[[], datetime]  # aware
    earlier: Look | None = None  # of this run: then only what may have changed since matters
    going: frozenset[str] = frozenset()  # names of what this run takes away
    asked: dict[object, asyncio.Future[Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # what may go and is not judged, and why, for people
    unseen: list[str] = field(default_factory=list)  # what would only be reported and could not be listed
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    @property
    def app(self) -> str:
        return self.requests[0].app

    @property
    def projects(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(request.project for request in self.requests))

    async def once(self, ask: Callable[[Look], Awaitable[T]]) -> T:
        """What `ask` answers for this look, however many kinds want to know."""
        if ask not in self.asked:
            self.asked[ask] = asyncio.ensure_future(ask(self))
        return cast("T", await self.asked[ask])

    async def listed(
        self, source: str, lister: Callable[..., Awaitable[Sequence[T]]], *arguments: object, floor: int = 0
    ) -> tuple[Sequence[T], Listing]:
        """`listed`, with not too many at once; where an earlier clean-up saw something, something must be."""
        floor = max(floor, self.memory.floor(source))
        async with self._gate:
            return await listed(self.clock, source, lister, *arguments, floor=floor)


class Consumer(ABC):
    """Who needs things that clean-up might take away."""

    needs: ClassVar[tuple[Need, ...]] = ()  # permissions that only the clean-up flow asks for
    live: ClassVar[bool] = False  # what it needs can change while releases are locked out: listed anew before each step

    @abstractmethod
    def required(self, requests: Sequence[Request]) -> Iterable[str]:
        """The sources that a look must have asked."""

    @abstractmethod
    async def list(self, look: Look) -> Found:
        """Everything there is, in every project and region of the environments. Raises nothing of Google's."""


class ResourceKind(Consumer):
    """A kind of resource that clean-up may take away."""

    kind: ClassVar[Kind]
    traits: ClassVar[Traits] = Traits()
    dated_by_us: ClassVar[bool] = False  # no API tells its age: `Memory` keeps when clean-up first saw it, and how

    def keys(self, look: Look, items: Sequence[Item]) -> Keys:
        """How others' names for such things lead to `Item.key`s; here by full name, if it is listed.

        A key that is answered and not listed is asked for by `is_gone`, and stops everything if that does not know.
        """
        listed = {item.name for item in items}
        return lambda name: (name,) if name in listed else ()

    async def is_gone(self, key: str, names: Collection[str], holders: Collection[Item]) -> bool:
        """Whether what others need and no listing has is not found either when it is asked for by itself.

        names: what led to the key; holders: items that it is a part of. Raises GoogleError when that cannot be told.
        """
        return False

    @abstractmethod
    async def again(self, before: Item) -> Item | None:
        """The item as it is now; None if it is gone. Raises GoogleError."""

    @abstractmethod
    async def delete(self, item: Item) -> bool:
        """False if it was gone already. Raises GoogleError, also when it is not as `item.etag` says."""

    async def first(self, item: Item) -> bool:
        """The reversible step of `traits.first`; False if it was gone already. Raises GoogleError."""
        raise NotImplementedError(f"{self.kind} has no first step")

    def undo(self, step: CleanupStep) -> str:
        """How the step is undone, as a command or in words, for the journal; '' where nothing undoes it."""
        return self.undo_delete(step.item) if step.action == DELETE else self.undo_first(step.item)

    def undo_first(self, item: Item) -> str:
        """The step of `traits.first`."""
        return ""

    def undo_delete(self, item: Item) -> str:
        return ""

    @asynccontextmanager
    async def opened(self, steps: Sequence[CleanupStep], note: Note) -> AsyncIterator[None]:
        """Around the steps of a run: what has to be opened for them, and closed again; `note` keeps what is open."""
        yield

    async def close(self, requests: Sequence[Request]) -> tuple[str, ...]:
        """Closes what a run that was killed left open; answers what that was."""
        return ()

    async def close_again(self, opened: Sequence[str]) -> None:
        """Closes what the journal of a run that was killed says that it had opened; repeatable."""


def refuse_another(item: Item, created: datetime, etag: str = "") -> None:
    """Raises GoogleError ABORTED if what has the item's name now is not what was planned.

    For what is read again by a step itself, because its own etag says more than what a plan rests on.
    """
    if (created, etag) != (item.uploaded, item.etag):
        raise GoogleError(f"cleanup.{item.kind}", "ABORTED", f"{item.name} has changed since the plan was made.")


Note = Callable[[Sequence[str]], Awaitable[None]]
