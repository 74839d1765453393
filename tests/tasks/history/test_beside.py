"""What a history says of jobs and worker pools."""

from __future__ import annotations

from tasks.history.beside import newest_of
from tasks.history.job_record import JobRecord
from tasks.history.record import ReleaseRecord, State
from tests.tasks.builders import a_record


def job(name: str, image: str = "") -> JobRecord:
    return JobRecord(job=name, name=f"jobs/{name}", image=image)


def jobs_of(record: ReleaseRecord) -> list[tuple[str, JobRecord]]:
    return [(each.job, each) for each in record.jobs]


def test_the_newest_release_that_stands_tells_what_each_is() -> None:
    history = [
        a_record("v3", 3, jobs=(job("tidy", "3"),), state=State.FAILED),
        a_record("v2", 2, jobs=(job("tidy", "2"),)),
        a_record("v1", 1, jobs=(job("tidy", "1"), job("migrate", "1"))),
    ]
    assert {name: each.image for name, each in newest_of(history, jobs_of).items()} == {"tidy": "2", "migrate": "1"}
    assert newest_of([], jobs_of) == {}
