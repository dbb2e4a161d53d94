"""What to read: the sources, how their repositories are spread, and what is too large."""

from __future__ import annotations

import datetime as dt
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from treespan.platform.config import Config
from treespan.platform.uri import PathOrUri


def _end_of_day(value: Any) -> Any:
    """A day as its last second; numbers are refused, which pydantic takes for seconds of 1970."""
    if isinstance(value, dt.datetime):
        return value
    text = value.isoformat() if isinstance(value, dt.date) else str(value)
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        raise ValueError("write a day as 2024-06-30, or a time as 2024-06-30T12:00:00Z")
    return f"{text}T23:59:59" if len(text) == 10 else text


def _in_utc(value: dt.datetime) -> dt.datetime:
    return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)


Moment = Annotated[dt.datetime, BeforeValidator(_end_of_day), AfterValidator(_in_utc)]
"""A point in time, in UTC: a day is meant to its end, and a time without a zone is in UTC."""


class DirectorySource(Config):
    """A folder of source files, or a folder of such folders."""

    kind: Literal["directory"] = "directory"
    path: PathOrUri
    """The folder; local (``~`` is expanded, a relative path starts at the working directory) or a
    URI such as ``s3://bucket/prefix``."""
    repo: str | None = Field(default=None, min_length=1)
    """Name of the repository; the folder's name if not given."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""
    each_subfolder: bool = False
    """Every direct subfolder is a repository of its own (files beside them are not read)."""


class GitSource(Config):
    """A git repository, bare or with a work tree; read from its objects, without a checkout."""

    kind: Literal["git"] = "git"
    path: PathOrUri
    """The work tree or the bare repository, on a local disk; ``~`` is expanded."""
    repo: str | None = Field(default=None, min_length=1)
    """Name of the repository; the folder's name without ``.git`` if not given."""
    ref: str = Field(default="HEAD", min_length=1)
    """Branch, tag or commit to read."""
    date: Moment | None = None
    """Read not ``ref`` but the last commit on its first-parent line that was committed by then: a
    day (to its end) or a time, in UTC unless it says otherwise."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""
    each_subfolder: bool = False
    """Every git repository below the folder is read, at any depth, named by its path from there
    without ``.git`` (``host/org/name``); other files are ignored."""


class PythonEnvironmentSource(Config):
    """The standard library and the installed distributions of the running interpreter."""

    kind: Literal["python-environment"] = "python-environment"
    standard_library: bool = True
    """Read the standard library too, as the repository ``cpython``."""
    include: tuple[str, ...] = ("*",)
    """Globs of normalised distribution names to read."""
    exclude: tuple[str, ...] = ()
    """Globs of normalised distribution names to leave out; they beat ``include``."""


class ArchiveGuards(Config):
    """What an archive may cost before it is refused."""

    max_unpacked_bytes: int = Field(default=2 << 30, ge=1)
    """An archive that unpacks to more is refused as a bomb."""
    max_members: int = Field(default=200_000, ge=1)
    """An archive with more members is refused as a bomb."""
    max_ratio: float = Field(default=200.0, gt=1)
    """An archive that unpacks to more than so many times its size is refused as a bomb, if it
    unpacks to 16 MiB at least (ours: source code stays below 20, a tar of tiny files below 100)."""


class ArchiveSource(ArchiveGuards):
    """Archives, each a repository: tar, zip, wheel, sdist, npm tarball, .deb; never unpacked."""

    kind: Literal["archive"] = "archive"
    path: PathOrUri
    """The archive, or with ``each_file`` a folder of them; local (``~`` is expanded) or a URI."""
    each_file: bool = False
    """Every archive below the folder, at any depth, is a repository; other files are ignored."""
    repo: str | None = Field(default=None, min_length=1)
    """Name of the repository; the file's name without version and suffix if not given."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""


class PackageSource(ArchiveGuards):
    """Packages by name, fetched by the ordinary clients with the user's own configuration."""

    kind: Literal["package"] = "package"
    names: tuple[str, ...] = ()
    """``pypi:NAME``, ``pypi:NAME==1.2``, ``npm:@scope/name@4``, ``debian:NAME``: what pip, npm and
    apt-get take behind the colon, names and versions only."""
    names_from: str | None = Field(default=None, min_length=1)
    """A file with such a name in each line, besides ``names``; ``#`` starts a comment."""
    refresh: str = Field(default="first", pattern=r"^\w[\w.-]{0,99}$")
    """What a name was resolved to is remembered in the store under this word. Another word (a date)
    has all names resolved anew."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""

    @model_validator(mode="after")
    def _names_something(self) -> PackageSource:
        if not self.names and self.names_from is None:
            raise ValueError("a source of packages needs names, or names_from")
        return self


class ColumnNames(Config):
    """Which column of a table holds what; what is not given is as the layout has it."""

    repo: str | None = None
    """The repository's name: rows are grouped by it."""
    path: str | None = None
    """The file's path within the repository."""
    content: str | None = None
    """The text, or its bytes."""
    licence: str | None = None
    """An SPDX name or expression, or a list of them, which then all hold."""
    stars: str | None = None
    """Stars of the repository; the largest value of its rows counts."""
    commit: str | None = None
    """Commit of the repository."""
    blob_id: str | None = None
    """What names the file in ``content_store``."""
    encoding: str | None = None
    """Encoding of the bytes in ``content_store``; UTF-8 if there is none."""
    bytes: str | None = None
    """Size of the file in ``content_store``: too large a file is not fetched."""


class TableSource(Config):
    """Parquet or JSON lines with a file per row, grouped into repositories by a column."""

    kind: Literal["table"] = "table"
    path: PathOrUri
    """A file, a folder (``.parquet``, ``.jsonl``, also ``.gz`` and ``.zst``) or a glob in the last
    part; local (``~`` is expanded) or a URI."""
    layout: Literal["plain", "the-stack-v1", "the-stack-v2"] = "plain"
    """Names of the columns; ``plain``: repo, path, content and, if there, licence, stars, commit."""
    columns: ColumnNames = ColumnNames()
    """Columns that are named differently from the layout."""
    content_store: PathOrUri | None = None
    """Where the contents are if not in the table: a folder or URI with ``{blob_id}`` in it, such as
    ``s3://softwareheritage/content/{blob_id}?region=us-east-1``."""
    content_compression: Literal["none", "gzip"] = "gzip"
    """How files in ``content_store`` are compressed; Software Heritage's are, with gzip."""
    licence: str | None = None
    """SPDX expression that holds for every file, whatever the files say."""
    window_bytes: int = Field(default=256 << 20, ge=1)
    """Text of repositories that a worker holds at once. A table that is not sorted by repository is
    read once per window: give a larger one for larger tables."""

    @model_validator(mode="after")
    def _store_has_a_place_for_the_id(self) -> TableSource:
        if self.content_store is not None and "{blob_id}" not in self.content_store:
            raise ValueError("content_store must contain {blob_id}")
        return self


class MetadataColumns(Config):
    """Which column of a metadata table holds what."""

    repo: str = Field(default="repo", min_length=1)
    """The repository's name."""
    stars: str = Field(default="stars", min_length=1)
    """Its stars."""
    licence: str = Field(default="licence", min_length=1)
    """An SPDX name or expression, or a list of them, which then all hold."""


class MetadataTable(Config):
    """Parquet, JSON lines or CSV with a row per repository: stars, and licences."""

    path: PathOrUri
    """A file, a folder or a glob in the last part; local (``~`` is expanded) or a URI."""
    columns: MetadataColumns = MetadataColumns()
    """Names of the columns; one that is not given here may be missing."""
    prefix: str = ""
    """Put before the table's names: ``github.com/`` where repositories are named by their path in a
    mirror, as ``github.com/org/name``, and the table has ``org/name``."""


Source = Annotated[
    DirectorySource
    | GitSource
    | PythonEnvironmentSource
    | ArchiveSource
    | PackageSource
    | TableSource,
    Field(discriminator="kind"),
]


class IngestConfig(Config):
    """Settings of the ingest step."""

    sources: tuple[Source, ...] = Field(min_length=1)
    """Where repositories come from, in any mix; repository names must not repeat."""
    metadata: tuple[MetadataTable, ...] = ()
    """Stars and licences of repositories by name, for those whose source does not know them."""
    partitions: int = Field(default=16, ge=1)
    """Parts that the corpus is split into, by a hash of the repository; the unit of parallel work.
    All later steps keep it. Take a few per CPU of the cluster."""
    max_file_bytes: int = Field(default=1_000_000, ge=1)
    """Larger files are not read (ours: hand-written source files are far below this)."""
    encodings: Literal["convert", "drop"] = "convert"
    """What becomes of text that is not UTF-8: converted where its encoding is plain, else dropped;
    or always dropped."""
    max_repo_bytes: int | None = Field(default=None, ge=1)
    """Keep files of a repository, in an order drawn from their paths, until they reach this."""
