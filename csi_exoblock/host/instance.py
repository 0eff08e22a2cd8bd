"""The identity of this node: its instance's id and zone, from the first source that knows (S10)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Protocol

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import DeadlineExceeded, HostError
from csi_exoblock.host.cdrom import CdRom
from csi_exoblock.host.metadata import MetadataServer
from csi_exoblock.host.node_object import NodeObject, Read
from csi_exoblock.host.workers import CallLimit, Workers
from csi_exoblock.model import NodeId, ZoneName
from csi_exoblock.timing import HostTiming

log = logging.getLogger(__name__)


class Source(Protocol):
    """A place where the identity can be read."""

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: The source is absent, doesn't answer, or its answer makes no sense.
        """


def sources(
    names: tuple[str, ...], *, node_object: Read, timing: HostTiming
) -> Mapping[str, Source]:
    """Return the sources of these names, in the order given.

    Args:
        names: Of `kubernetes`, `cdrom` and `server`.
        node_object: Reads Kubernetes' Node of this host.
    """
    known: Mapping[str, Source] = {
        "kubernetes": NodeObject(node_object),
        "cdrom": CdRom(),
        "server": MetadataServer(timing=timing),
    }
    return {name: known[name] for name in names}


class Identity:
    """The node's identity; its sources are asked until one answers.

    Args:
        sources: By name, asked in this order.
    """

    def __init__(
        self, *, known: NodeId | None, sources: Mapping[str, Source], timing: HostTiming
    ) -> None:
        self._sources = sources
        self._timing = timing
        # A drive or a resolver might never answer. A separate limit, as no volume waits here.
        self._workers = Workers[NodeId](
            CallLimit(),
            patience_seconds=timing.metadata_timeout,
            only_informs=False,
            perhaps="it is asked again later",
        )
        self._failures: Mapping[str, str] = {}
        self._answer: Future[NodeId] = Future()
        if known is not None:
            self._answer.set_result(known)

    def ask(self) -> float | None:
        """Ask the sources once; return the seconds until the next time, `None` after an answer."""
        if not self.known():
            if (found := self._ask()) is None:
                return self._timing.identity_retry
            self._answer.set_result(found)
        return None

    def known(self) -> bool:
        """Return whether a source has answered."""
        return self._answer.done()

    def trouble(self) -> str:
        """Return why no source has answered yet, source by source; empty once one has."""
        if self.known():
            return ""
        said = [f"{name}: {self._failures.get(name, 'not asked yet')}" for name in self._sources]
        return (
            "the instance's id and zone are not known yet; the driver keeps asking, or give the "
            f"node an --instance-id and a --zone; {'; '.join(said) or 'no source is asked'}"
        )

    def zone(self) -> ZoneName | None:
        """Return the zone of this node, `None` until a source has answered."""
        return self._answer.result().zone if self.known() else None

    def get(self, deadline: Deadline) -> NodeId:
        """Wait until a source has answered, and return the identity.

        Raises:
            HostError: No source answered while the caller could wait; they are asked again later.
        """
        try:
            return deadline.result(self._answer)
        except DeadlineExceeded as error:
            raise HostError(
                "the instance's id and zone are not known yet; the driver keeps asking: "
                f"{', '.join(self._sources) or 'no source'}"
            ) from error

    def _ask(self) -> NodeId | None:
        failures: dict[str, str] = {}
        for name, source in self._sources.items():
            try:
                found = self._workers.run(f"source {name}", source.read)
            except (
                Exception
            ) as error:  # whatever fails in one source, the next one might know (S10)
                log.warning(
                    "source of the identity failed", extra={"source": name, "error": str(error)}
                )
                failures[name] = str(error)
            else:
                log.info("identity found", extra={"source": name, "node_id": str(found)})
                return found
        self._failures = failures
        return None
