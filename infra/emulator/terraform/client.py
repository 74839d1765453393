"""Calls to the cloud, over HTTPS as the provider's own client makes them: retries, errors in its words, operations."""

from __future__ import annotations

import json
import os
import re
import threading
import time
from collections.abc import Mapping
from http.client import RemoteDisconnected
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # 0.7 s at run time, which a process that is asked for its schema alone need not spend
    import requests
    from google.auth.credentials import Credentials
    from google.auth.transport.requests import AuthorizedSession

CREDENTIALS = ("GOOGLE_CREDENTIALS", "GOOGLE_CLOUD_KEYFILE_JSON", "GCLOUD_KEYFILE_JSON")
SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)
# What the provider tries again, for how long, and how long a call may take:
# https://github.com/hashicorp/terraform-provider-google/blob/main/google/transport/retry_transport.go
CUT = -1  # the line broke before an answer came
PASSING = frozenset({429, 500, 502, 503, CUT})
PATIENCE_S = 90.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 16.0
CALL_S = 60.0
POLL_S, SLOWEST_POLL_S = 0.2, 10.0
DEADLINE_S = 20 * 60.0  # of an operation, unless the resource has `timeouts`
CALLS_AT_ONCE = 64
_NUMBER = re.compile(r"(\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class Problem(Exception):
    """What Terraform is told; `code` is the HTTP status, 0 where there was none."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class Half(Problem):
    """It was made or changed, and cannot be read: `state` is what is known of it."""

    def __init__(self, state: dict[str, Any], problem: Problem) -> None:
        super().__init__(str(problem), problem.code)
        self.state = state


class Cloud:
    """The provider's configuration, and the line to the cloud. Used by many threads."""

    def __init__(self) -> None:
        self._config: Mapping[str, Any] = {}
        self._session: AuthorizedSession | None = None
        self._lock, self._turns = threading.Lock(), dict[str, threading.Lock]()

    def configure(self, config: Mapping[str, Any]) -> None:
        self._config = config

    @property
    def project(self) -> str:
        return self._said(
            "project", "GOOGLE_PROJECT", "GOOGLE_CLOUD_PROJECT", "GCLOUD_PROJECT", "CLOUDSDK_CORE_PROJECT"
        )

    @property
    def region(self) -> str:
        return self._said("region", "GOOGLE_REGION", "GCLOUD_REGION", "CLOUDSDK_COMPUTE_REGION")

    def _said(self, name: str, *variables: str) -> str:
        """In the provider's configuration, or else in the environment.

        https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference
        """
        return self._config.get(name) or next((os.environ[each] for each in variables if os.environ.get(each)), "")

    @property
    def labels(self) -> Mapping[str, str]:
        return self._config.get("default_labels") or {}

    @property
    def attribution(self) -> bool:
        return self._config.get("add_terraform_attribution_label") is not False

    def turn(self, name: str) -> threading.Lock:
        """One at a time for what is read, changed and written back."""
        with self._lock:
            return self._turns.setdefault(name, threading.Lock())

    def get(self, url: str, query: Mapping[str, str] | None = None) -> dict[str, Any] | None:
        """None: there is none."""
        try:
            return self.call("GET", url, query=query)
        except Problem as problem:
            if problem.code == 404:
                return None
            raise

    def call(self, verb: str, url: str, body: object = None, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Raises Problem with the answer's own words."""
        until, pause = time.monotonic() + PATIENCE_S, FIRST_PAUSE_S
        while True:
            answer = self._once(verb, url, body, query)
            if not isinstance(answer, Problem):
                return answer
            if answer.code not in PASSING or time.monotonic() + pause > until:
                raise answer
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    def _once(self, verb: str, url: str, body: object, query: Mapping[str, str] | None) -> dict[str, Any] | Problem:
        from google.auth.exceptions import GoogleAuthError
        from requests import RequestException

        try:
            answer = self._line().request(verb, url, json=body, params=query, timeout=CALL_S, headers=self.headers())
            if answer.status_code >= 400:
                return Problem(text_of(answer), answer.status_code)
            return dict(answer.json()) if answer.content else {}
        except RequestException as error:
            return Problem(f'{verb.title()} "{url}": {error}', CUT if _was_cut(error) else 0)
        except GoogleAuthError as error:
            return Problem(f"Attempted to load application default credentials: {error}")

    def headers(self) -> dict[str, str]:
        headers = {"user-agent": "Terraform/1 (+https://www.terraform.io) terraform-provider-google-beta/stand-in"}
        if reason := self._said("request_reason", "CLOUDSDK_CORE_REQUEST_REASON"):
            headers["x-goog-request-reason"] = reason
        if self._config.get("user_project_override"):
            headers["x-goog-user-project"] = self._said("billing_project", "GOOGLE_BILLING_PROJECT") or self.project
        return headers

    def _line(self) -> AuthorizedSession:
        from google.auth.transport.requests import AuthorizedSession
        from requests.adapters import HTTPAdapter

        with self._lock:
            if self._session is None:
                self._session = AuthorizedSession(credentials())
                self._session.mount("https://", HTTPAdapter(pool_maxsize=CALLS_AT_ONCE))
            return self._session

    def wait(self, base: str, operation: Mapping[str, Any], deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        """The operation's response. Raises Problem when it failed or took too long."""
        until, pause = time.monotonic() + deadline_s, POLL_S
        while not operation.get("done"):
            if time.monotonic() > until:
                raise Problem(f"timeout while waiting for state to become 'done: true' (timeout: {deadline_s:g}s)")
            time.sleep(pause)
            pause = min(1.5 * pause, SLOWEST_POLL_S)
            operation = self.call("GET", f"{base}/{operation['name']}")
        if error := operation.get("error"):
            raise Problem(f"Error code {error.get('code')}, message: {error.get('message')}")
        return dict(operation.get("response") or {})


def credentials() -> Credentials:
    """A service account's key, or a file with one, where the environment says so; else the default ones.

    https://registry.terraform.io/providers/hashicorp/google/latest/docs/guides/provider_reference#credentials-1
    """
    import google.auth
    from google.oauth2.service_account import Credentials as Account

    said = next((os.environ[name] for name in CREDENTIALS if os.environ.get(name)), "")
    if not said:
        found: Credentials = google.auth.default(scopes=SCOPES)[0]
        return found
    key = json.loads(said if said.lstrip().startswith("{") else Path(said).expanduser().read_text())
    account: Credentials = Account.from_service_account_info(key, scopes=SCOPES)
    return account


def _was_cut(error: BaseException) -> bool:
    """A line that broke is tried again, one that could not be made is not. Libraries wrap what happened."""
    from requests.exceptions import ChunkedEncodingError, ReadTimeout

    if isinstance(error, ChunkedEncodingError | ReadTimeout | RemoteDisconnected | ConnectionResetError):
        return True
    inner = [*error.args, getattr(error, "reason", None)]
    return any(_was_cut(each) for each in inner if isinstance(each, Exception))


def text_of(answer: requests.Response) -> str:
    """As https://pkg.go.dev/google.golang.org/api/googleapi#Error.Error prints an error."""
    try:
        error = answer.json()["error"]
        message, details, errors = error["message"], error.get("details"), error.get("errors") or []
    except (ValueError, KeyError, TypeError):
        return f"googleapi: got HTTP response code {answer.status_code} with body: {answer.text[:500]}"
    text = f"googleapi: Error {answer.status_code}: {message}"
    if details:
        text += f"\nDetails:\n{json.dumps(details, indent=2)}"
    if len(errors) == 1 and errors[0].get("message") == message:
        return f"{text}, {errors[0].get('reason')}"
    for each in errors:
        text += f"\nMore details:\nReason: {each.get('reason')}, Message: {each.get('message')}"
    return text


def seconds(duration: str | None, default_s: float = DEADLINE_S) -> float:
    """Go's notation, such as 1h30m. Raises Problem."""
    if not duration:
        return default_s
    if not re.fullmatch(rf"({_NUMBER.pattern})+", duration):
        raise Problem(f'time: invalid duration "{duration}"')
    return sum(float(number) * _SECONDS[unit] for number, unit in _NUMBER.findall(duration))
