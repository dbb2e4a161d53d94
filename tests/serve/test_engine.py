"""Many requests on one engine: the same tokens as alone, in turns, and nothing after a cancel."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from treespan.model.checkpoint import Checkpoint
from treespan.model.generate import Sampling, generate
from treespan.serve.completion import Completer
from treespan.serve.engine import EngineFullError

pytestmark = pytest.mark.anyio
PROMPTS = [[1, 50, 60, 70], [1, 99], [1, *range(20, 80)]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_together_they_get_what_each_gets_alone(
    checkpoint: Checkpoint, completer: Completer, temperature: float
) -> None:
    async def run(number: int, prompt: list[int]) -> list[int]:
        sampling = Sampling(temperature=temperature, seed=number)
        tokens = completer.engine.generate(prompt, max_tokens=30, sampling=sampling)
        return [token async for token in tokens]

    together = await asyncio.gather(*map(run, range(3), PROMPTS))

    for number, prompt in enumerate(PROMPTS):
        alone = generate(
            checkpoint.model,
            prompt,
            max_tokens=30,
            sampling=Sampling(temperature=temperature, seed=number),
            vocab_size=checkpoint.tokenizer.vocab_size,
        )
        assert together[number] == list(alone)


async def test_requests_take_turns(completer: Completer) -> None:
    order: list[int] = []

    async def run(number: int) -> None:
        async for _ in completer.engine.generate([1, 50], max_tokens=40, sampling=Sampling()):
            order.append(number)

    await asyncio.gather(run(0), run(1))

    # Once both run, neither gets two tokens while the other waits for one, give or take one.
    lead = [sum(1 if number else -1 for number in order[:end]) for end in range(len(order))]
    assert max(map(abs, lead)) <= 3


async def test_closing_stops_the_steps(completer: Completer) -> None:
    engine = completer.engine
    async with aclosing(engine.generate([1, 50], max_tokens=200, sampling=Sampling())) as tokens:
        for _ in range(3):
            await anext(tokens)
        assert engine.running == 1
    assert (engine.running, engine.steps) == (0, 3)


async def test_cancelling_stops_the_steps(completer: Completer) -> None:
    engine, seen = completer.engine, asyncio.Event()

    async def run() -> None:
        async for _ in engine.generate([1, 50], max_tokens=200, sampling=Sampling()):
            seen.set()

    task = asyncio.create_task(run())
    await seen.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.running == 0
    steps = engine.steps
    # The worker does one thing at a time: what it did after the cancel lies before this.
    await asyncio.get_running_loop().run_in_executor(engine._worker, int)
    assert engine.steps <= steps + 1 < 100


async def test_a_full_engine_refuses_until_a_place_is_free(completer: Completer) -> None:
    def begin():  # type: ignore[no-untyped-def]
        return completer.engine.generate([1, 50], max_tokens=9, sampling=Sampling())

    running = [begin() for _ in range(4)]
    for tokens in running:
        await anext(tokens)
    with pytest.raises(EngineFullError):
        await anext(begin())
    await running[0].aclose()
    assert isinstance(await anext(begin()), int)


async def test_a_failing_step_frees_its_place(
    completer: Completer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise RuntimeError("no memory")

    monkeypatch.setattr(completer.engine, "_step", fail)
    with pytest.raises(RuntimeError, match="no memory"):
        await anext(completer.engine.generate([1], max_tokens=3, sampling=Sampling()))
    assert completer.engine.running == 0
