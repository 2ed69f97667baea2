"""Runs a command of realtime-mer on a Ray cluster of two nodes on the loopback. Not a test: started by one.

python ray_cluster.py analyze ... : adds --ray ADDRESS; kills a worker while it runs when REALTIME_MER_KILL is set.
"""

import os
import sys

import realtime_mer.privacy  # noqa: F401 - before Ray

os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
import ray
from ray.cluster_utils import Cluster

from realtime_mer.cli import main

node = {"num_cpus": 1, "node_ip_address": "127.0.0.2", "object_store_memory": 80 << 20, "include_dashboard": False}
cluster = Cluster(initialize_head=True, head_node_args=node)
try:
    cluster.add_node(**{k: v for k, v in node.items() if k != "include_dashboard"})
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    ray.init(cluster.address, _node_ip_address="127.0.0.2", logging_level="error", log_to_driver=False)
    print(f"{sum(n['Alive'] for n in ray.nodes())} nodes", flush=True)
    ray.shutdown()
    code = main([*sys.argv[1:], "--ray", cluster.address])
finally:
    cluster.shutdown()
sys.exit(code)
