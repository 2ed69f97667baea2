"""The engine on a Ray cluster: one actor per worker, one task at a time in each. Needs ray: the extra "cluster".

The files of the tasks must have the same paths on every node (a shared file system), and so must the results.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from typing import Any, Final

from realtime_mer import privacy
from realtime_mer.batch.engine import TRIES, Done, Task, Tools, Value, perform
from realtime_mer.errors import ConfigError, MerError

CPUS: Final = 1  # reserved by Ray for a worker
WAIT_S: Final = 0.5
REACH_S: Final = 5.0


def on_ray(tools: Tools[Task, Value], tasks: Sequence[Task], address: str, jobs: int) -> Iterator[Done[Task, Value]]:
    """Runs tasks on the cluster at ``address`` ("auto", HOST:PORT, or "local" for a new one on this machine) with at
    most ``jobs`` workers, 0: one for each processor of the cluster. A task whose worker or node dies is tried again.

    Raises ConfigError when Ray is missing or the cluster cannot be reached.
    """
    try:
        import ray
    except ImportError:
        raise ConfigError("a Ray cluster needs ray: pip install 'realtime-mer[cluster]'") from None
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        _check_reachable(host, int(port), address)
    try:
        ray.init(
            address=None if address == "local" else address,
            # Ray replaces a loopback address with this machine's network address, where such a cluster does not listen.
            **({"_node_ip_address": host} if host.startswith("127.") else {}),
            log_to_driver=False,
            logging_level="error",
            include_dashboard=False,
            runtime_env={"env_vars": dict(privacy.SWITCHES)},  # no telemetry from workers on other nodes either
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConfigError(f"no Ray cluster at {address}: {' '.join(str(error).split())[:160]}") from None
    with ExitStack() as stack:
        stack.callback(ray.shutdown)
        processors = int(ray.cluster_resources().get("CPU", 1) // CPUS)
        workers = max(min(jobs or processors, processors, len(tasks)), 1)
        yield from _run(ray, tools, deque((task, 0) for task in tasks), workers)


def _check_reachable(host: str, port: int, address: str) -> None:
    """Checks whether anyone listens, because Ray itself tries for minutes. Raises ConfigError."""
    try:
        socket.create_connection((host, port), REACH_S).close()
    except OSError as error:
        raise ConfigError(f"no Ray cluster at {address}: {error.strerror or error}") from None


class _Actor:
    """A worker: opens its tools once."""

    def __init__(self, tools: Tools[Any, Any]) -> None:
        self._stack = ExitStack()
        self._work = self._stack.enter_context(tools())

    def perform(self, task: Any) -> Done[Any, Any]:
        return perform(self._work, task)


def _run(ray: Any, tools: Tools[Any, Any], waiting: deque[tuple[Any, int]], size: int) -> Iterator[Done[Any, Any]]:
    remote = ray.remote(num_cpus=CPUS, max_restarts=0)(_Actor)
    idle = [remote.remote(tools) for _ in range(size)]
    doing: dict[Any, tuple[Any, Any, int]] = {}
    while waiting or doing:
        while waiting and idle:
            actor, (task, tried) = idle.pop(), waiting.popleft()
            doing[actor.perform.remote(task)] = actor, task, tried
        ready, _ = ray.wait(list(doing), num_returns=1, timeout=WAIT_S)
        for reference in ready:
            actor, task, tried = doing.pop(reference)
            try:
                yield ray.get(reference)
                idle.append(actor)
            except ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, MerError):
                    raise error.cause from None
                raise
            except ray.exceptions.RayError as error:  # the worker, or its node, has died
                idle.append(remote.remote(tools))
                if isinstance(cause := getattr(error, "cause", None), MerError):
                    raise cause from None
                if tried + 1 < TRIES:
                    waiting.appendleft((task, tried + 1))
                else:
                    why = f"{task}: its worker ended {TRIES} times ({type(error).__name__})"
                    yield Done(task, None, why, MerError.exit_code)
