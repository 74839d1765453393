"""The filters of Cloud Monitoring's time series: https://cloud.google.com/monitoring/api/v3/filters."""

from __future__ import annotations

import re
from collections.abc import Callable

from infra.emulator.kernel.errors import invalid

Predicate = Callable[[dict[str, str]], bool]
TERM = re.compile(
    r"""\s*(?P<not>NOT\s+|-)?(?P<field>[a-z_.]+)\s*(?P<op>=|!=|:)\s*"""
    r"""(?:(?P<function>starts_with|ends_with|has_substring|one_of|monitoring\.regex\.full_match)\s*\((?P<args>[^)]*)\)"""
    r"""|(?P<value>"[^"]*"|[\w./-]+))\s*"""
)


def parse_filter(text: str) -> Predicate:
    """A test of the labels by the names that filters use; comparisons are joined by AND. Raises INVALID_ARGUMENT."""
    terms: list[Predicate] = []
    position = 0
    while position < len(text):
        match = TERM.match(text, position)
        if match is None:
            raise invalid(f"Could not parse filter {text!r} at {text[position:]!r}.", "filter")
        terms.append(_term(match))
        position = match.end()
        if joint := re.compile(r"(AND\s+|$)").match(text, position):
            position = joint.end()
    if "metric.type" not in text:
        raise invalid("The filter must specify a metric type.", "filter")
    return lambda labels: all(term(labels) for term in terms)


def _term(match: re.Match[str]) -> Predicate:
    field = re.sub(r"\.label\.", ".labels.", match["field"])
    negated = (match["op"] == "!=") != bool(match["not"])
    test = _test(match)
    return lambda labels: test(labels.get(field, "")) != negated


def _test(match: re.Match[str]) -> Callable[[str], bool]:
    if match["function"] is None:
        wanted = match["value"].strip('"')
        return lambda value: wanted in value if match["op"] == ":" else value == wanted
    arguments = re.findall(r'"([^"]*)"', match["args"])
    first = arguments[0] if arguments else ""
    return {
        "starts_with": lambda value: value.startswith(first),
        "ends_with": lambda value: value.endswith(first),
        "has_substring": lambda value: first in value,
        "one_of": lambda value: value in arguments,
        "monitoring.regex.full_match": lambda value: re.fullmatch(first, value) is not None,
    }[match["function"]]
