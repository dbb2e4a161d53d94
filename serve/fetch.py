"""A checkpoint as a local folder, wherever it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from treespan.model.checkpoint import ABOUT, check_checkpoint
from treespan.platform.errors import UserError
from treespan.platform.store import Store


@contextmanager
def local_checkpoint(where: str) -> Iterator[Path]:
    """The folder of the checkpoint at ``where``: a path, or a URI such as ``s3://bucket/prefix``.

    A remote one is copied to a temporary folder that lasts as long as the block. Raises
    ``UserError`` if there is none.
    """
    store = Store(where)
    if not store.is_local:
        _check_present(store)
    with store.local_folder("") as folder:
        yield folder


def check_place(where: str) -> None:
    """Raise ``UserError`` if no usable checkpoint is at ``where``.

    A local one is checked in full but for the weights' values. Of a remote one only the presence:
    its weights are not copied twice.
    """
    store = Store(where)
    if store.is_local:
        check_checkpoint(Path(store.path()))
    else:
        _check_present(store)


def _check_present(store: Store) -> None:
    if not store.exists(ABOUT):
        raise UserError(f"{store.uri} holds no checkpoint.", "Give a folder with one.")
