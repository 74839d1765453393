"""Which line of a container's log is the headline of its failure."""

from __future__ import annotations

import pytest

from tasks.analysis.tail import headline

PYTHON = [
    "Traceback (most recent call last):",
    '  File "/app/main.py", line 1, in <module>',
    "    import flask",
    "ModuleNotFoundError: No module named 'flask'",
    "[2026-11-28 12:00:00 +0000] [1] [INFO] Worker exiting (pid: 7)",
    "[2026-11-28 12:00:00 +0000] [1] [ERROR] Reason: Worker failed to boot.",
]
NODE = [
    "node:internal/modules/cjs/loader:1148",
    "  throw err;",
    "Error: Cannot find module 'express'",
    "  code: 'MODULE'",
]


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (PYTHON, "ModuleNotFoundError: No module named 'flask'"),
        (NODE, "Error: Cannot find module 'express'"),
        (
            ["TypeError [ERR_INVALID_ARG_TYPE]: it must be a string"],
            "TypeError [ERR_INVALID_ARG_TYPE]: it must be a string",
        ),
        (
            ["django.core.exceptions.ImproperlyConfigured: x", "psycopg.OperationalError: no route", "bye"],
            "psycopg.OperationalError: no route",
        ),
        (["sh: 1: npm: not found"], "sh: 1: npm: not found"),
        (
            ["starting", "panic: runtime error: index out of range", "goroutine 1 [running]:"],
            "panic: runtime error: index out of range",
        ),
        (["starting", "cannot reach the database", "bye"], "cannot reach the database"),
        (["Listening at 0.0.0.0:80", "no errors so far"], ""),
        ([], ""),
    ],
)
def test_it_is_the_one_that_tells_most(said: list[str], line: str) -> None:
    assert headline(said) == line
