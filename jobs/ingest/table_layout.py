"""Which columns a table has, by the layout in the recipe and by what is in the table."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from treespan.jobs.ingest.config import ColumnNames, TableSource
from treespan.platform.errors import UserError

LAYOUTS = {
    "plain": ColumnNames(repo="repo", path="path", content="content"),
    "the-stack-v1": ColumnNames(
        repo="max_stars_repo_name",
        path="max_stars_repo_path",
        content="content",
        licence="max_stars_repo_licenses",
        stars="max_stars_count",
        commit="max_stars_repo_head_hexsha",
    ),
    "the-stack-v2": ColumnNames(
        repo="repo_name",
        path="path",
        licence="detected_licenses",
        stars="star_events_count",
        commit="revision_id",
        blob_id="blob_id",
        encoding="src_encoding",
        bytes="length_bytes",
    ),
}
"""The Stack as it is published (BigCode on the Hugging Face hub): v1 has contents, v2 has ids."""

OPTIONAL = {
    "plain": {"licence", "stars", "commit"},
    "the-stack-v1": {"licence", "stars", "commit"},
    "the-stack-v2": {"licence", "stars", "commit", "encoding", "bytes"},
}
"""Columns that a table of the layout may lack, unless the recipe names them."""


def columns_of(source: TableSource, present: Sequence[str], where: str) -> dict[str, str]:
    """Column by field of ``ColumnNames``, for the table ``where`` that has the columns ``present``.

    Raises ``UserError`` that names what is missing and what is nearest to it.
    """
    layout = LAYOUTS[source.layout].model_dump(exclude_none=True)
    given = source.columns.model_dump(exclude_none=True)
    optional = OPTIONAL[source.layout]
    wanted = {field: field for field in optional if source.layout == "plain"} | layout | given
    if source.content_store is None:
        for field in ("blob_id", "encoding", "bytes"):
            wanted.pop(field, None)
        if "content" not in wanted:
            wanted["content"] = "content"
    else:
        wanted.pop("content", None)
        if "blob_id" not in wanted:
            raise UserError(
                f"source {source.path} has a content_store and no column with ids.",
                "Name it as columns.blob_id.",
            )
    found = {}
    for field, column in wanted.items():
        if column in present:
            found[field] = column
        elif field in given or field not in optional:
            raise _missing(column, field, present, where, source)
    return found


def _missing(
    column: str, field: str, present: Sequence[str], where: str, source: TableSource
) -> UserError:
    near = difflib.get_close_matches(column, present, n=1, cutoff=0.4)
    has = f"The nearest is {near[0]!r}" if near else f"It has {', '.join(sorted(present)[:20])}"
    fix = f"{has}: name the right one as columns.{field}."
    if field == "content" and source.layout == "the-stack-v2":
        fix = f"{fix} The Stack v2 has no contents: give content_store."
    return UserError(f"{where} has no column {column!r} ({field}).", fix)
