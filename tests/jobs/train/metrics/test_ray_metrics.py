"""Figures in Ray's own metrics, as Prometheus reads them."""

import re
import time

import httpx
import pytest
import ray
from tests.jobs.train.records import facts, record, timing

from treespan.jobs.train.config import MetricsConfig
from treespan.jobs.train.metrics.trackers import open_sinks

pytestmark = pytest.mark.ray


def scraped(url: str, until: str) -> str:
    """What the node offers, once ``until`` is in it: Ray's processes report now and then."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        text = httpx.get(url, timeout=30, trust_env=False).text
        if re.search(until, text):
            return text
        time.sleep(0.2)
    raise TimeoutError(f"no {until}")


def test_prometheus_reads_the_figures(ray_cluster: None) -> None:
    said: list[str] = []
    sinks = open_sinks(MetricsConfig(), facts(), said.append)
    assert len(sinks) == 1
    for step in range(30):
        sinks[0].record(record(step, skipped="norm" if step in (7, 9) else ""), timing())
    sinks[0].close()
    assert said == []
    (node,) = ray.nodes()
    url = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
    text = scraped(url, r"ray_treespan_train_step\{.*\} 30")
    for wanted in (
        r'ray_treespan_train_loss_by_language\{.*language="C\+\+".*\} [4-9]\.',
        r'ray_treespan_train_tokens_per_second\{.*run="small-0123".*\} 512',
        r"ray_treespan_train_skipped_updates(_total)?\{.*\} 2",
    ):
        assert re.search(wanted, text), wanted
