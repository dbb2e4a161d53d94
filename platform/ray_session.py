"""The Ray session: attach to a cluster, or start a local one that ends with this process."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from pydantic import Field

from treespan.platform.config import Config
from treespan.platform.errors import UserError

IDLE_WORKER_S = 60.0
"""A worker of a local cluster ends when it has been idle for so long. Ray's own second is shorter than
the time between two stages, and every new worker spends two seconds of processor time on imports."""


class RayConfig(Config):
    """Where the work runs. Nothing here changes any output."""

    address: str | None = None
    """Address of a running cluster (``auto``, ``HOST:6379``). Without one: the cluster named by
    ``RAY_ADDRESS`` (so it is inside a submitted job), or else a local one."""
    num_cpus: int | None = Field(default=None, ge=1)
    """Logical CPUs of a local cluster; all of the machine by default. At least two, since training
    runs two workers by default: one real core then does the work of both."""
    auth_mode: Literal["disabled", "token"] | None = None
    """Ray's authentication mode. By default ``RAY_AUTH_MODE`` as it stands, or else ``disabled``
    for a local cluster, which listens on the loopback interface only."""
    threads_per_worker: int = Field(default=1, ge=1)
    """``OMP_NUM_THREADS`` of the workers of a local cluster."""


@contextmanager
def ray_session(config: RayConfig) -> Iterator[bool]:
    """A connected Ray for the time of the block; joins one that this process has already.

    Yields whether that Ray ends with the block.
    """
    import ray

    _quieten()
    if ray.is_initialized():
        yield False
        return
    address = config.address or os.environ.get("RAY_ADDRESS")
    if config.auth_mode is not None:
        os.environ["RAY_AUTH_MODE"] = config.auth_mode
    if address:
        _attach(address)
    else:
        _start_local(config)
    try:
        yield not address
    finally:
        ray.shutdown()


def missing_cpus(step: str, cpus: int) -> str:
    """A sentence if the connected Ray has fewer CPUs than a step needs at once; empty otherwise."""
    import ray

    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    found = int(resources.get("CPU", 0))
    return f"the step {step} needs {cpus} CPUs at once, and this Ray has {found}." * (found < cpus)


def _attach(address: str) -> None:
    import ray

    try:
        ray.init(address=address, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"no Ray cluster answers at {address!r} ({_first_line(error)}).",
            "Start one with `ray start --head`, or leave the address out to use this machine.",
        ) from None


def _start_local(config: RayConfig) -> None:
    import ray

    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ["OMP_NUM_THREADS"] = str(config.threads_per_worker)
    os.environ.setdefault(
        "RAY_idle_worker_killing_time_threshold_ms", str(round(IDLE_WORKER_S * 1000))
    )
    ray.init(
        # Without this Ray would join any cluster that it finds on the machine.
        address="local",
        num_cpus=config.num_cpus or max(2, os.cpu_count() or 1),
        # Ray Train's clean-up asks the state API, which the dashboard serves.
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        logging_level=logging.WARNING,
        log_to_driver=os.environ.get("TREESPAN_WORKER_LOGS") == "1",
    )


def _quieten() -> None:
    """Our own progress is what a person reads; Ray's full logs stay in its session folder."""
    os.environ.setdefault("RAY_TRAIN_ENABLE_STATE_TRACKING", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    from ray.data import DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray.data", "ray.train", "ray.serve"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
