"""The page of all failures: `python -m tasks.failures.reference > docs/reference/errors.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from tasks.failures.catalogue.blanks import fill
from tasks.failures.catalogue.matching import RULES, Rule
from tasks.failures.cause import Cause, Transient
from tasks.failures.errors import SlipwayError

_INTRODUCTION = """\
# Errors

<!-- Made by `python -m tasks.failures.reference > docs/reference/errors.md`; do not edit. -->

A run or a command that fails says what is wrong, what to do, and what state the world is in. The first part of this
page lists the kinds of failure; the message of one may say remedy, cause and state more closely than its kind does.
The second part lists the causes that `slipway explain` recognises in messages of Google Cloud, gcloud, Terraform,
builds and containers.

## Kinds of failure
"""
_CAUSES = """
## Causes

*again?* says whether the same call, made again a little later, would succeed without anybody doing anything: such calls
are repeated. *maybe*: the failure alone does not tell, so it is repeated once. Within a cause the most telling words
come first.
"""
_AGAIN = {Transient.YES: "yes", Transient.NO: "no", Transient.MAYBE: "maybe"}


def page() -> str:
    """Markdown: one entry a kind of SlipwayError, one table a cause."""
    return "\n".join([_INTRODUCTION, *_kinds(SlipwayError), _CAUSES, *_causes()]) + "\n"


def _kinds(kind: type[SlipwayError]) -> Iterator[str]:
    for each in kind.__subclasses__():
        yield f"### {each.__name__}\n"
        yield f"{each.__doc__}\n"
        yield f"* To fix: {each.default_remedy}"
        yield f"* State: {each.default_state}"
        yield f"* Cause: [`{each.default_cause}`](#{each.default_cause})\n"
        yield from _kinds(each)


def _causes() -> Iterator[str]:
    for cause in Cause:
        rules = [rule for rule in RULES if rule.cause is cause]
        yield f"### {cause}\n"
        if not rules:
            yield "What no rule of the catalogue recognises, or recognises as no failure.\n"
            continue
        yield "| what is wrong | again? | to fix |\n|---|---|---|"
        yield from dict.fromkeys(map(_row, rules))
        yield ""


def _row(rule: Rule) -> str:
    """As for a message that names nothing: what a blank would say is left out."""
    problem, remedy = fill(rule.problem, ""), fill(rule.remedy, "")
    cells = (problem, _AGAIN[rule.transient], f"{remedy} [More]({rule.link})" if rule.link else remedy)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
