"""Whether a zone keeps the labels of a create: seen once, at the first volume made there (C4)."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from csi_exoblock import logs
from csi_exoblock.concurrency import Deadline
from csi_exoblock.controller.labels import Labels
from csi_exoblock.errors import DriverError
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.model import VolumeId, ZoneName


class LabelKeeping:
    """Looks at one volume, for all that are made meanwhile; once a zone kept labels, never again.

    A zone that drops them is looked at each time: every volume's labels have to be repaired.
    """

    def __init__(self, *, cloud: Cloud, labels: Labels) -> None:
        self._cloud = cloud
        self._labels = labels
        self._lock = threading.Lock()
        self._looks: dict[ZoneName, Future[bool]] = {}
        self._kept: set[ZoneName] = set()

    def has_labels(self, made: VolumeId, deadline: Deadline) -> bool:
        """Tell whether a volume just made surely has the labels that it was made with.

        Raises:
            DeadlineExceeded: Somebody else's look at the zone took too long.
        """
        with self._lock:
            if made.zone in self._kept:
                return True
            look = self._looks.get(made.zone)
            if look is None:
                mine = self._looks[made.zone] = Future()
        return deadline.result(look) if look else self._look(made, mine, deadline)

    def _look(self, made: VolumeId, look: Future[bool], deadline: Deadline) -> bool:
        logs.step("looking whether the volume has its labels")
        kept = False
        try:
            volume = self._cloud.zone(made.zone).get_volume(made.uuid, deadline)
            kept = self._labels.are_ours(volume.labels)
        except DriverError:
            pass  # not seen: whoever asked looks at its own volume
        finally:
            with self._lock:
                del self._looks[made.zone]
                self._kept.update({made.zone} if kept else ())
            look.set_result(kept)
        return kept
