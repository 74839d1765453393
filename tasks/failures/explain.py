"""Turns any failure into a cause, whether a retry may help, what is wrong, what to do, and where to read more.

What is certain goes first: the reason that Google attached to the error (ErrorInfo), then the types of its
violations, then its status, and the words of its message last. A pasted message has only words.
"""

from __future__ import annotations

import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from infra.gcp.calls.errors import GoogleError, from_exception, is_foreign
from tasks.failures.build_log import recognise
from tasks.failures.catalogue.blanks import NOTHING, Known, fill
from tasks.failures.catalogue.matching import Match, match
from tasks.failures.catalogue.stated import room_of
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import UNTOUCHED, CloudError, SlipwayError
from tasks.failures.redact import redact

_SHOWN = 300  # characters of a line that nobody has cut to size
_UNKNOWN_REMEDY = (
    "This failure is not in the catalogue: read the whole message, look at https://status.cloud.google.com, and "
    "search for its words with `gcloud logging read 'severity>=ERROR' --freshness=1h`."
)
_OF_A_CONTAINER = frozenset({Cause.CONTAINER_PORT, Cause.CONTAINER_CRASH})
# What Python raises when a program is wrong. In a pasted message the same words tell of the user's program.
_BUGS = (TypeError, AttributeError, NameError, LookupError, AssertionError, ArithmeticError, NotImplementedError)
_BUG_REMEDY = (
    "Report this with the run's log; the run may be started again, and a release that was begun is settled first."
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Holds no secrets: every text has been through `redact`."""

    cause: Cause
    transient: Transient
    problem: str  # one sentence: what is wrong, and where
    remedy: str  # one sentence that names the command or the page
    link: str
    evidence: str = ""  # the line of the message that this rests on

    @property
    def said(self) -> str:
        """The problem, and the words that it was taken from: where it is a general one they alone tell what failed."""
        return f"{self.problem} ({self.evidence})" if self.evidence not in self.problem else self.problem


def explain(error: BaseException | str, known: Known = NOTHING, log: str = "") -> Explanation:
    """Explains an exception of any layer, or a pasted message: gcloud, Terraform, build log, HTTP, whatever.

    known: what the run knows besides; log: the last lines of the container that failed, which say more than Google.
    """
    if isinstance(error, BaseExceptionGroup):
        return explain(error.exceptions[0], known, log)
    if isinstance(error, SlipwayError):
        texts = (redact(each) for each in (error.problem, error.remedy, error.link))
        return Explanation(error.cause, error.transient, *texts)
    if isinstance(error, str):
        message = redact(f"{error}\n{log}" if log else error)
        return _explanation(recognise(message), message, known)
    if is_foreign(error):
        google = from_exception(error, "")
        return _explanation(_google_match(google, log), redact(_words(google)), known)
    if isinstance(error, _BUGS):
        return _own_bug(error)
    return explain(f"{type(error).__name__}: {error}", known, log)


def to_slipway(error: BaseException, doing: str, state: str = UNTOUCHED, known: Known = NOTHING) -> SlipwayError:
    """The same failure for people: `doing` is what was tried ("Creating revision api-1-4-0 in europe-west1").

    A SlipwayError is passed through. Raise the answer `from` the error.
    """
    if isinstance(error, SlipwayError):
        return error
    explained = explain(error, known)
    return CloudError(
        redact(f"{doing} failed. {explained.said}"),
        explained.remedy,
        explained.cause,
        explained.link,
        state,
        explained.transient,
    )


def _own_bug(error: Exception) -> Explanation:
    """Names the line, since what people are told has no traceback."""
    frames = traceback.extract_tb(error.__traceback__)[-1:]
    place = "".join(f", {'/'.join(Path(frame.filename).parts[-2:])} line {frame.lineno}" for frame in frames)
    said = _printable(redact(f"{type(error).__name__}: {error}"))
    return Explanation(Cause.OTHER, Transient.NO, f"Slipway itself has a bug ({said}{place}).", _BUG_REMEDY, "")


def _google_match(error: GoogleError, log: str) -> Match | None:
    """The rule that fits, with Google's own message as the evidence; the container's log may say more."""
    message = redact(error.message)
    certain = "\n".join([error.reason, *(each.type for each in error.violations)]).strip()
    found = match(certain) if certain else None
    if found is None:
        found = match(message, room_of(error.status)) or match(f"{error.status}: ")
    if log and found and found.rule.cause is Cause.CONTAINER_PORT:  # so Cloud Run says of all that end early
        found = match(redact(f"{error.message}\n{log}"), _OF_A_CONTAINER) or found
    return replace(found, line=message) if found else None


def _words(error: GoogleError) -> str:
    """All that the error says, in the form in which messages say it, so that the blanks find their values."""
    details = [f'"{name}": "{value}"' for name, value in error.metadata.items()]
    violations = [f"{each.type} {each.subject} {each.description}" for each in error.violations]
    return "\n".join([error.message, *details, *violations, *error.help_links])


def _printable(line: str) -> str:
    return "".join(filter(str.isprintable, line[:_SHOWN])).strip()


def _explanation(found: Match | None, message: str, known: Known) -> Explanation:
    if found is None:
        first = next(filter(None, map(_printable, message.splitlines())), "The message is empty.")
        return Explanation(Cause.OTHER, Transient.NO, first, _UNKNOWN_REMEDY, "https://cloud.google.com/support")
    rule = found.rule
    problem, remedy = fill(rule.problem, message, known), fill(rule.remedy, message, known)
    return Explanation(rule.cause, found.transient, problem, remedy, rule.link, found.line)
