"""Names that people have given: a service called rate-limiter says nothing of a rate limit."""

from __future__ import annotations

import re

_COLLECTIONS = (
    "buckets|configurations|connectors|executions|instances|jobs|keyrings|cryptokeys|namespaces|networks|projects|"
    "repositories|revisions|routes|secrets|services|serviceaccounts|subnetworks|subscriptions|topics|triggers|workerpools"
)
_KINDS = "revision|service|job|secret|image|bucket|repository|worker pool|project"
_NAMES = re.compile(  # in a message in lower case
    rf"(?<![\w-])(?:{_COLLECTIONS})/(?P<in_path>[a-z0-9][\w-]*)(?![\w.:-])"
    rf"|\b(?:{_KINDS})\s+(?P<quote>['\"`])(?P<quoted>[a-z0-9][\w-]*)(?P=quote)"
    r"|\bname:\s+'(?P<variable>[a-z_][\w-]*)'"
    r"|(?:\.pkg\.dev|\bgcr\.io)/(?P<image>[\w./-]+)"
    r"|(?P<revision>\b[a-z][a-z0-9-]{0,62}-\d{5}-[a-z]{3}\b)"
    r"|(?P<account>(?<![\w.-])[\w-]+)(?=@[\w.-]+\.gserviceaccount\.com)"
    r"|(?<![\w.-])(?P<host>[\w-]+)(?=(?:\.[\w-]+)*\.run\.app\b)"
)
_LETTER = re.compile(r"[a-z]")


def without_names(lowered: str) -> str:
    """The message with an x for each letter of them: what surrounds a name is found as ever, and where it was."""
    return _NAMES.sub(_hidden, lowered)


def _hidden(found: re.Match[str]) -> str:
    name = next(group for group in _GROUPS if found[group] is not None)
    start, end = (place - found.start() for place in found.span(name))
    return f"{found[0][:start]}{_LETTER.sub('x', found[0][start:end])}{found[0][end:]}"


_GROUPS = [group for group in _NAMES.groupindex if group != "quote"]
