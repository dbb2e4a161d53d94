import random
from collections.abc import Callable

import pytest


@pytest.fixture(scope="session")
def clones() -> list[bytes]:
    """Some 400 texts in families: originals, and copies with 0 to 30 edited words each."""
    draw = random.Random(7)
    names = [f"name_{i}" for i in range(400)]
    texts = []
    for _ in range(60):
        words = [draw.choice(names) for _ in range(draw.randint(60, 400))]
        texts.append(words)
        for _ in range(draw.randint(0, 12)):
            copy = list(words)
            for _ in range(draw.randint(0, 8)):
                copy[draw.randrange(len(copy))] = f"edit_{draw.randrange(10**6)}"
            texts.append(copy)
    draw.shuffle(texts)
    return [" ".join(words).encode() for words in texts]


@pytest.fixture(scope="session")
def true_similarity() -> Callable[[bytes, bytes], float]:
    """Jaccard similarity of word 5-gram sets, written the plain way."""

    def similarity(one: bytes, other: bytes) -> float:
        first, second = (
            {tuple(words[i : i + 5]) for i in range(max(1, len(words) - 4))}
            for words in (one.split(), other.split())
        )
        return len(first & second) / len(first | second)

    return similarity
