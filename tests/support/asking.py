"""A deadline that tells when its call has begun to wait for somebody else's work."""

import threading
from concurrent.futures import Future

from csi_exoblock.concurrency import Deadline, T

LONG_SECONDS = 3600.0


class Asking(Deadline):
    """A deadline far away; `asked` is set as soon as the call waits for a result."""

    def __init__(self) -> None:
        super().__init__(LONG_SECONDS)
        self.asked = threading.Event()

    def result(self, future: Future[T]) -> T:
        self.asked.set()
        return super().result(future)
