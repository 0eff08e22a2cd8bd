"""Messages for logs, without the fields that CSI marks as secret (F12)."""

from __future__ import annotations

from google.protobuf.message import Message

from csi_exoblock.pb import csi_pb2


def loggable(message: Message) -> dict[str, object]:
    """Return the fields that are set, at any depth, except those marked `csi_secret`."""
    from google.protobuf.json_format import MessageToDict  # only at level debug, to save memory

    copy = type(message)()
    copy.CopyFrom(message)
    _clear_secrets(copy)
    fields: dict[str, object] = MessageToDict(copy, preserving_proto_field_name=True)
    return fields


def _clear_secrets(message: Message) -> None:
    for field, value in message.ListFields():
        if field.GetOptions().Extensions[csi_pb2.csi_secret]:
            message.ClearField(field.name)
        elif field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        else:
            for inner in value if field.is_repeated else [value]:
                _clear_secrets(inner)
