"""Which objects a listing shows: prefix, delimiter, offsets, globs and pages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from infra.emulator.storage.errors import bad_request

MAX_RESULTS = 1000
Key = tuple[str, int]  # name and generation; generation 0 stands for the live one


@dataclass(frozen=True, slots=True)
class Query:
    """https://cloud.google.com/storage/docs/json_api/v1/objects/list#parameters"""

    prefix: str = ""
    delimiter: str = ""
    start: str = ""  # inclusive
    end: str = ""  # exclusive
    glob: str = ""
    trailing_delimiter: bool = False
    max_results: int = MAX_RESULTS
    page_token: str = ""


@dataclass(slots=True)
class Page:
    keys: list[Key] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    next_token: str = ""


def list_page(keys: Iterable[Key], query: Query) -> Page:
    """The page that `query` asks for out of sorted `keys`; its token is the last key the page has dealt with."""
    page, seen = Page(), set[str]()
    after = _decode(query.page_token)
    glob = glob_pattern(query.glob) if query.glob else None
    last: Key | None = None
    for key in keys:
        name = key[0]
        if key <= after or not name.startswith(query.prefix) or name < query.start or (query.end and name >= query.end):
            continue
        prefix = _common_prefix(name, query)
        if glob and not glob.fullmatch(prefix or name):
            continue
        fresh = prefix not in seen if prefix else True
        if fresh and len(page.keys) + len(page.prefixes) >= query.max_results:
            page.next_token = _encode(last) if last else ""
            return page
        last = key
        if prefix and fresh:
            seen.add(prefix)
            page.prefixes.append(prefix)
        if not prefix or (query.trailing_delimiter and name == prefix):
            page.keys.append(key)
    return page


def _common_prefix(name: str, query: Query) -> str:
    """Up to and with the first delimiter after the query's prefix; '' if there is none."""
    if not query.delimiter:
        return ""
    end = name.find(query.delimiter, len(query.prefix))
    return "" if end < 0 else name[: end + len(query.delimiter)]


def _encode(key: Key) -> str:
    return base64.urlsafe_b64encode(f"{key[1]} {key[0]}".encode()).decode()


def _decode(token: str) -> Key:
    if not token:
        return ("", -1)
    try:
        generation, _, name = base64.urlsafe_b64decode(token).decode().partition(" ")
        return name, int(generation)
    except (ValueError, binascii.Error):
        raise bad_request(f"Invalid page token: {token}") from None


def glob_pattern(glob: str) -> re.Pattern[str]:
    """`*` stops at a slash, `**` does not; ?, [...], [!...] and {a,b} as in a shell."""
    tokens = {"**": ".*", "*": "[^/]*", "?": "[^/]", "{": "(?:", "}": ")", ",": "|"}
    out, depth = "", 0
    for part in re.findall(r"\*\*|\[[^\]]+\]|\\.|.", glob, re.S):
        depth += (part == "{") - (part == "}")
        if part.startswith("[") and len(part) > 1:
            out += "[" + part[1:-1].replace("!", "^", 1) + "]" if part[1] == "!" else part
        elif part in tokens and (part != "," or depth):
            out += tokens[part]
        else:
            out += re.escape(part.removeprefix("\\") if len(part) > 1 else part)
    try:
        return re.compile(out, re.S)
    except re.error:
        raise bad_request(f"Invalid matchGlob: {glob}") from None
