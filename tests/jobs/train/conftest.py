"""A process group of one for all tests of training: DeepSpeed remembers the first that it saw."""

from collections.abc import Iterator

import pytest
import torch.distributed as dist


@pytest.fixture(scope="package")
def one_process_group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    rendezvous = tmp_path_factory.mktemp("group") / "file"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1}.items():
            patch.setenv(name, str(value))
        dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=0, world_size=1)
        yield
        dist.destroy_process_group()
