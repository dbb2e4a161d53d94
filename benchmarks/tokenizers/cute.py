"""cute-tokenizer, which encodes by code of its own: installed apart, and run as a process.

Run as a script it encodes the JSON list of texts on its input and prints the length of each in
tokens, the seconds that it took, its vocabulary's size and how many texts came back changed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REQUIREMENT = "cute-tokenizer==1.0.2"


def measure(texts: list[str], cache: Path) -> dict[str, Any]:
    """What the script prints; the package is installed below ``cache`` if it is not there."""
    folder = cache / REQUIREMENT
    if not folder.exists():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
        subprocess.run([*command, REQUIREMENT], check=True)
    said = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": str(folder)},
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(said.stdout)
    return measured


def _main() -> None:
    from cute_tokenizer import load_default_tokenizer

    texts = json.load(sys.stdin)
    tokenizer = load_default_tokenizer()
    started = time.process_time()
    encoded = [tokenizer.fast_encode(text) for text in texts]
    seconds = time.process_time() - started
    changed = sum(
        tokenizer.fast_decode(ids) != text for ids, text in zip(encoded, texts, strict=True)
    )
    lengths = [len(ids) for ids in encoded]
    json.dump(
        {
            "lengths": lengths,
            "seconds": seconds,
            "vocab_size": len(tokenizer),
            "changed": changed,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    _main()
