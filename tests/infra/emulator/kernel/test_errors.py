"""Google's error answers."""

from __future__ import annotations

from google.rpc import error_details_pb2

from infra.emulator.kernel.errors import invalid


def test_the_description_of_a_violation_does_not_repeat_its_field() -> None:
    error = invalid("template.cpu: Invalid value specified for cpu.", "template.cpu")
    request = error_details_pb2.BadRequest()
    assert error.status.details[0].Unpack(request)
    (violation,) = request.field_violations
    assert (violation.field, violation.description) == ("template.cpu", "Invalid value specified for cpu.")
    assert error.status.message == "template.cpu: Invalid value specified for cpu."
