"""The HTTP interface, without Ray: shapes, streams, refusals, disconnects."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
import uvicorn
from fastapi import FastAPI

from treespan.model.fim_format import FimRenderer
from treespan.model.generate import Sampling
from treespan.serve.api import MAX_CHARACTERS, CompletionRequest
from treespan.serve.completion import Completer
from treespan.serve.routes import create_app

pytestmark = pytest.mark.anyio
BODY = {"model": "treespan", "prompt": "def f(x):\n    return ", "max_tokens": 24}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def complete(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    response = await client.post("/v1/completions", json={**BODY, **fields})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def stream(client: httpx.AsyncClient, **fields: Any) -> list[dict[str, Any]]:
    response = await client.post("/v1/completions", json={**BODY, "stream": True, **fields})
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    events = response.text.split("\n\n")
    assert events[-2:] == ["data: [DONE]", ""]
    return [json.loads(event.removeprefix("data: ")) for event in events[:-2]]


async def test_an_answer_has_openais_shape(client: httpx.AsyncClient) -> None:
    answer = await complete(client)
    assert answer.keys() == {"id", "object", "created", "model", "choices", "usage"}
    assert (answer["object"], answer["model"]) == ("text_completion", "treespan")
    (choice,) = answer["choices"]
    assert choice.keys() == {"text", "index", "logprobs", "finish_reason"}
    assert choice["text"]
    assert choice["finish_reason"] == "length"
    usage = answer["usage"]
    assert usage["completion_tokens"] == 24
    assert usage["total_tokens"] == usage["prompt_tokens"] + 24


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"suffix": "\nprint(1)\n", "path": "a.py"},
        {"temperature": 1.0, "seed": 5},
        {"temperature": 1.0, "seed": 6, "stop": ["e", "\n"]},
    ],
)
async def test_a_stream_adds_up_to_the_answer(
    client: httpx.AsyncClient, fields: dict[str, Any]
) -> None:
    answer = await complete(client, **fields)
    events = await stream(client, **fields)

    assert "".join(event["choices"][0]["text"] for event in events) == answer["choices"][0]["text"]
    reasons = [event["choices"][0]["finish_reason"] for event in events]
    assert reasons == [None] * (len(events) - 1) + [answer["choices"][0]["finish_reason"]]
    assert len({event["id"] for event in events}) == 1
    assert all("usage" not in event for event in events)


async def test_a_stream_counts_tokens_on_request(client: httpx.AsyncClient) -> None:
    events = await stream(client, stream_options={"include_usage": True})
    assert events[-1]["choices"] == []
    assert events[-1]["usage"] == (await complete(client))["usage"]


async def test_a_stop_string_ends_the_text_before_it(client: httpx.AsyncClient) -> None:
    free = (await complete(client))["choices"][0]["text"]
    stop = free[len(free) // 2 :][:3]
    choice = (await complete(client, stop=stop))["choices"][0]
    assert choice["text"] == free[: free.index(stop)]
    assert choice["finish_reason"] == "stop"


async def test_the_end_mark_ends_the_text(
    client: httpx.AsyncClient, completer: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = completer._render(CompletionRequest.model_validate(BODY))
    tokens = completer.engine.generate(prompt, max_tokens=24, sampling=Sampling())
    free = [token async for token in tokens]
    monkeypatch.setattr(FimRenderer, "stop_ids", frozenset({free[7]}))
    answer = await complete(client)
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == free.index(free[7])


async def test_a_suffix_changes_the_answer(client: httpx.AsyncClient) -> None:
    texts = [(await complete(client, suffix=suffix))["choices"][0]["text"] for suffix in (None, "")]
    assert texts[0] != texts[1]


async def test_a_seed_repeats_the_answer(client: httpx.AsyncClient) -> None:
    async def text(**fields: Any) -> str:
        answer = await complete(client, temperature=1.5, **fields)
        return str(answer["choices"][0]["text"])

    assert await text(seed=1) == await text(seed=1)
    assert await text(seed=1) != await text(seed=2)
    assert await text() != await text()


async def test_answers_together_are_answers_alone(client: httpx.AsyncClient) -> None:
    fields = [
        {"prompt": "a = 1"},
        {"prompt": "class B:", "suffix": "\n"},
        {"temperature": 1.0, "seed": 3},
    ]
    together = await asyncio.gather(*(complete(client, **each) for each in fields))
    for each, answer in zip(fields, together, strict=True):
        assert answer["choices"] == (await complete(client, **each))["choices"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": "  \n"}, "prompt"),
        ({"prompt": "x" * (MAX_CHARACTERS + 1)}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"suffix": 3}, "suffix"),
        ({"path": ""}, "path"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 100_000}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": "0.5"}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"stop": ""}, "stop"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": ["a", 5]}, "stop"),
        ({"n": 2}, "n"),
        ({"best_of": 3}, "best_of"),
        ({"echo": True}, "echo"),
        ({"logprobs": 1}, "logprobs"),
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"x": 1}}, "stream_options"),
        ({"seed": -1}, "seed"),
        ({"top_k": 5}, "top_k"),
        ({"temprature": 0.5}, "temprature"),
    ],
)
async def test_a_refusal_names_the_field(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    response = await client.post("/v1/completions", json={**BODY, **fields})
    assert response.status_code == 400, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert param in error["message"]


async def test_a_misspelt_field_gets_a_suggestion(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/completions", json={**BODY, "temprature": 0.5})
    assert "did you mean 'temperature'?" in response.json()["error"]["message"]


@pytest.mark.parametrize(("field", "value", "only"), [("n", 2, "1"), ("logprobs", 1, "null")])
async def test_a_value_that_is_not_implemented_names_the_one_that_is(
    client: httpx.AsyncClient, field: str, value: int, only: str
) -> None:
    response = await client.post("/v1/completions", json={**BODY, field: value})
    error = response.json()["error"]
    assert error["message"] == f"{field!r} is supported only with the value {only}"
    assert error["code"] == "unsupported_value"


async def test_refusals_precede_a_stream(client: httpx.AsyncClient) -> None:
    body = {**BODY, "stream": True, "max_tokens": 100_000}
    assert (await client.post("/v1/completions", json=body)).status_code == 400


@pytest.mark.parametrize(
    "content", ["{no", "", "[]", '"text"', '{"model": "treespan", "prompt": "\\ud800"}']
)
async def test_a_body_that_is_no_request_is_a_400(client: httpx.AsyncClient, content: str) -> None:
    response = await client.post(
        "/v1/completions", content=content, headers={"content-type": "application/json"}
    )
    assert response.status_code == 400, response.text
    assert response.json()["error"]["message"]


async def test_habitual_neutral_values_are_accepted(client: httpx.AsyncClient) -> None:
    neutral = {"n": 1, "best_of": 1, "echo": False, "logprobs": None, "presence_penalty": 0}
    more = {"frequency_penalty": 0.0, "logit_bias": {}, "user": "me", "stop": None, "suffix": None}
    assert (await complete(client, **neutral, **more))["choices"] == (await complete(client))[
        "choices"
    ]


async def test_an_unknown_model_is_a_404(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/completions", json={**BODY, "model": "gpt"})
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/v1/nothing", 404), ("GET", "/v1/completions", 405)]
)
async def test_unknown_routes_answer_in_the_same_shape(
    client: httpx.AsyncClient, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path)
    assert response.status_code == status
    assert path in response.json()["error"]["message"]


async def test_models_and_health(client: httpx.AsyncClient) -> None:
    (card,) = (await client.get("/v1/models")).json()["data"]
    assert (card["id"], card["max_model_len"]) == ("treespan", 256)
    assert (await client.get("/health")).json()["status"] == "ok"


async def test_a_full_server_says_when_to_come_back(
    client: httpx.AsyncClient, completer: Completer
) -> None:
    completer.engine.running = 4
    for streamed in (False, True):
        response = await client.post("/v1/completions", json={**BODY, "stream": streamed})
        assert response.status_code == 503
        assert response.headers["retry-after"] == "1"
        assert response.json()["error"]["code"] == "server_busy"
    completer.engine.running = 0
    await complete(client)


async def test_a_failure_is_a_500_in_the_same_shape(
    client: httpx.AsyncClient, completer: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(completer.engine, "_step", fail)
    response = await client.post("/v1/completions", json=BODY)
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert "secret" not in response.text


async def test_a_failure_within_a_stream_is_its_last_event(
    client: httpx.AsyncClient, completer: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, step = completer.engine, completer.engine._step

    def fail_later(*args: Any) -> int:
        if engine.steps >= 12:
            raise RuntimeError("secret detail")
        return step(*args)

    monkeypatch.setattr(engine, "_step", fail_later)
    events = await stream(client)
    assert events[-1]["error"]["code"] == "internal_error"
    assert engine.running == 0


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_disconnect_stops_the_engine(
    app: FastAPI, completer: Completer, streamed: bool
) -> None:
    body = json.dumps({**BODY, "max_tokens": 200, "stream": streamed}).encode()
    requests = iter([{"type": "http.request", "body": body, "more_body": False}])
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        for message in requests:
            return message
        while completer.engine.steps < 5:
            await asyncio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/completions",
        "raw_path": b"/v1/completions",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
        "server": ("test", 80),
        "client": ("test", 1),
        "scheme": "http",
    }
    await app(scope, receive, send)

    assert completer.engine.running == 0
    assert 5 <= completer.engine.steps < 100
    assert bool(sent) == streamed


@pytest.fixture
def server(completer: Completer) -> Iterator[str]:
    """The application behind a real HTTP server on the loopback interface."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    uvicorn_server = uvicorn.Server(uvicorn.Config(create_app(completer), log_level="warning"))
    thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    uvicorn_server.should_exit = True
    thread.join()
    listener.close()


def test_openais_client_is_served(server: str) -> None:
    client = openai.OpenAI(
        base_url=f"{server}/v1", api_key="none", http_client=httpx.Client(trust_env=False)
    )
    assert [model.id for model in client.models.list()] == ["treespan"]
    answer = client.completions.create(
        model="treespan",
        prompt=BODY["prompt"],
        suffix="\n",
        max_tokens=16,
        extra_body={"path": "a.py"},
    )
    events = client.completions.create(
        model="treespan",
        prompt=BODY["prompt"],
        suffix="\n",
        max_tokens=16,
        stream=True,
        extra_body={"path": "a.py"},
    )
    assert "".join(event.choices[0].text for event in events) == answer.choices[0].text
    with pytest.raises(openai.BadRequestError, match="'echo'"):
        client.completions.create(model="treespan", prompt="x", echo=True)
    with pytest.raises(openai.NotFoundError):
        client.completions.create(model="other", prompt="x")


def test_a_client_that_leaves_stops_the_engine(server: str, completer: Completer) -> None:
    body = {**BODY, "max_tokens": 200, "stream": True}
    with (
        httpx.Client(base_url=server, trust_env=False) as client,
        client.stream("POST", "/v1/completions", json=body) as response,
    ):
        next(response.iter_lines())
    for _ in range(500):
        if completer.engine.running == 0:
            break
        threading.Event().wait(0.01)
    assert completer.engine.running == 0
    assert completer.engine.steps < 200
