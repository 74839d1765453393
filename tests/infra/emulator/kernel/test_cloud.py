"""The kernel alone: the registry of the services' state, and the journal of calls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.rpc.code_pb2 import Code

from infra.emulator.kernel.ageing import Ageing, age
from infra.emulator.kernel.behaviour import Behaviour, Dropped, Fault
from infra.emulator.kernel.cloud import Cloud
from infra.emulator.kernel.errors import RpcError
from infra.emulator.kernel.handlers import Call
from infra.emulator.kernel.journal import Journal


class Shelf:
    def __init__(self) -> None:
        self.books = ["Emma"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path, "instant", packages=())
    yield cloud
    cloud.store.close()


def test_a_state_is_had_by_its_type(cloud: Cloud) -> None:
    shelf = cloud.put(Shelf())
    assert cloud.get(Shelf) is shelf


def test_a_state_that_is_not_there_yet_is_said(cloud: Cloud) -> None:
    with pytest.raises(LookupError, match="no Shelf yet"):
        cloud.get(Shelf)


def test_there_is_one_state_of_a_type(cloud: Cloud) -> None:
    cloud.put(Shelf())
    with pytest.raises(ValueError, match="a Shelf already"):
        cloud.put(Shelf())


def test_a_reset_empties_the_store_and_reaches_every_state_that_asked_for_it(cloud: Cloud) -> None:
    shelf, table = cloud.put(Shelf()), cloud.store.values("shelves")
    table.put("a", {"height": 3})
    cloud.journal.calls["x"] += 1
    cloud.on_reset.append(shelf.books.clear)
    cloud.reset()
    assert (shelf.books, len(table), cloud.journal.calls) == ([], 0, {})


def test_what_does_not_age_is_refused_with_what_does(cloud: Cloud) -> None:
    cloud.ageable["shelves"] = cloud.store.values("shelves")
    with pytest.raises(ValueError, match="books do not age; what does: shelves"):
        age(cloud, Ageing(kind="books", prefix="", days=1))


class TestTheJournal:
    @pytest.fixture
    def behaviour(self) -> Behaviour:
        return Behaviour("instant")

    async def test_tells_how_a_call_ended(self, behaviour: Behaviour) -> None:
        journal = Journal(behaviour)
        async with journal.observed(Call("a.get", "", "me@example.com", {"user-agent": "gcloud", "cookie": "x"})):
            pass
        with pytest.raises(RpcError):
            async with journal.observed(Call("a.get", "", "")):
                raise RpcError(Code.NOT_FOUND, "no such thing")
        with pytest.raises(KeyError):
            async with journal.observed(Call("a.put", "", "")):
                raise KeyError
        assert [entry.code for entry in journal.entries] == [Code.OK, Code.NOT_FOUND, Code.UNKNOWN]
        assert journal.entries[0].headers == {"user-agent": "gcloud"}
        assert (journal.calls, journal.faulted) == ({"a.get": 2, "a.put": 1}, {})

    async def test_counts_the_calls_that_met_a_fault(self, behaviour: Behaviour) -> None:
        behaviour.set_faults([Fault(method="a.*", code="UNAVAILABLE", times=1), Fault(method="a.*", drop="before")])
        journal = Journal(behaviour)
        for error in (RpcError, Dropped):
            with pytest.raises(error):
                async with journal.observed(Call("a.get", "", "")):
                    pytest.fail("the handler was reached")
        assert journal.faulted == {"a.get": 2}
        assert [entry.code for entry in journal.entries] == [Code.UNAVAILABLE, Code.UNKNOWN]
