"""`slipway explain`: what a pasted error message means and what to do about it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import StringIO, TextIOWrapper
from pathlib import Path
from typing import Annotated, TextIO

from cyclopts import Parameter

from tasks.failures.cause import Transient
from tasks.failures.errors import ParameterError
from tasks.failures.explain import Explanation, explain

STANDARD_INPUT = "-"
_TRANSIENT_JSON: dict[Transient, bool | str] = {
    Transient.YES: True,
    Transient.NO: False,
    Transient.MAYBE: "maybe",
}


def explain_command(
    file: Annotated[
        str,
        Parameter(help="File with the message, or the message itself; - is standard input.", allow_leading_hyphen=True),
    ] = STANDARD_INPUT,
    *,
    jsonl: Annotated[bool, Parameter(help='Read one {"id", "text"} per line, answer one JSON line each.')] = False,
) -> int:
    """The command; `cli.main` has its help, so that this module is loaded only when it runs."""
    with _opened(file, may_be_text=not jsonl) as source:
        if jsonl:
            return _explain_lines(source)
        _show(explain(source.read()))
    return 0


def _explain_lines(lines: Iterable[str]) -> int:
    code = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, text = _parsed(line)
        except (ValueError, KeyError, TypeError) as error:
            print(f'slipway: line {number} is not a JSON object with "id" and "text": {error}', file=sys.stderr)
            code = 2
            continue
        said = explain(text)
        answer = {
            "id": name,
            "cause": said.cause,
            "transient": _TRANSIENT_JSON[said.transient],
            "remedy": said.remedy,
            "link": said.link,
        }
        print(json.dumps(answer, ensure_ascii=False))
    return code


def _parsed(line: str) -> tuple[object, str]:
    row = json.loads(line)
    if not isinstance(row, dict):
        raise TypeError(f"it is a {type(row).__name__}")
    if not isinstance(row["text"], str):
        raise TypeError("text is not a string")
    return row["id"], row["text"]


def _show(said: Explanation) -> None:
    print(f"cause:     {said.cause}")
    print(f"transient: {said.transient}")
    print(f"problem:   {said.problem}")
    print(f"remedy:    {said.remedy}")
    print(f"link:      {said.link}")


@contextmanager
def _opened(file: str, *, may_be_text: bool) -> Iterator[TextIO]:
    """The file of this name; where there is none, a name with blanks in it is the message itself.

    Bytes that are not UTF-8 become replacement characters: logs have them.
    """
    if file == STANDARD_INPUT:
        if isinstance(sys.stdin, TextIOWrapper):
            sys.stdin.reconfigure(encoding="utf-8", errors="replace")
        yield sys.stdin
        return
    try:
        source: TextIO = Path(file).open(encoding="utf-8", errors="replace")  # noqa: SIM115 - closed below
    except (OSError, ValueError) as error:  # ValueError: no name has a NUL
        if not may_be_text or len(file.split()) < 2 or isinstance(error, PermissionError):
            raise ParameterError(
                f"The message cannot be read from {file}: {getattr(error, 'strerror', error)}.",
                "Name a file, or pipe the message in: `slipway explain - < FILE`.",
            ) from error
        source = StringIO(file)
    with source:
        yield source
