"""Ray clusters of nodes that listen on this machine alone."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.shared import REPOSITORY

LOOPBACK = "127.0.0.2"
"""Ray takes 127.0.0.1 for a name of this machine, and looks for its address outside."""

_NODE = {
    "num_cpus": 1,
    "node_ip_address": LOOPBACK,
    "object_store_memory": 100 << 20,
}


@dataclass
class TwoNodes:
    """A cluster: its head runs no task, so that each of two nodes can be lost.

    Attributes:
        address: Of the head.
        cluster: Ray's.
        nodes: Two nodes of one CPU.
    """

    address: str
    cluster: Any
    nodes: list[Any]


@contextmanager
def two_nodes() -> Iterator[TwoNodes]:
    """Start a head and two nodes, and end them."""
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_worker_niceness": "0",  # Else a busy machine leaves them nothing.
        "PYTHONPATH": str(REPOSITORY),  # Workers import the tests' tasks.
    }
    from ray.cluster_utils import Cluster

    cluster, nodes = _start(Cluster)
    try:
        yield TwoNodes(cluster.address, cluster, nodes)
    finally:
        cluster.shutdown()


def _start(cluster_type: Any) -> tuple[Any, list[Any]]:
    """Start them again where a busy machine took longer than the 30 s that Ray waits."""
    for attempt in range(4):
        cluster = cluster_type()
        try:
            cluster.add_node(**{**_NODE, "num_cpus": 0}, include_dashboard=False)
            return cluster, [cluster.add_node(**_NODE) for _ in range(2)]
        except Exception:
            cluster.shutdown()
            if attempt == 3:
                raise
    raise AssertionError
