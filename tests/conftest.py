"""What all tests share: one Ray cluster for the whole run, and small corpora of real files."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Timings say nothing on a machine that does other work beside the tests.
settings.register_profile("treespan", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("treespan")
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need Ray come last, so that the quick ones report first."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is not None)


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """A local cluster of two logical CPUs that lives as long as the test run."""
    from treespan.platform.ray_session import RayConfig, ray_session

    with ray_session(RayConfig(num_cpus=2)):
        yield
