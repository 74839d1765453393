"""Where a rollback goes, and where it must not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.failures.errors import RollbackRefused
from tasks.history.record import ReleaseRecord, State
from tasks.model import Override
from tasks.release.rollback import as_it_was, choose, narrowed
from tests.tasks.builders import a_record, a_request, a_target

V1, V2, V3 = a_record("v1", 1), a_record("v2", 2), a_record("v3", 3)
OVERRIDE = Override(who="Ada", why="undone by hand")


def chosen(*history: ReleaseRecord, to: str | None = None, override: Override | None = None) -> str:
    """`history` is oldest first."""
    return choose(history[::-1], to, override)[0].version


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((V1, V2), "v1"),
        ((V1, a_record("v2", 2, state=State.FAILED), V3), "v1"),
        ((V1, V2, a_record("v3", 3, state=State.FAILED)), "v1"),
        ((V1, V2, V3, a_record("v2", 4, action="rollback", left="v3")), "v1"),
        ((V1, V2, V3, a_record("v1", 4, action="rollback", left="v3")), "v2"),
    ],
    ids=[
        "the one before", "not a failed one", "a failed newest changes nothing", "twice goes back twice",
        "after a jump to the first, one that nobody left",
    ],
)  # fmt: skip
def test_without_a_name_the_good_release_before_what_serves_is_chosen(
    history: tuple[ReleaseRecord, ...], expected: str
) -> None:
    assert chosen(*history) == expected


@pytest.mark.parametrize(
    ("history", "to", "said"),
    [
        ((), None, "Nothing was ever released"),
        ((V1,), None, "nothing to go back to"),
        ((V1, V2), "v2", "is what serves now"),
        ((V1, V2), "v9", "never released here"),
        ((V1, a_record("v2", 2, state=State.FAILED, reason="20 % errors"), V3), "v2", "marked failed: 20 % errors"),
        ((V1, a_record("v2", 2, irreversible=True)), None, "v2 declares a migration"),
        ((V1, a_record("v2", 2, state=State.FAILED, irreversible=True), V3), "v1", "v2 declares a migration"),
        ((V1, V2, a_record("v1", 3, action="rollback", left="v2")), "v2", "what a rollback has left"),
    ],
    ids=[
        "empty history", "only one", "serves already", "unknown", "failed", "migration", "migration of a failed one",
        "left behind",
    ],
)  # fmt: skip
def test_a_rollback_is_refused_with_the_reason(history: tuple[ReleaseRecord, ...], to: str | None, said: str) -> None:
    with pytest.raises(RollbackRefused, match=said) as refused:
        chosen(*history, to=to)
    assert refused.value.remedy


def test_a_person_may_go_back_across_a_migration() -> None:
    assert chosen(V1, a_record("v2", 2, irreversible=True), override=OVERRIDE) == "v1"


class TestServicesThatDiffer:
    BOTH = a_record("v1", 1, targets=(a_target("api", "api-v1"), a_target("web", "web-v1")))
    WEB_ONLY = a_record("v2", 2, targets=(a_target("web", "web-v2"),))
    API_ONLY = a_record("v3", 3, targets=(a_target("api", "api-v3"),))

    @staticmethod
    def back(*history: ReleaseRecord, to: str | None = None) -> dict[str, str]:
        return {each.service: each.revision for each in as_it_was(history[::-1], *choose(history[::-1], to, None))}

    def test_everything_is_as_it_was_when_the_release_was_out(self) -> None:
        """v2 was of one service: going back to it also takes back what v3 brought for the other one."""
        assert self.back(self.BOTH, self.WEB_ONLY, self.API_ONLY) == {"api": "api-v1", "web": "web-v2"}

    def test_a_service_that_newer_releases_left_alone_is_left_alone(self) -> None:
        newer = a_record("v3", 3, targets=(a_target("web", "web-v3"),))
        assert self.back(self.BOTH, self.WEB_ONLY, newer) == {"web": "web-v2"}

    def test_a_service_that_came_later_stays(self) -> None:
        newer = a_record("v2", 2, targets=(a_target("api", "api-v2"), a_target("mail", "mail-v2")))
        assert self.back(self.BOTH, newer) == {"api": "api-v1", "web": "web-v1"}

    def test_a_release_that_failed_since_brought_nothing_to_take_back(self) -> None:
        failed = self.API_ONLY.model_copy(update={"state": State.FAILED})
        newer = a_record("v4", 4, targets=(a_target("web", "web-v4"),))
        assert self.back(self.BOTH, self.WEB_ONLY, failed, newer) == {"web": "web-v2"}


class TestNarrowed:
    RELEASE = a_record(
        "v1", 1, targets=(a_target("api", "api-v1"), a_target("gone", "gone-v1"), a_target("api", "a", "asia-east1"))
    )

    def test_what_the_manifest_does_not_name_any_more_stays_as_it_is(self) -> None:
        kept = narrowed(a_request(), self.RELEASE)
        assert [(each.service, each.region) for each in kept.targets] == [("api", "europe-west1")]
        assert kept.images == {"api": self.RELEASE.targets[0].image}

    def test_with_nothing_left_the_rollback_is_refused(self) -> None:
        with pytest.raises(RollbackRefused, match="names none of the services"):
            narrowed(replace(a_request(), services=("web",)), self.RELEASE)
