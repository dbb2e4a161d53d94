"""Starting and stopping: what is checked before Ray starts, and the whole path under Ray Serve."""

from __future__ import annotations

import inspect
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import pytest

from treespan.model.checkpoint import check_checkpoint
from treespan.platform.errors import UserError
from treespan.platform.store import Store
from treespan.serve import endpoint
from treespan.serve.app import ServeConfig, build
from treespan.serve.fetch import check_place, local_checkpoint

PROMPT = "def f(x):\n    return "


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_one_completion_needs_no_server(checkpoint_folder: Path) -> None:
    text = endpoint.complete(str(checkpoint_folder), PROMPT, "\n", path="a.py", max_tokens=8)
    assert text
    assert text == endpoint.complete(
        str(checkpoint_folder), PROMPT, "\n", path="a.py", max_tokens=8
    )


def test_an_impossible_completion_says_why(checkpoint_folder: Path) -> None:
    with pytest.raises(UserError, match="at most"):
        endpoint.complete(str(checkpoint_folder), PROMPT, max_tokens=5000)
    with pytest.raises(UserError, match="path"):
        endpoint.complete(str(checkpoint_folder), PROMPT, path="")


def test_a_bad_checkpoint_is_found_before_ray_starts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint folder"):
        endpoint.serve_until_interrupted(str(tmp_path / "nowhere"), port=free_port())


def test_a_used_port_is_found_before_ray_starts(checkpoint_folder: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use. Give another --port."):
            endpoint.serve_until_interrupted(str(checkpoint_folder), port=port)


def test_a_local_checkpoint_is_used_in_place(checkpoint_folder: Path) -> None:
    with local_checkpoint(str(checkpoint_folder)) as folder:
        assert folder == checkpoint_folder


def test_a_remote_checkpoint_is_copied_for_a_while(
    checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "is_local", False)
    check_place(str(checkpoint_folder))
    with local_checkpoint(str(checkpoint_folder)) as folder:
        assert folder != checkpoint_folder
        names = {path.name for path in checkpoint_folder.iterdir()}
        assert {path.name for path in folder.iterdir()} == names
        check_checkpoint(folder)
    assert not folder.exists()


def test_a_remote_folder_without_a_checkpoint_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Store, "is_local", False)
    with pytest.raises(UserError, match="holds no checkpoint"):
        check_place(str(tmp_path))


def test_build_reserves_what_the_configuration_says(checkpoint_folder: Path) -> None:
    config = ServeConfig(checkpoint=str(checkpoint_folder), threads=3, max_running=5)
    deployment = build(config)._bound_deployment
    assert deployment.name == "CompletionServer"
    assert deployment.ray_actor_options["num_cpus"] == 3
    assert deployment.max_ongoing_requests > 5
    # `serve run` and config files give text; Serve builds the type that the signature names.
    (argument,) = inspect.signature(build).parameters.values()
    assert argument.annotation.model_validate({"checkpoint": "x", "threads": "3"}).threads == 3


@pytest.fixture(scope="module")
def url(ray_cluster: None, checkpoint_folder: Path) -> Iterator[str]:
    config = ServeConfig(checkpoint=str(checkpoint_folder), max_running=2)
    yield endpoint.start(config, port=free_port())
    endpoint.stop()


@pytest.mark.ray
def test_the_whole_path_under_ray_serve(url: str, checkpoint_folder: Path) -> None:
    client = openai.OpenAI(
        base_url=f"{url}/v1", api_key="none", http_client=httpx.Client(trust_env=False)
    )
    fields = {"model": "treespan", "prompt": PROMPT, "suffix": "\n", "max_tokens": 16}
    answer = client.completions.create(**fields)  # type: ignore[call-overload]
    events = client.completions.create(**fields, stream=True)  # type: ignore[call-overload]
    assert "".join(event.choices[0].text for event in events) == answer.choices[0].text
    assert answer.choices[0].text == endpoint.complete(
        str(checkpoint_folder), PROMPT, "\n", max_tokens=16
    )
    with pytest.raises(openai.BadRequestError, match="'echo'"):
        client.completions.create(**fields, echo=True)  # type: ignore[call-overload]

    response = httpx.get(f"{url}/health", headers={"x-request-id": "abc"}, trust_env=False)
    assert response.headers.get_list("x-request-id") == ["abc"]


@pytest.mark.ray
def test_a_client_that_leaves_frees_its_place_under_ray_serve(url: str) -> None:
    body = {"model": "treespan", "prompt": PROMPT, "max_tokens": 200, "stream": True}
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        with client.stream("POST", "/v1/completions", json=body) as response:
            first = next(response.iter_lines())
            assert json.loads(first.removeprefix("data: "))["object"] == "text_completion"
        deadline = time.monotonic() + 20
        while running := client.get("/health").json()["running"]:
            assert time.monotonic() < deadline, f"{running} requests still run"


@pytest.mark.ray
def test_a_second_endpoint_does_not_displace_the_first(
    url: str, checkpoint_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "_READY_S", 0.5)
    config = ServeConfig(checkpoint=str(checkpoint_folder), model="other")
    with pytest.raises(UserError, match="does not answer, though Serve runs"):
        endpoint.start(config, port=free_port())
    assert httpx.get(f"{url}/health", trust_env=False).json()["model"] == "treespan"
