"""A played API server, and the driver in a pod of its cluster."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.apiserver.server import ApiServer
from tests.support.driver_process import DriverProcess

NODE_NAME = "here"
NODE = f"/api/v1/nodes/{NODE_NAME}"
INSTANCE = "5e0f6d1c-93f4-4f0e-8d0b-0c8f6b5d2a10"
ZONE = "ch-gva-2"

# The driver lives ten times as fast as in a cluster.
TIME_SCALE = 0.1
MINUTE_SECONDS = 60 * TIME_SCALE

StartNode = Callable[..., DriverProcess]


@pytest.fixture
def server(tmp_path: pathlib.Path) -> Iterator[ApiServer]:
    (tmp_path / "cluster").mkdir()
    with ApiServer(tmp_path / "cluster") as running:
        running.objects[NODE] = {
            "metadata": {"name": NODE_NAME, "labels": {"topology.kubernetes.io/zone": ZONE}},
            "spec": {"providerID": f"exoscale://{INSTANCE}"},
        }
        yield running


@pytest.fixture
def start_node(server: ApiServer, tmp_path: pathlib.Path) -> Iterator[StartNode]:
    """Start node plugins in the cluster; they end with the test."""
    with ExitStack() as running:

        def start(
            *flags: str,
            ready: bool = True,
            wrapper: tuple[str, ...] = (),
            **environment: str,
        ) -> DriverProcess:
            folder = tmp_path / "node"
            (folder / "by-id").mkdir(parents=True, exist_ok=True)
            return running.enter_context(
                DriverProcess.start(
                    "node",
                    "--kubelet-path", str(folder / "kubelet"),
                    "--device-dir", str(folder / "by-id"),
                    "--time-scale", str(TIME_SCALE),
                    *flags,
                    folder=folder,
                    ready=ready,
                    wrapper=wrapper,
                    environment={
                        **server.environment, "KUBE_NODE_NAME": NODE_NAME, **environment
                    },
                )
            )  # fmt: skip

        yield start
