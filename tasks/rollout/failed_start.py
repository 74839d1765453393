"""What is said of a revision that did not start: which, why, what it wrote last, and what Google said."""

from __future__ import annotations

from infra.gcp.calls.errors import GoogleError
from tasks.analysis.tail import headline, in_lines
from tasks.failures.catalogue.blanks import Known
from tasks.failures.errors import NOT_MOVED, CandidateFailed
from tasks.failures.explain import explain


def failed_start(what: str, error: GoogleError, known: Known, lines: list[str]) -> CandidateFailed:
    """`what`: "web did not start in europe-west1 (revision web-1)"; lines: the last ones that it wrote, oldest first.

    Where the container itself told nothing of why, Google's own words are shown with what they were taken for. Whether
    another attempt may help is told by them alone: what a container ends of would end it again.
    """
    explanation = explain(error, known, "\n".join(lines))
    telling = headline(lines)
    why = f"{telling}\n{explanation.problem}" if telling else explanation.said
    return CandidateFailed(
        f"{what}: {why}{in_lines(lines)}",
        explanation.remedy,
        explanation.cause,
        explanation.link,
        NOT_MOVED,
        explain(error.message, known).transient,
    )
