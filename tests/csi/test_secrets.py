"""F12: what the interface marks as secret is in no log line and in no error, whatever is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import grpc
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from csi_exoblock.csi.redaction import loggable
from csi_exoblock.pb import csi_pb2
from tests.csi.conftest import SERVICES, Driver, stub_of

SECRET = "hunter2-"

METHODS = [method for service in SERVICES.values() for method in service.methods]


def requests() -> st.SearchStrategy[tuple[MethodDescriptor, Message]]:
    """Generate requests of every kind, whose secret fields hold what is recognised as such."""
    return st.sampled_from(METHODS).flatmap(
        lambda method: st.tuples(st.just(method), messages(method.input_type.name))
    )


@st.composite
def messages(draw: st.DrawFn, name: str) -> Message:
    message: Message = getattr(csi_pb2, name)()
    _fill(draw, message, depth=0)
    return message


def _fill(draw: st.DrawFn, message: Message, depth: int) -> None:
    for field in cast(Sequence[FieldDescriptor], message.DESCRIPTOR.fields):
        if field.GetOptions().Extensions[csi_pb2.csi_secret]:
            getattr(message, field.name).update(
                {SECRET + draw(st.text("ab", max_size=3)): SECRET + draw(st.text("ab", max_size=9))}
            )
        elif draw(st.booleans()):
            _fill_field(draw, message, field, depth)


def _fill_field(draw: st.DrawFn, message: Message, field: FieldDescriptor, depth: int) -> None:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(message, field.name)[draw(st.text("kv/.", max_size=4))] = "value"
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        inner = inner.add() if field.is_repeated else inner
        inner.SetInParent()
        if depth < 3:
            _fill(draw, inner, depth + 1)
    elif field.is_repeated:
        continue_with = draw(st.lists(st.text("abc/", max_size=8), max_size=2))
        if field.type == FieldDescriptor.TYPE_STRING:
            getattr(message, field.name).extend(continue_with)
    elif field.type == FieldDescriptor.TYPE_STRING:
        setattr(message, field.name, draw(st.text("abc/-0123456789", max_size=60)))


@given(asked=requests())
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_loggable_form_of_a_request_has_no_secret(
    asked: tuple[MethodDescriptor, Message],
) -> None:
    _, message = asked
    before = message.SerializeToString(deterministic=True)

    assert SECRET not in str(loggable(message))
    assert message.SerializeToString(deterministic=True) == before  # the call still needs them


@given(asked=requests())
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_line_and_no_error_has_a_secret(
    driver: Driver, asked: tuple[MethodDescriptor, Message]
) -> None:
    method, message = asked
    stub = stub_of(method.containing_service.name, driver.channel)

    try:
        answer = str(getattr(stub, method.name)(message))
    except grpc.RpcError as error:
        answer = str(error)

    assert SECRET not in answer
    assert SECRET not in driver.log()


def test_the_requests_are_logged_at_all(driver: Driver) -> None:
    stub = stub_of("Controller", driver.channel)
    request = csi_pb2.DeleteVolumeRequest(volume_id="x-marks-the-spot", secrets={"a": SECRET})

    stub.DeleteVolume(request)  # type: ignore[attr-defined]  # a stub by its name has no type

    assert "x-marks-the-spot" in driver.log()
    assert SECRET not in driver.log()
