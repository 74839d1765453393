"""The filter language that Google's APIs share."""

from __future__ import annotations

import datetime

import pytest
from google.cloud.devtools.cloudbuild_v1 import types
from google.cloud.logging_v2.types import LogEntry
from google.rpc.code_pb2 import Code
from hypothesis import given
from hypothesis import strategies as st

from infra.emulator.kernel.errors import RpcError, invalid
from infra.emulator.kernel.filters import And, Call, Comparison, Expression, Not, Or, Text, parse, values

TEXTS = st.text(st.sampled_from("ab 0-.*:=()'\"\\,/é\n") | st.characters(exclude_categories=["Cs"]), max_size=6)
WORDS = TEXTS | st.sampled_from(["AND", "OR", "NOT", "--", "resource", "a.b", "-5"])
CALLS = st.builds(
    Call,
    st.sampled_from(["log_id", "starts_with", "monitoring.regex.full_match", "ORDER"]),
    st.lists(WORDS, max_size=3).map(tuple),
)
COMPARISONS = st.builds(
    Comparison,
    st.lists(WORDS, min_size=1, max_size=3).map(tuple),
    st.sampled_from(["=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~"]),
    WORDS | CALLS,
)
EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    st.builds(Text, WORDS) | CALLS | COMPARISONS,
    lambda inner: (
        st.builds(Not, inner)
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: And(tuple(parts)))
        | st.lists(inner, min_size=2, max_size=3).map(lambda parts: Or(tuple(parts)))
    ),
    max_leaves=8,
)

A, B, C, D = (Text(letter) for letter in "abcd")


def parsed(text: str) -> Expression:
    return parse(text, lambda reason: invalid(f"no filter: {reason}"))


@given(EXPRESSIONS | st.just(And(())))
def test_what_is_printed_is_parsed_to_the_same(expression: Expression) -> None:
    assert parsed(str(expression)) == expression


@given(st.lists(st.sampled_from([*"ab.=:~!<>()-'\" \\,\n", "AND", " OR ", "NOT "]), max_size=12).map("".join))
def test_any_text_is_a_filter_or_refused_as_an_invalid_argument(text: str) -> None:
    try:
        expression = parsed(text)
    except RpcError as error:
        assert error.status.code == Code.INVALID_ARGUMENT
        assert "no filter: syntax error" in error.status.message
    else:
        assert parsed(str(expression)) == expression


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("", And(())),
        (" -- nothing but a comment", And(())),
        ("a AND b OR c AND d", And((A, Or((B, C)), D))),
        ("a b OR c", And((A, Or((B, C))))),
        ("(a b) OR c", Or((And((A, B)), C))),
        ("NOT a OR -b", Or((Not(A), Not(B)))),
        ("NOT(a OR b)", Not(Or((A, B)))),
        ("-a=-5", Not(Comparison(("a",), "=", "-5"))),
        ("ANDROID", Text("ANDROID")),
        ('a.b."c.d" >= us-west1', Comparison(("a", "b", "c.d"), ">=", "us-west1")),
        (r"""a='it\'s "b"\d\\'""", Comparison(("a",), "=", 'it\'s "b"\\d\\')),
        ("a=x (b=y)", And((Comparison(("a",), "=", "x"), Comparison(("b",), "=", "y")))),
        ("a=f(x, 'y')", Comparison(("a",), "=", Call("f", ("x", "y")))),
        ("f()", Call("f", ())),
    ],
)
def test_or_binds_closer_than_and_and_not_closest(text: str, meant: Expression) -> None:
    assert parsed(text) == meant


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("a=(b OR c)", "a=b OR a=c"),
        ('a:(b "c")', "a:b AND a:c"),
        ("a:(b AND NOT (c OR d))", "a:b AND NOT (a:c OR a:d)"),
        ("a!=((b))", "a!=b"),
    ],
)
def test_a_comparison_with_several_values_is_several_comparisons(text: str, same: str) -> None:
    assert parsed(text) == parsed(same)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a=", "at its end"),
        ("(a=1", "at its end"),
        ("a AND", "at its end"),
        ('a=1\nb="', "at line 2, column 3, token '\"'"),
        ("a=1)", r"at line 1, column 4, token '\)'"),
        ("a= AND b", "at line 1, column 4, token 'AND'"),
        ("=a", "at line 1, column 1, token '='"),
        ("a=()", r"at line 1, column 4, token '\)'"),
        ("a=(b=c)", r'b="c" is no value'),
    ],
)
def test_a_syntax_error_says_where_it_is(text: str, place: str) -> None:
    with pytest.raises(RpcError, match=f"no filter: syntax error:? ?{place}"):
        parsed(text)


@pytest.mark.parametrize(
    "text",
    [
        # gcloud builds list --ongoing --filter=…
        '(create_time>"2026-03-04T00:00:00.000+00:00" AND tags="v1") AND (status="WORKING" OR status="QUEUED")',
        # gcloud run services logs read
        "resource.type = cloud_run_revision \n AND resource.labels.service_name = api \n"
        ' AND resource.labels.location = us-west1 \n AND severity >= DEFAULT \n AND timestamp>="2026-01-01T00:00:00Z"',
        # gcloud builds log
        'logName="projects/p/logs/cloudbuild" AND resource.type="build" AND resource.labels.build_id="7"',
        # gcloud secrets list --filter=…
        "name:asecret OR name:bsecret",
        # https://cloud.google.com/logging/docs/view/logging-query-language
        'resource.type = "gce_instance" AND severity >= "ERROR" AND NOT textPayload:robot',
        '"a" OR NOT "b" AND NOT "c" OR "d"',
        'protoPayload.@type="type.googleapis.com/google.cloud.audit.AuditLog" jsonPayload.message=~"^[a-z]+\\d$"',
        # dashboards and alerts
        'metric.type="x/y" resource.label."dataset_id"!=monitoring.regex.full_match("_script.*")',
        'metric.type="x/y" AND NOT metric.labels.device = monitoring.regex.full_match("(tmpfs|/dev/loop.*)")',
    ],
)
def test_filters_that_people_and_tools_send_are_understood(text: str) -> None:
    assert parsed(str(parsed(text))) == parsed(text)


def test_fields_are_found_in_either_spelling_and_in_lists_and_maps() -> None:
    build = types.Build(
        status="WORKING",
        tags=["a", "b"],
        create_time=datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC),
        source={"storage_source": {"object_": "a.tgz"}},
        results={"images": [{"name": "x"}, {"name": "y"}]},
        substitutions={"_COLOUR": "red"},
    )
    entry = LogEntry(json_payload={"list": [{"n": 1}, {"n": 2}], "off": False})

    def found(path: str) -> list[object]:
        return list(values(types.Build.pb(build), path.split(".")))

    assert found("status") == ["WORKING"]
    assert found("tags") == ["a", "b"]
    assert found("createTime") == found("create_time") == [datetime.datetime(2026, 3, 4, tzinfo=datetime.UTC)]
    assert found("source.storageSource.object") == ["a.tgz"]
    assert found("results.images.name") == ["x", "y"]
    assert found("substitutions._COLOUR") == ["red"]
    assert found("substitutions._SIZE") == found("finish_time") == found("tags.none") == []
    assert list(values(LogEntry.pb(entry), ["jsonPayload", "list", "n"])) == [1, 2]
    assert list(values(LogEntry.pb(entry), ["json_payload", "off"])) == [False]
    with pytest.raises(KeyError):
        found("colour")
