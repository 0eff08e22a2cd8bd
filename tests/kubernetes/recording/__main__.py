"""Start the driver as its own command line would, and write down each request that it receives.

python -m tests.kubernetes.recording FILE controller --endpoint=...
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from csi_exoblock import __main__ as command_line


def record(file: Path) -> None:
    """Append a line of JSON to a file for each request of every call from now on."""
    from csi_exoblock.csi.interceptor import Interceptor  # imports gRPC, whose settings come first

    original = Interceptor._run

    def recorded(
        self: Interceptor, method: str, handler: Any, request: Any, context: Any
    ) -> object:
        if isinstance(request, Message):
            content = MessageToDict(request, preserving_proto_field_name=True)
            _append(file, json.dumps({"method": method, "request": content}) + "\n")
        return original(self, method, handler, request, context)

    Interceptor._run = recorded  # type: ignore[method-assign, assignment] # from outside


def _append(file: Path, line: str) -> None:
    """Write a line at once, so that lines of several threads stay whole."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def main() -> None:
    """Run a command of the driver with its requests recorded."""
    file = Path(sys.argv.pop(1))
    serve = command_line._serve

    def recorded(*given: Any, **services: Any) -> None:
        record(file)
        serve(*given, **services)

    command_line._serve = recorded
    command_line.main()


if __name__ == "__main__":
    main()
