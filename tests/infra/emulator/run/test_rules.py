"""The pure rules of the local Cloud Run."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import pytest
from google.cloud import run_v2
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.kernel.errors import RpcError
from infra.emulator.run.fields import merged
from infra.emulator.run.metrics import BOUNDS_MS, Cell
from infra.emulator.run.processes import command_line
from infra.emulator.run.revisions import configuration
from infra.emulator.run.state import RevisionPb, ServicePb
from infra.emulator.run.timeseries import Span, aligned, percentile_ms, sampled
from infra.emulator.run.traffic import Routes, Split, routes_of, statuses
from tests.infra.emulator.emulated_run import latest, to

NAME = "projects/p/locations/r/services/svc"


@st.composite
def shares(draw: st.DrawFn) -> dict[str, int]:
    """Percents of up to five revisions that sum to 100."""
    cuts = sorted(draw(st.sets(st.integers(1, 99), max_size=4)))
    return {f"r{i}": high - low for i, (low, high) in enumerate(zip([0, *cuts], [*cuts, 100], strict=True))}


@given(shares(), st.integers(1, 3))
def test_every_hundred_requests_are_split_exactly(split: dict[str, int], hundreds: int) -> None:
    drawer = Split(split)
    drawn = Counter(drawer.draw() for _ in range(100 * hundreds))
    assert drawn == {revision: percent * hundreds for revision, percent in split.items()}


def test_a_split_of_nothing_draws_nothing() -> None:
    assert Split({}).draw() is None


def test_latest_and_a_revision_that_is_latest_add_up() -> None:
    service = ServicePb(name=NAME, latest_ready_revision=f"{NAME}/revisions/svc-2")
    service.traffic_statuses.extend(
        statuses([run_v2.TrafficTarget.pb(t) for t in (latest(30), to("svc-2", 20), to("svc-1", 50, "old"))])
    )
    revisions = f"{NAME}/revisions"
    assert routes_of(service) == Routes(
        {f"{revisions}/svc-2": 50, f"{revisions}/svc-1": 50}, {"old": f"{revisions}/svc-1"}
    )


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_every_latency_falls_into_the_bucket_that_holds_it(latencies: list[float]) -> None:
    cell = Cell()
    for latency in latencies:
        cell.add(latency)
    assert sum(cell.buckets.values()) == cell.count == len(latencies)
    expected = Counter(
        next((i for i, bound in enumerate(BOUNDS_MS) if latency < bound), len(BOUNDS_MS)) for latency in latencies
    )
    assert cell.buckets == expected
    mean = sum(latencies) / len(latencies)
    deviation = sum((latency - mean) ** 2 for latency in latencies)
    assert math.isclose(cell.deviation_squares, deviation, rel_tol=1e-3, abs_tol=1e-3 * (1 + mean**2))


@given(
    st.dictionaries(st.integers(0, 600), st.integers(1, 9)),
    st.sampled_from([1, 10, 60]),
    st.sampled_from([60, 300, 600]),
)
def test_sampling_and_alignment_lose_no_request(counts: dict[int, int], sampling_s: int, alignment_s: int) -> None:
    cells = {second: Cell(count=count) for second, count in counts.items()}
    points = sampled(cells, Span(0, 660), sampling_s, visible_until=math.inf)
    gathered = aligned(points, Span(0, 660), alignment_s)
    assert sum(p.cell.count for p in points) == sum(p.cell.count for p in gathered) == sum(counts.values())
    assert [p.end for p in gathered] == sorted({p.end for p in gathered}, reverse=True)
    assert all(p.end - p.start == alignment_s for p in gathered)


def test_a_sample_is_visible_only_when_its_period_and_the_lag_are_over() -> None:
    cells = {30: Cell(count=1), 90: Cell(count=1)}
    assert [p.end for p in sampled(cells, Span(0, 600), 60, visible_until=119)] == [60]
    assert [p.end for p in sampled(cells, Span(60, 600), 60, visible_until=600)] == [120]


def test_a_percentile_is_interpolated_within_its_bucket() -> None:
    cell = Cell()
    for latency in (0.5, 1.1, 1.2, 300.0):
        cell.add(latency)
    assert 1.0 <= percentile_ms(cell, 50) <= 1.4
    assert 270 < percentile_ms(cell, 99) < 330


def test_a_mask_takes_exactly_what_it_names() -> None:
    current = ServicePb(
        description="old", labels={"a": "1"}, template={"timeout": {"seconds": 1}, "service_account": "x"}
    )
    given_ = ServicePb(description="new", template={"timeout": {"seconds": 2}})
    result = merged(current, given_, ["template.timeout", "labels"])
    assert (result.description, dict(result.labels)) == ("old", {})
    assert (result.template.timeout.seconds, result.template.service_account) == (2, "x")
    assert merged(current, given_, ["template.serviceAccount"]).template.service_account == ""
    assert merged(current, given_, []) == merged(current, given_, ["*"]) == given_


@pytest.mark.parametrize("path", ["nonsense", "labels.a", "description.x", "template.nonsense"])
def test_a_mask_of_what_is_no_field_is_refused(path: str) -> None:
    with pytest.raises(RpcError, match="field mask"):
        merged(ServicePb(), ServicePb(), [path])


def test_a_template_and_its_revision_have_the_same_configuration() -> None:
    template = run_v2.RevisionTemplate.pb(
        run_v2.RevisionTemplate(labels={"a": "b"}, service_account="x", timeout={"seconds": 9})
    )
    revision = RevisionPb(name=f"{NAME}/revisions/svc-1", uid="u")
    revision.MergeFrom(configuration(template))
    assert configuration(revision) == configuration(template)
    revision.containers.add(image="other")
    assert configuration(revision) != configuration(template)


def put(path: Path, mode: int = 0o755) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_a_program_is_looked_for_in_the_image_first(tmp_path: Path) -> None:
    own = put(tmp_path / "usr/bin/env")
    path = f"{tmp_path}/usr/bin:/usr/bin"
    assert command_line(tmp_path, tmp_path, ("env", "-i"), path) == [str(own), "-i"]
    assert command_line(tmp_path, tmp_path, ("/usr/bin/env",), path) == [str(own)]
    relative = put(tmp_path / "app/run.sh")
    assert command_line(tmp_path, tmp_path / "app", ("./run.sh",), path) == [str(relative)]


def test_python_that_is_not_in_the_image_is_this_machines(tmp_path: Path) -> None:
    interpreter = getattr(sys, "_base_executable", sys.executable)
    for name in ("python", "python3", "/usr/local/bin/python3.12"):
        assert command_line(tmp_path, tmp_path, (name, "main.py"), "/usr/bin:/bin") == [interpreter, "main.py"]


def test_files_of_the_image_are_found_where_it_lies(tmp_path: Path) -> None:
    main = put(tmp_path / "app/main.py")
    assert command_line(tmp_path, tmp_path, ("sh", "/app/main.py", "/nowhere"), "/usr/bin:/bin")[1:] == [
        str(main),
        "/nowhere",
    ]


def test_an_image_without_a_command_starts_nothing(tmp_path: Path) -> None:
    assert command_line(tmp_path, tmp_path, (), "/bin") == ["/no-command-in-image"]
