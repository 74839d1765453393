"""How Google says what is wrong with an OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence

UNKNOWN = "unknown location"


class Refused(Exception):
    """Errors by their places, as the converter to service configs prints its diagnostics."""

    def __init__(self, errors: Sequence[tuple[str, str]]) -> None:
        self.errors = tuple(errors)
        lines = "\n ".join(
            f'location: "{_quoted(where)}"\nkind: ERROR\nmessage: "{_quoted(what)}"\n' for where, what in errors
        )
        super().__init__(f"Cannot convert to service config.\n'{lines}'")


def refused(what: str, where: str = UNKNOWN) -> Refused:
    return Refused([(where, what)])


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'").replace('"', '\\"').replace("\n", "\\n")
