"""The waits of the demo, in seconds."""

from __future__ import annotations

# A process of the demo starts in one second, and cleans up in a few.
PROCESS_SECONDS = 60.0
# The simulator holds a file system for a second or two while it copies a snapshot.
UNMOUNT_SECONDS = 10.0
# Short beside the second that the driver takes to start.
POLL_SECONDS = 0.05
