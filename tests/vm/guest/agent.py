"""Run inside the virtual machine: run commands for the tests, and pass on the driver's socket.

A connection to the first port carries one command, a list in JSON on one line, and its end. One to
the second port is a connection to the driver.
"""

from __future__ import annotations

import asyncio
import json
from typing import Final

COMMAND_PORT: Final = 7000
CSI_PORT: Final = 7001
CSI_SOCKET: Final = "/run/csi.sock"
UP: Final = "the agent is up"
"""What the console shows when the ports answer."""

_CHUNK_BYTES = 64 * 1024


async def main() -> None:
    """Serve until the machine ends."""
    commands = await asyncio.start_server(_run, "0.0.0.0", COMMAND_PORT)  # noqa: S104 - in the VM
    drivers = await asyncio.start_server(_relay, "0.0.0.0", CSI_PORT)  # noqa: S104
    print(UP, flush=True)
    await asyncio.gather(commands.serve_forever(), drivers.serve_forever())


async def _run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    argv = json.loads(await reader.readline())
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, complaint = await process.communicate()
    ended = [process.returncode, output.decode(), complaint.decode()]
    writer.write(json.dumps(ended).encode() + b"\n")
    await writer.drain()
    writer.close()


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        from_driver, to_driver = await asyncio.open_unix_connection(CSI_SOCKET)
    except OSError:  # it doesn't run
        writer.close()
        return
    await asyncio.gather(_pump(reader, to_driver), _pump(from_driver, writer))


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while chunk := await source.read(_CHUNK_BYTES):
            sink.write(chunk)
            await sink.drain()
    except ConnectionError:
        pass  # one of the two ended in the middle; so does the other
    finally:
        sink.close()


if __name__ == "__main__":
    asyncio.run(main())
