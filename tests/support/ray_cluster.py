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
    "include_dashboard": False,
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
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    # Workers of the nodes import the tests' tasks.
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**_NODE, "num_cpus": 0})
    try:
        nodes = [
            cluster.add_node(**{k: v for k, v in _NODE.items() if k != "include_dashboard"})
            for _ in range(2)
        ]
        yield TwoNodes(cluster.address, cluster, nodes)
    finally:
        cluster.shutdown()
