"""No secret of a URI reaches a file, a log or a message."""

import pytest

from treespan.jobs.curate.config import KnownCorpus
from treespan.jobs.ingest.config import IngestConfig, MetadataTable
from treespan.platform.config import build
from treespan.platform.errors import UserError
from treespan.platform.store import Store
from treespan.platform.uri import masked, without_secrets

SECRETS = [
    "s3://KEY:HUSH@bucket/prefix",
    "s3://KEY:HU/SH@bucket/prefix?region=us-east-1",
    "abfs://:HUSH@account/container",
    "abfs://account/container?account_key=HUSH",
    "https://host/x?a=1&X-Amz-Signature=HUSH&b=2",
]


@pytest.mark.parametrize("uri", SECRETS)
def test_secrets_are_refused_and_never_repeated(uri: str) -> None:
    for give in (
        lambda: without_secrets(uri),
        lambda: Store(uri),
        lambda: build(IngestConfig, {"sources": [{"kind": "archive", "path": uri}]}, where="r"),
        lambda: build(IngestConfig, {"sources": [{"kind": "nosuch", "path": uri}]}, where="r"),
        lambda: build(MetadataTable, {"path": uri}, where="r"),
        lambda: build(KnownCorpus, {"store": uri, "run": "before"}, where="r"),
    ):
        with pytest.raises(UserError) as error:
            give()
        assert "***" in str(error.value)
        assert "SH" not in str(error.value)
        assert error.value.__cause__ is None


@pytest.mark.parametrize(
    "uri",
    [
        "s3://bucket/prefix?endpoint_override=127.0.0.1:9000&scheme=http",
        "s3://bucket?endpoint_override=127.0.0.1:9000",
        "s3://bucket/@scope/name",
        "gs://anonymous@bucket/prefix",
        "abfs://container@account.dfs.core.windows.net/x",
        "hdfs://user@host:8020/a@b",
        "hdfs://host:8020/a@b",
        "/folder/with:colon@sign",
    ],
)
def test_what_holds_no_secret_stays(uri: str) -> None:
    assert without_secrets(uri) == masked(uri) == uri
