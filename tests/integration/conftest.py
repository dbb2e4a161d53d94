"""A small corpus of real code in two kinds of source, and a recipe that takes it all the way."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml
from dulwich import porcelain

LIBRARY = Path(sysconfig.get_path("stdlib"))
REPOSITORIES = {
    "parsing": ["ast.py", "tokenize.py", "token.py", "keyword.py", "symtable.py", "tabnanny.py"],
    "paths": ["glob.py", "fnmatch.py", "genericpath.py", "posixpath.py", "ntpath.py", "stat.py"],
    "mailing": ["email/charset.py", "email/encoders.py", "email/errors.py", "email/header.py"],
    "formats": ["json/decoder.py", "json/encoder.py", "json/scanner.py", "csv.py", "plistlib.py"],
    "numbers": ["fractions.py", "statistics.py", "random.py", "bisect.py", "heapq.py"],
    "running": ["queue.py", "sched.py", "subprocess.py", "shlex.py", "signal.py"],
}
"""Modules of the standard library, as if they were repositories of their own."""


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six repositories: five folders and a bare git repository. One file is in two of them."""
    base = tmp_path_factory.mktemp("corpus")
    for name, modules in REPOSITORIES.items():
        for module in modules:
            target = base / "folders" / name / module
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(LIBRARY / module, target)
    shutil.copy(LIBRARY / "bisect.py", base / "folders" / "running" / "copied_bisect.py")
    (base / "folders" / "paths" / "broken.py").write_text(
        (LIBRARY / "stat.py").read_text() + "\ndef broken(:\n    return ]\n"
    )
    worktree = base / "folders" / "parsing"
    repository = porcelain.init(str(worktree))
    porcelain.add(repository, [str(path) for path in worktree.rglob("*.py")])
    who = b"A Person <person@example.org>"
    porcelain.commit(
        repository, b"first", author=who, committer=who, commit_timestamp=0, author_timestamp=0
    )
    repository.close()
    porcelain.clone(str(worktree), str(base / "parsing.git"), bare=True).close()
    shutil.rmtree(worktree)
    return base


@pytest.fixture(scope="session")
def recipe(corpus: Path) -> Path:
    """A recipe over the corpus with every step as small as it can be."""
    benchmark = corpus / "asked.jsonl"
    # Ten words in a row of queue.py, that is of running/queue.py.
    asked = "Indicate that a formerly enqueued task is complete. Used by Queue consumer"
    benchmark.write_text(json.dumps({"id": "queue", "text": asked}) + "\n")
    values = {
        "name": "small",
        "seed": 3,
        "ingest": {
            "partitions": 3,
            "sources": [
                {
                    "kind": "directory",
                    "path": str(corpus / "folders"),
                    "each_subfolder": True,
                    "licence": "PSF-2.0",
                },
                {"kind": "git", "path": str(corpus / "parsing.git"), "licence": "PSF-2.0"},
            ],
        },
        "decontaminate": {"benchmarks": [{"path": str(benchmark), "fields": ["text"]}]},
        "sample": {"heldout_share": 0.2, "max_document_bytes": 8192},
        "tokenize": {"vocab_size": 512, "sample_bytes": 100_000},
        "pack": {"seq_len": 128},
        "train": {
            "preset": "nano",
            "model": {"hidden_size": 64, "intermediate_size": 128, "num_layers": 2},
            "steps": 24,
            "global_batch": 8,
            "execution": {"num_workers": 2, "micro_batch": 4},
            "checkpoints": {"every_steps": 6},
            "optimizer": {"learning_rate": 4e-3, "warmup_steps": 4},
        },
        "evaluate": {"files": 6, "max_middle_bytes": 120},
    }
    path = corpus / "small.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="session")
def command() -> list[str]:
    """The command line, as a process of its own."""
    return [sys.executable, "-m", "treespan.platform.cli"]


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has all dependencies of this one, but no treespan."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib"))
    where = [sys.executable, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    target = subprocess.run([python, *where[1:]], capture_output=True, text=True, check=True)
    # A path line takes in packages, but not the editable install, which is a path file there.
    (Path(target.stdout.strip()) / "dependencies.pth").write_text(f"{packages}\n")
    return python
