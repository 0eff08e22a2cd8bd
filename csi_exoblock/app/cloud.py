"""Build the client of the cloud's API."""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from csi_exoblock.config import ApiSettings
from csi_exoblock.exoscale.client import Cloud
from csi_exoblock.exoscale.keyring import Keyring
from csi_exoblock.exoscale.pace import Paces
from csi_exoblock.exoscale.session import Proxy, open_session
from csi_exoblock.exoscale.transport import Transport
from csi_exoblock.metrics import Metrics
from csi_exoblock.timing import Timing


def unwatched_cloud(api: ApiSettings, *, timing: Timing) -> Cloud:
    """Return the API client for a command that ends soon; nobody reads its metrics."""
    return build_cloud(api, timing=timing, metrics=Metrics(CollectorRegistry()))


def build_cloud(api: ApiSettings, *, timing: Timing, metrics: Metrics) -> Cloud:
    """Return the API client for these settings; nothing is sent yet."""
    transport = Transport(
        session=open_session(user_agent=api.user_agent, ca_file=api.ca_file, proxy=api.proxy),
        keyring=Keyring(api.credentials, api.credentials_file, timing=timing),
        proxy=Proxy(api.proxy.url if api.proxy else None, api.no_proxy),
        paces=Paces(timing=timing, most_per_second=api.max_qps),
        timing=timing,
        metrics=metrics,
    )
    return Cloud(transport=transport, settings=api, timing=timing)
