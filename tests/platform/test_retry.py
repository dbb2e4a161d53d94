import errno
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs
import pytest

from treespan.platform import retry
from treespan.platform.errors import UserError, find_user_error
from treespan.platform.retry import (
    RETRIES,
    UnavailableError,
    delay_s,
    is_passing,
    is_transient,
    retrying,
    retrying_once,
)
from treespan.platform.steady_file import SteadyFile


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.0)


class Failing:
    """A call that fails with ``errors`` first, one by one."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.EIO, "Input/output error"),
        ConnectionResetError(errno.ECONNRESET, "reset by peer"),
        TimeoutError(),
        OSError(
            "When completing multiple part upload: AWS Error SLOW_DOWN during CompleteMultipart"
        ),
        OSError("AWS Error INTERNAL_FAILURE during PutObject operation: We encountered an error"),
        OSError("AWS Error UNKNOWN (HTTP status 503) during GetObject operation: No response body"),
        OSError("AWS Error NETWORK_CONNECTION during HeadObject: curlCode: 56, Failure"),
        OSError("google::cloud::Status(UNAVAILABLE: Service Unavailable)"),
    ],
)
def test_what_passes_is_tried_again(error: OSError) -> None:
    call = Failing(error, error)
    assert retrying(call, "x") == "done"
    assert call.calls == 3
    assert is_passing(error)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EROFS, "Read-only file system"),
        PermissionError(errno.EACCES, "Permission denied"),
        FileNotFoundError(errno.ENOENT, "No such file or directory"),
        OSError("AWS Error ACCESS_DENIED during PutObject operation: Access Denied 500 times"),
        OSError("Not a gzipped file (b'50')"),
        pa.ArrowInvalid("not a table"),
        ValueError("HTTP status 503"),
    ],
)
def test_what_stays_is_raised_at_once(error: Exception) -> None:
    call = Failing(error)
    with pytest.raises(type(error)):
        retrying(call, "x")
    assert call.calls == 1
    assert not is_passing(error)


def test_tries_are_bounded_and_a_network_that_stays_away_is_told() -> None:
    broken = Failing(*[OSError(errno.EIO, "Input/output error")] * 99)
    with pytest.raises(OSError, match="Input/output"):
        retrying(broken, "x")
    assert broken.calls == RETRIES + 1
    away = Failing(*[ConnectionRefusedError(errno.ECONNREFUSED, "refused")] * 99)
    with pytest.raises(UnavailableError, match="s3/key cannot be reached, tried 7 times") as caught:
        retrying(away, "s3/key")
    assert is_transient(caught.value)
    assert isinstance(find_user_error(caught.value), UserError)
    assert is_passing(MemoryError())
    assert not is_transient(MemoryError())


def test_what_worked_without_an_answer_is_done() -> None:
    lost, gone = ConnectionResetError(errno.ECONNRESET, "reset by peer"), FileNotFoundError("x")
    retrying_once(Failing(lost, gone), lambda: True, "x")
    with pytest.raises(FileNotFoundError):
        retrying_once(Failing(lost, gone), lambda: False, "x")
    with pytest.raises(FileNotFoundError):
        retrying_once(Failing(gone), lambda: True, "x")


def test_waits_grow_and_differ_by_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "FIRST_DELAY_S", 0.1)
    waits = [delay_s("part", attempt) for attempt in range(RETRIES)]
    assert waits == [delay_s("part", attempt) for attempt in range(RETRIES)]
    assert all(0.05 * 2**n <= wait <= 0.1 * 2**n for n, wait in enumerate(waits))
    assert len({delay_s(f"part-{n}", 0) for n in range(20)}) == 20
    assert sum(waits) < 7


def test_a_file_goes_on_where_reading_failed(tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "data").write_bytes(data)
    local = pafs.LocalFileSystem()
    opened = 0

    class Breaking:
        """A file of which every fourth read fails, and then it is good for nothing."""

        reads = 0

        def __init__(self) -> None:
            self.file = local.open_input_file(str(tmp_path / "data"))

        def size(self) -> int:
            return self.file.size()

        def read_at(self, size: int, place: int) -> bytes:
            Breaking.reads += 1
            if Breaking.reads % 4 == 0:
                self.file.close()
                raise OSError(errno.EIO, "Input/output error")
            return self.file.read_at(size, place)

        def close(self) -> None:
            self.file.close()

    def open_file() -> Breaking:
        nonlocal opened
        opened += 1
        return Breaking()

    with SteadyFile(open_file, "data") as file:
        assert b"".join(iter(lambda: file.read(777), b"")) == data
        assert file.seek(-10, os.SEEK_END) == len(data) - 10
        assert file.read() == data[-10:]
        assert file.seek(5) == 5
        assert (file.seek(5, os.SEEK_CUR), file.tell()) == (10, 10)
    assert opened > 20
