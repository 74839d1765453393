"""What is read from Dockerfiles as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.describe.dockerfile import Dockerfile, read_dockerfile

STAGES = """\
# syntax=docker/dockerfile:1
ARG BASE
ARG TAG=slim
FROM --platform=$BUILDPLATFORM ${BASE}:${TAG} AS build
ARG TARGETARCH
ARG SKAFFOLD_GO_GCFLAGS
ARG VERSION
COPY go.mod go.sum ./
RUN <<EOF
COPY nothing /
EXPOSE 1
EOF
COPY --chown=app:app [ "cmd", "/src/cmd" ]
FROM scratch AS run
ENV PORT=9000 MODE="a b"
EXPOSE ${PORT}/tcp 9001
COPY --from=build /out /out
ADD https://example.com/x.tar /
FROM run
COPY static \\
     # the pages
     templates /
"""


def test_the_last_stage_counts_and_what_it_is_built_on() -> None:
    assert read_dockerfile(STAGES) == Dockerfile(
        port=9000,
        ports=(9000, 9001),
        needs=("BASE", "VERSION"),
        copies=("go.mod", "go.sum", "cmd", "static", "templates"),
        asks=True,
    )


@pytest.mark.parametrize(
    ("line", "port"),
    [
        ("EXPOSE 80", 80),
        ("expose 80/udp 81/TCP", 81),
        ("EXPOSE 3000-3005", 3000),
        ("EXPOSE $NOWHERE", None),
        ("EXPOSE ${NOWHERE:-5000}", 5000),
        ("EXPOSE 0 99999 x", None),
        ("ENV PORT 7000\nEXPOSE $PORT", 7000),
        ("CMD x", None),
    ],
)
def test_the_port(line: str, port: int | None) -> None:
    assert read_dockerfile(f"FROM scratch\n{line}\n").port == port


@given(
    st.text()
    | st.lists(st.sampled_from(["FROM a AS b", "FROM b", "EXPOSE ", "ARG", "COPY [", "ENV =", "\\"])).map("\n".join)
)
def test_any_text_can_be_read(text: str) -> None:
    found = read_dockerfile(text)
    assert found.port is None or 1 <= found.port <= 65535


@pytest.mark.parametrize(
    ("start", "port"),
    [
        ('CMD ["gunicorn", "app:app", "-b", "0.0.0.0:80", "--workers", "4"]', 80),
        ("CMD gunicorn --bind=:8000 app", 8000),
        ("CMD exec gunicorn --bind :$PORT --workers 1 --threads 8", None),
        ('ENTRYPOINT ["uvicorn"]\nCMD ["main:app", "--host", "0.0.0.0", "--port", "8001"]', 8001),
        ("CMD python manage.py runserver 0.0.0.0:8002", 8002),
        ("ENV LISTEN=8003\nCMD serve --port ${LISTEN}", 8003),
        ("CMD python -m http.server 8004", 8004),
        ("CMD gunicorn --bind 0.0.0.0:${PORT:-8080} app", None),
        ("CMD node index.js", None),
    ],
)
def test_the_port_that_is_written_out_where_it_starts(start: str, port: int | None) -> None:
    assert read_dockerfile(f"FROM a\n{start}\n").listens == port


@pytest.mark.parametrize(
    ("check", "path"),
    [
        ("HEALTHCHECK CMD curl --fail http://localhost:8080/health || exit 1", "/health"),
        ('HEALTHCHECK --interval=5s CMD ["wget", "-q", "http://127.0.0.1/up?a=1"]', "/up?a=1"),
        ("HEALTHCHECK CMD curl -f http://localhost:${PORT}/ready", "/ready"),
        ("HEALTHCHECK CMD curl http://localhost/", ""),
        ("HEALTHCHECK NONE", ""),
        ("", ""),
    ],
)
def test_the_path_that_its_health_check_asks(check: str, path: str) -> None:
    assert read_dockerfile(f"FROM a\n{check}\n").health == path
    assert read_dockerfile(f"FROM a\n{check}\nFROM b\n").health == ""
