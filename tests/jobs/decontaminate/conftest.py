import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SOLUTION = '''def water_the_garden(plants, litres):
    """Give every thirsty plant an equal share of the litres that remain in the barrel."""
    thirsty = [plant for plant in plants if plant.dry]
    if not thirsty:
        return {}
    share = litres / len(thirsty)
    return {plant.name: share for plant in sorted(thirsty, key=lambda plant: plant.name)}
'''
OTHER = '''def fold_paper_boat(sheet, folds):
    """Fold the sheet along every line until a boat appears, and tell how often it was turned."""
    turned = 0
    for line in folds:
        sheet, flipped = crease(sheet, line)
        turned += int(flipped)
    return turned
'''
FRAME = (
    "\n\nMETADATA = {'author': 'nobody', 'dataset': 'garden'}\n\ndef check(candidate):\n    pass\n"
)


def write_jsonl(path: Path, records: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


@pytest.fixture
def jsonl() -> Callable[[Path, list[dict[str, Any]]], Path]:
    return write_jsonl


@pytest.fixture(scope="session")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve problems in HumanEval's form; all have the frame of the tests in common."""
    records = []
    for number in range(12):
        code = {0: SOLUTION, 1: OTHER}.get(
            number, "".join(f"name{number}_{i} = call{number}_{i}()\n" for i in range(12))
        )
        head, _, body = code.partition("\n")
        records.append(
            {
                "task_id": f"HumanEval/{number}",
                "prompt": head + "\n",
                "canonical_solution": body,
                "test": FRAME,
                "entry_point": "check",
            }
        )
    return write_jsonl(tmp_path_factory.mktemp("benchmark") / "HumanEval.jsonl", records)


@pytest.fixture(scope="session")
def eval_data(root: Path) -> Path:
    folder = Path(os.environ.get("TREESPAN_EVAL_DATA", root.parent / "shared" / "eval-data"))
    if not folder.is_dir():
        pytest.skip(f"the benchmarks are not at {folder}; TREESPAN_EVAL_DATA names their folder")
    return folder
