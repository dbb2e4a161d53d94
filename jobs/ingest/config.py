"""What to read: the sources, how their repositories are spread, and what is too large."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from treespan.platform.config import Config


class DirectorySource(Config):
    """A folder of source files, or a folder of such folders."""

    kind: Literal["directory"] = "directory"
    path: str = Field(min_length=1)
    """The folder; ``~`` is expanded, a relative path starts at the working directory."""
    repo: str | None = Field(default=None, min_length=1)
    """Name of the repository; the folder's name if not given."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""
    each_subfolder: bool = False
    """Every direct subfolder is a repository of its own (files beside them are not read)."""


class GitSource(Config):
    """A git repository, bare or with a work tree; read from its objects, without a checkout."""

    kind: Literal["git"] = "git"
    path: str = Field(min_length=1)
    """The work tree or the bare repository; ``~`` is expanded."""
    repo: str | None = Field(default=None, min_length=1)
    """Name of the repository; the folder's name without ``.git`` if not given."""
    ref: str = Field(default="HEAD", min_length=1)
    """Branch, tag or commit to read."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""
    each_subfolder: bool = False
    """Every direct subfolder that is a git repository is read; other subfolders are ignored."""


class PythonEnvironmentSource(Config):
    """The standard library and the installed distributions of the running interpreter."""

    kind: Literal["python-environment"] = "python-environment"
    standard_library: bool = True
    """Read the standard library too, as the repository ``cpython``."""
    include: tuple[str, ...] = ("*",)
    """Globs of normalised distribution names to read."""
    exclude: tuple[str, ...] = ()
    """Globs of normalised distribution names to leave out; they beat ``include``."""


Source = Annotated[
    DirectorySource | GitSource | PythonEnvironmentSource, Field(discriminator="kind")
]


class IngestConfig(Config):
    """Settings of the ingest step."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where repositories come from, in any mix; repository names must not repeat."""
    partitions: int = Field(default=16, ge=1)
    """Parts that the corpus is split into, by a hash of the repository; the unit of parallel work.
    All later steps keep it. Take a few per CPU of the cluster."""
    max_file_bytes: int = Field(default=1_000_000, ge=1)
    """Larger files are not read (ours: hand-written source files are far below this)."""
    max_repo_bytes: int | None = Field(default=None, ge=1)
    """Keep files of a repository, in an order drawn from their paths, until they reach this."""
