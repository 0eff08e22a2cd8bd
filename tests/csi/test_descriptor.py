"""The compiled interface equals CSI 1.13, message by message and number by number.

The facts in data/csi-1.13.json were taken from the specification, not from our file. Both sides
are brought into one shape, and the shapes must be equal: what is missing fails, and so does what is
too much.
"""

import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from csi_exoblock.pb import csi_pb2, pluginregistration_pb2

pytestmark = pytest.mark.fast

FACTS: Mapping[str, Any] = json.loads(
    (pathlib.Path(__file__).parents[1] / "data" / "csi-1.13.json").read_text()
)

Shape = dict[str, Any]


def compiled(module: Any) -> descriptor_pb2.FileDescriptorProto:
    """Return the whole descriptor of a generated module, its options parsed."""
    file = descriptor_pb2.FileDescriptorProto()
    module.DESCRIPTOR.CopyToProto(file)
    return file


FILE = compiled(csi_pb2)


def test_file_has_the_package_syntax_and_imports_of_csi() -> None:
    described = {
        "package": FILE.package,
        "syntax": FILE.syntax,
        "go_package": FILE.options.go_package,
        "imports": sorted(FILE.dependency),
    }

    assert described == {key: FACTS[key] for key in described}


def test_options_have_the_names_and_numbers_of_csi() -> None:
    described = {
        option.name: {
            "extends": option.extendee.removeprefix("."),
            "number": option.number,
            "type": type_name(option),
        }
        for option in FILE.extension
    }

    assert described == by_name(FACTS["options"])


def test_services_have_the_calls_of_csi() -> None:
    described = {
        service.name: marks(service.options, alpha=csi_pb2.alpha_service)
        | {"methods": {method.name: method_shape(method) for method in service.method}}
        for service in FILE.service
    }

    assert described == {
        service["name"]: without(service, "name") | {"methods": by_name(service["methods"])}
        for service in FACTS["services"]
    }


def test_enums_have_the_values_of_csi() -> None:
    described = {enum.name: enum_shape(enum) for enum in FILE.enum_type}

    assert described == {enum["name"]: enum_facts(enum) for enum in FACTS["enums"]}


@pytest.mark.parametrize("name", sorted({message["name"] for message in FACTS["messages"]}))
def test_message_has_the_fields_of_csi(name: str) -> None:
    facts = next(message for message in FACTS["messages"] if message["name"] == name)
    described = next(message for message in FILE.message_type if message.name == name)

    assert message_shape(described) == message_facts(facts)


def test_there_is_no_message_beside_those_of_csi() -> None:
    assert sorted(message.name for message in FILE.message_type) == sorted(
        message["name"] for message in FACTS["messages"]
    )


def test_every_field_with_secrets_is_marked_as_secret() -> None:
    # F12: logs and errors leave out what is marked, so a mark that is missing is a leak.
    unmarked = [
        f"{message.name}.{field.name}"
        for message in FILE.message_type
        for field in message.field
        if field.name == "secrets" and not field.options.Extensions[csi_pb2.csi_secret]
    ]

    assert unmarked == []


def test_registration_is_what_kubelet_speaks() -> None:
    # N18; numbers from k8s.io/kubelet/pkg/apis/pluginregistration/v1/api.proto
    file = compiled(pluginregistration_pb2)

    assert file.package == "pluginregistration"
    assert {service.name: sorted(m.name for m in service.method) for service in file.service} == {
        "Registration": ["GetInfo", "NotifyRegistrationStatus"]
    }
    assert {
        message.name: {field.name: (field.number, type_name(field)) for field in message.field}
        for message in file.message_type
    } == {
        "InfoRequest": {},
        "PluginInfo": {
            "type": (1, "string"),
            "name": (2, "string"),
            "endpoint": (3, "string"),
            "supported_versions": (4, "string"),
        },
        "RegistrationStatus": {"plugin_registered": (1, "bool"), "error": (2, "string")},
        "RegistrationStatusResponse": {},
    }


# ---- the shape of what protoc compiled


def message_shape(message: descriptor_pb2.DescriptorProto) -> Shape:
    """Return a message as the facts describe one, its inner types included."""
    oneofs = [oneof.name for oneof in message.oneof_decl]
    return present(
        marks(message.options, alpha=csi_pb2.alpha_message),
        map_entry=message.options.map_entry,
        # The end of a message's reserved range is exclusive, that of an enum's is not.
        reserved=[[each.start, each.end - 1] for each in message.reserved_range],
        reserved_names=list(message.reserved_name),
        fields={field.name: field_shape(field, oneofs) for field in message.field},
        messages={inner.name: message_shape(inner) for inner in message.nested_type},
        enums={inner.name: enum_shape(inner) for inner in message.enum_type},
        extensions=[extension.name for extension in message.extension],
    )


def field_shape(field: FieldDescriptorProto, oneofs: list[str]) -> Shape:
    """Return a field's number, type and marks."""
    return present(
        marks(field.options, alpha=csi_pb2.alpha_field, secret=csi_pb2.csi_secret),
        number=field.number,
        type=type_name(field),
        repeated=field.label == FieldDescriptorProto.LABEL_REPEATED,
        oneof=oneofs[field.oneof_index] if field.HasField("oneof_index") else None,
        optional=field.proto3_optional,
        packed=field.options.HasField("packed"),
    )


def enum_shape(enum: descriptor_pb2.EnumDescriptorProto) -> Shape:
    """Return an enum's values and reserved numbers."""
    return present(
        marks(enum.options, alpha=csi_pb2.alpha_enum),
        values={
            value.name: {"number": value.number}
            | marks(value.options, alpha=csi_pb2.alpha_enum_value)
            for value in enum.value
        },
        reserved=[[each.start, each.end] for each in enum.reserved_range],
        reserved_names=list(enum.reserved_name),
    )


def method_shape(method: descriptor_pb2.MethodDescriptorProto) -> Shape:
    """Return what a call takes and gives."""
    return present(
        marks(method.options, alpha=csi_pb2.alpha_method),
        request=method.input_type.removeprefix(".csi.v1."),
        response=method.output_type.removeprefix(".csi.v1."),
        server_streaming=method.server_streaming,
        client_streaming=method.client_streaming,
    )


def type_name(field: FieldDescriptorProto) -> str:
    """Return a scalar's name as in a proto file, or the full name of a message or enum."""
    if field.type_name:
        return field.type_name.removeprefix(".")
    return FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()


def marks(options: Any, **extensions: Any) -> Shape:
    """Return those of CSI's own options that are set to true."""
    return {name: True for name, mark in extensions.items() if options.Extensions[mark]}


def present(*shapes: Shape, **values: Any) -> Shape:
    """Join what the facts mention: they leave out what is empty, false or absent."""
    joined = {key: value for shape in shapes for key, value in shape.items()} | values
    return {key: value for key, value in joined.items() if value or key == "number"}


# ---- the facts in that shape: lists by name, for the order in a file means nothing on the wire


def message_facts(message: Shape) -> Shape:
    """Return the facts of a message, its inner types included."""
    return present(
        without(message, "name"),
        fields=by_name(message["fields"]),
        messages={each["name"]: message_facts(each) for each in message.get("messages", [])},
        enums={each["name"]: enum_facts(each) for each in message.get("enums", [])},
    )


def enum_facts(enum: Shape) -> Shape:
    """Return the facts of an enum."""
    return without(enum, "name") | {"values": by_name(enum["values"])}


def by_name(facts: Iterable[Shape]) -> dict[str, Shape]:
    """Return named facts as a mapping."""
    return {each["name"]: without(each, "name") for each in facts}


def without(facts: Shape, key: str) -> Shape:
    """Return the facts but for one key."""
    return {name: value for name, value in facts.items() if name != key}
