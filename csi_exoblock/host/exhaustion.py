"""Errors of a host that has run out of files or memory: they say nothing of what was asked."""

from __future__ import annotations

import errno

from csi_exoblock.errors import HostError

_OF_THE_HOST = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def refuse_exhausted(error: OSError) -> None:
    """Raise HostError if the host had no room for the question, so that nothing was learnt.

    Code that takes an error for "it is gone" calls this first: else a volume that is in use would
    pass for free (D4).
    """
    if error.errno in _OF_THE_HOST:
        raise HostError(
            f"this node has run out of files or memory: {error.strerror}; Kubernetes will retry"
        ) from error
