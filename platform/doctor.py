"""What works on this machine: the checks behind ``treespan doctor``."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    ok: bool
    found: str
    fix: str = ""
    required: bool = False
    """Whether the path from sources to a served completion needs it."""


def examine() -> list[Check]:
    """All checks, in the order in which a person would ask."""
    return list(_checks())


def _checks() -> Iterator[Check]:
    yield _python()
    yield _cores()
    yield _memory()
    yield _disk()
    yield from _torch()
    yield _gpu()
    yield _package("ray", required=True)
    yield _package("deepspeed", required=True)
    yield _grammars()
    yield _tool("git", "only for making repositories; reading them needs none")
    yield _tool("npm", "only for packages from npm, as a source")
    yield _tool("apt-get", "only for source packages of Debian, as a source")
    yield _tool("g++", "only for torch.compile")
    yield _tool("kubectl", "only for a Kubernetes cluster")


def _python() -> Check:
    found, enough = sys.version.split()[0], sys.version_info >= (3, 11)
    return Check("python", enough, found, "" if enough else "Use 3.11 or newer.", required=True)


def _cores() -> Check:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    enough = (count or 1) >= 2
    fix = "" if enough else "It works, but two training workers share one core."
    return Check("cores", enough, str(count), fix)


def _memory() -> Check:
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    enough = gigabytes >= 6
    fix = "" if enough else "The quickstart wants some 6 GB; close other programs."
    return Check("memory", enough, f"{gigabytes:.1f} GB", fix)


def _disk() -> Check:
    free = shutil.disk_usage(".").free / 1e9
    enough = free >= 2
    return Check("disk", enough, f"{free:.1f} GB free here", "" if enough else "Free 2 GB.")


def _torch() -> Iterator[Check]:
    check = _package("torch", required=True)
    yield check
    if not check.ok:
        return
    import torch

    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)
    amx = bool(probe()) if probe else False
    fix = "" if amx else "bf16 training works without it, some ten times slower."
    yield Check("AMX (bf16)", amx, "yes" if amx else "no", fix)


def _gpu() -> Check:
    found = shutil.which("nvidia-smi")
    if found is None:
        return Check("GPU", False, "none", "Not needed for small models.")
    query = [found, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        said = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return Check("GPU", False, "nvidia-smi does not answer", "Look at the driver.")
    names = said.stdout.strip().replace("\n", "; ")
    return Check("GPU", said.returncode == 0, names or said.stderr.strip())


def _package(name: str, *, required: bool = False) -> Check:
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, False, "not installed", "Run `make setup`.", required)
    return Check(name, True, found, required=required)


def _grammars() -> Check:
    try:
        grammars = import_module("treespan.model.grammars")
    except ImportError as error:
        return Check("grammars", False, str(error), "Run `make setup`.", required=True)
    broken = [name for name in grammars.GRAMMARS if not _parses(name)]
    total = len(grammars.GRAMMARS)
    found = f"{total - len(broken)} of {total} languages parse"
    return Check("grammars", not broken, found, f"Broken: {', '.join(broken)}." if broken else "")


def _parses(language: str) -> bool:
    try:
        parser = import_module("treespan.model.grammars").load_parser(language)
        return parser.parse(b"x") is not None
    except (ValueError, LookupError, RuntimeError):
        return False


def _tool(name: str, wanted_for: str) -> Check:
    found = shutil.which(name)
    return Check(
        name, found is not None, found or "not found", "" if found else f"Is {wanted_for}."
    )
