"""``npm:NAME``: tarballs, through ``npm pack``, which runs no script of them."""

from __future__ import annotations

import json
import re
from pathlib import Path

from treespan.jobs.ingest.package_client import Client, Fetch, Fetched, run_client

_FIX = "Install Node.js with npm on the machine that starts the run, or leave its packages out."


def _prepare(folder: Path) -> Fetch:
    return _fetch


def _fetch(request: str, folder: Path) -> Fetched:
    command = ["npm", "pack", "--json", "--ignore-scripts", "--loglevel=error", "--", request]
    (packed,) = json.loads(run_client(command, folder, _FIX))
    (tarball,) = folder.glob("*.tgz")
    return Fetched(packed["name"], packed["version"], (tarball,))


NPM = Client(
    re.compile(
        r"(?P<name>(?:@[A-Za-z0-9_][\w.~-]*/)?[A-Za-z0-9_][\w.~-]*)(?:@[\w.+^~<>=*| -]+)?", re.ASCII
    ),
    "npm:express@4",
    _prepare,
)
