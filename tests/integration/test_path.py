"""The whole path on Ray, from sources to a report: once undisturbed, and then disturbed."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

import pyarrow as pa
import pytest
import torch
import yaml

from treespan.jobs.pipeline import STEP_NAMES, Outcome, load_recipe, run_recipe
from treespan.model.checkpoint import load_checkpoint
from treespan.platform import quickstart
from treespan.platform.errors import UserError
from treespan.platform.progress import Progress
from treespan.platform.run_record import read_run
from treespan.platform.store import Store
from treespan.platform.summary import as_json
from treespan.platform.tables import run_tables
from treespan.platform.why import story_of

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def whole(ray_cluster: None, recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The path, undisturbed."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    return run_recipe(load_recipe(recipe), store, Progress(quiet=True))


@pytest.fixture(scope="module")
def store(whole: Outcome) -> Store:
    return whole.outputs["ingest"].store


def digests(store: Store) -> dict[str, str]:
    return {name: output.digest for name, output in read_run(store).steps.items()}


def test_every_step_ran_once(whole: Outcome, store: Store, recipe: Path) -> None:
    assert whole.ran == list(STEP_NAMES)
    again = run_recipe(load_recipe(recipe), store, Progress(quiet=True))
    assert again.ran == []
    assert list(read_run(store).steps) == list(STEP_NAMES)
    for output in whole.outputs.values():
        assert not store.exists(f"{output.folder}/work")


def test_manifests_list_the_files_as_they_are(whole: Outcome, store: Store) -> None:
    import hashlib

    for output in whole.outputs.values():
        for entry in output.manifest["files"]:
            data = store.read_bytes(f"{output.folder}/{entry['path']}")
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]


def test_curation_dropped_the_planted_files(whole: Outcome, store: Store) -> None:
    funnel = whole.outputs["curate"].counts["funnel"]
    assert funnel["exact-duplicate"] == {"Python": 1}
    story = [event["what"] for event in story_of(store, "running/copied_bisect.py")]
    assert "numbers/bisect.py" in " ".join(story)
    broken = " ".join(event["what"] for event in story_of(store, "paths/broken.py"))
    assert "near-duplicate" in broken or "syntax" in broken
    kept = [event["step"] for event in story_of(store, "formats/csv.py")]
    assert kept[:5] == ["ingest", "curate", "decontaminate", "graph", "sample"]


def test_the_file_with_a_benchmark_is_gone(whole: Outcome, store: Store) -> None:
    counts = whole.outputs["decontaminate"].counts
    assert counts["output_files"] == counts["input_files"] - 1
    told = story_of(store, "running/queue.py")[-1]["what"]
    assert "benchmark-ngram" in told
    assert "asked/queue" in told


def test_structured_middles_end_at_line_ends(whole: Outcome, store: Store) -> None:
    from treespan.jobs.tokenize.renderer import load_renderer

    renderer = load_renderer(whole.outputs["tokenize"])
    suffix_id = renderer.tokenizer.id_of(renderer.format.suffix)
    middle_id = renderer.tokenizer.id_of(renderer.format.middle)
    seen = 0
    for part in whole.outputs["pack"].files("shards/epoch-00"):
        for row in store.read_table(part).to_pylist():
            assert len(row["tokens"]) == 128
            assert sum(s["length"] for s in row["segments"]) == sum(row["document_lengths"])
            for segment in row["segments"]:
                if segment["objective"] != "sfim":
                    continue
                seen += 1
                tokens = row["tokens"][segment["start"] : segment["start"] + segment["length"]]
                end = segment["middle_start"] - segment["start"] + segment["middle_length"]
                assert tokens[end] == renderer.eos
                rest = tokens[tokens.index(suffix_id) + 1 : tokens.index(middle_id)]
                assert renderer.tokenizer.decode(rest)[:1] in ("", "\n")
    assert seen > 100


def test_scores_beat_both_baselines(whole: Outcome) -> None:
    scores = whole.outputs["evaluate"].counts["scores"]
    assert set(scores) == {"ntp", "fim", "sfim"}
    for models in scores.values():
        for baseline in ("untrained", "unigram"):
            assert models["trained"]["nats_per_byte"] < models[baseline]["nats_per_byte"]
    assert 0 <= scores["sfim"]["trained"]["exact_match"] <= 1


def test_nothing_held_out_was_trained_on(whole: Outcome, store: Store) -> None:
    sample = whole.outputs["sample"]

    def repos(folder: str) -> set[str]:
        tables = [store.read_table(part, ["repo"]) for part in sample.files(folder)]
        return set(pa.concat_tables(tables)["repo"].to_pylist())

    assert repos("heldout")
    assert not repos("heldout") & repos("documents")
    assert set(whole.outputs["evaluate"].counts["repositories"]) <= repos("heldout")


def test_json_and_tables_tell_what_was_asked(whole: Outcome, store: Store) -> None:
    shown = as_json(read_run(store))
    for name in STEP_NAMES:
        step = shown["steps"][name]
        assert step["status"] == "done"
        assert step["seconds"] >= 0
        assert len(step["digest"]) == 64
        assert step["output"]
    assert shown["steps"]["curate"]["funnel"]["kept"]["Python"] > 20
    assert shown["steps"]["curate"]["input"]["ingest"]["files"] > 30
    train = shown["steps"]["train"]
    assert train["steps"] == 24
    assert train["tokens"] > 10_000
    assert train["tokens_per_second"] > 0
    assert train["final_loss"] < whole.outputs["train"].counts["first_loss"]
    files = whole.outputs["evaluate"].counts["files"]
    assert 1 <= shown["steps"]["evaluate"]["scores"]["fim"]["trained"]["holes"] <= files
    titles = [table.title for table in run_tables(read_run(store))]
    assert len(set(titles)) == len(titles)
    assert {"tokenize", "pack: what is learnt", "pack: bytes of a middle"} < set(titles)


def test_a_shorter_run_forgets_nothing(whole: Outcome, store: Store, recipe: Path) -> None:
    again = run_recipe(load_recipe(recipe), store, Progress(quiet=True), until="curate")
    assert again.ran == []
    assert list(read_run(store).steps) == list(STEP_NAMES)


def test_training_on_one_cpu_is_refused_at_once(
    recipe: Path, tmp_path: Path, command: list[str]
) -> None:
    arguments = ["run", str(recipe), "--store", str(tmp_path), "--set", "ray.num_cpus=1"]
    done = subprocess.run(
        [*command, *arguments],
        env={**os.environ, "RAY_AUTH_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "needs 2 CPUs at once" in done.stderr.splitlines()[-1]


def test_the_quickstart_shows_and_serves(
    whole: Outcome, store: Store, recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a store that has it all: what is left is to show results, serve, and ask once."""
    quickstart.run(recipe, store)
    said = capsys.readouterr().out
    for text in ("What curation did", "nats per token", "bits/byte", "-> 200", "text_completion"):
        assert text in said
    dropped = re.findall(r"treespan why (\S+) --store", said)
    assert story_of(store, dropped[0])


def test_a_store_stands_for_its_newest_checkpoint(
    whole: Outcome, store: Store, command: list[str]
) -> None:
    arguments = ["complete", "--checkpoint", store.uri, "--prefix", "import ", "--json"]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=True)
    assert "completion" in done.stdout


def test_the_report_is_self_contained(whole: Outcome, store: Store) -> None:
    html = store.read_bytes(f"{whole.outputs['report'].folder}/report.html").decode()
    # Three of what was kept, two or more of packing, one of the losses and two of the scores.
    assert html.count("<svg") >= 8
    assert "csv.py" in html or "Completions" in html
    assert "src=" not in html
    assert "@import" not in html


def test_a_killed_worker_changes_nothing(
    whole: Outcome, recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two training workers; one is killed with SIGKILL in the middle; Ray Train starts again."""
    store = Store(str(tmp_path))
    typed = load_recipe(recipe)
    run_recipe(typed, store, Progress(quiet=True), until="pack")
    killed: list[int] = []

    def kill_one_after_a_checkpoint() -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and not killed:
            if any("/states/" in name for name in store.list_files("steps")):
                for pid in training_workers()[:1]:
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)
            time.sleep(0.02)

    assassin = threading.Thread(target=kill_one_after_a_checkpoint)
    assassin.start()
    run_recipe(typed, store, Progress(quiet=True), until="train")
    assassin.join()
    assert killed
    assert digests(store)["train"] == whole.outputs["train"].digest


def training_workers() -> list[int]:
    """Process ids of the Ray Train workers of this test run, and of no other on the machine."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                title = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if b"RayTrainWorker" in title and os.getpid() in ancestors(int(folder.name)):
                found.append(int(folder.name))
    return found


def ancestors(process: int) -> list[int]:
    found: list[int] = []
    while process > 1:
        try:
            stat = Path(f"/proc/{process}/stat").read_text()
        except OSError:
            break
        # The name, in brackets, may hold anything; the state and the parent follow it.
        process = int(stat.rpartition(")")[2].split()[1])
        found.append(process)
    return found


def test_killed_in_every_step_and_on_one_cpu(
    whole: Outcome, recipe: Path, tmp_path: Path, command: list[str]
) -> None:
    """SIGKILL to the process in each step in turn; the digests are those of the undisturbed run.

    Up to the shards it runs with one Ray CPU, the undisturbed run had two.
    """
    store = Store(str(tmp_path / "store"))
    environment = {**os.environ, "RAY_AUTH_MODE": "disabled"}
    for step in STEP_NAMES:
        cpus = 1 if STEP_NAMES.index(step) <= STEP_NAMES.index("pack") else 2
        arguments = ["run", str(recipe), "--store", store.uri, "--set", f"ray.num_cpus={cpus}"]
        process = subprocess.Popen(
            [*command, *arguments, "--step", step],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until_inside(store, step, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert step not in digests(store) if store.list_files("runs") else True
        subprocess.run(
            [*command, *arguments, "--step", step], env=environment, check=True, capture_output=True
        )
        assert digests(store)[step] == whole.outputs[step].digest, step


def wait_until_inside(store: Store, step: str, process: "subprocess.Popen[bytes]") -> None:
    """Wait until ``step`` has begun, and, where it writes early, has written something."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, f"the run ended before {step} could be killed"
        files = [name for name in store.list_files("steps") if f"steps/{step}-" in name]
        # In training a checkpoint too, so that the next try has something to go on from.
        if files and (step != "train" or any("share-01-of-02.json" in name for name in files)):
            return
        time.sleep(0.005)
    raise TimeoutError(step)


def test_what_a_person_must_mend_ends_training_at_once(
    whole: Outcome, store: Store, recipe: Path
) -> None:
    """Workers are refused, Ray would try again three times, and the driver says why."""
    changes = ["train.optimizer.learning_rate=1.0e30", "train.optimizer.warmup_steps=0"]
    changes += ["train.anomalies={spike_steps: 1, max_rollbacks: 0}"]
    with pytest.raises(UserError, match="went wrong at step"):
        run_recipe(load_recipe(recipe, changes), store, Progress(quiet=True))
    started = time.monotonic()
    changes = [f"train.start_from={store.uri}/none"]
    values = yaml.safe_load(recipe.read_text())
    del values["train"]["model"]
    changed = recipe.with_name("from-nowhere.yaml")
    changed.write_text(yaml.safe_dump(values))
    with pytest.raises(UserError, match="none"):
        run_recipe(load_recipe(changed, changes), store, Progress(quiet=True))
    assert time.monotonic() - started < 20  # no step had to run


def test_adapters_of_a_model_of_ours_on_as_many_workers_as_there_are(
    whole: Outcome, store: Store, recipe: Path, tmp_path: Path
) -> None:
    """Goes on from the trained checkpoint: LoRA under ZeRO-3, between one and two workers."""
    start = store.path(f"{whole.outputs['train'].folder}/checkpoint")
    changes = [
        "name=continued",
        "evaluate.files=3",
        f"tokenize.load={start}",
        f"train.start_from={start}",
        "train.model={}",
        "train.steps=6",
        "train.lora={rank: 4, train_embeddings: true}",
        "train.ema_decay=0.5",
        "train.optimizer.learning_rate=0.01",
        "train.execution={num_workers: [1, 2], zero_stage: 3, micro_batch: 2}",
        "train.checkpoints.every_steps=4",
        "report.title=Continued",
    ]
    # What `--set` cannot take away: the recipe changes the shape of a preset.
    values = yaml.safe_load(recipe.read_text())
    del values["train"]["model"], values["train"]["execution"]
    changed = recipe.with_name("continued.yaml")
    changed.write_text(yaml.safe_dump(values))
    outcome = run_recipe(load_recipe(changed, changes), store, Progress(quiet=True))
    train = outcome.outputs["train"]
    assert [p["zero_stage"] for p in train.manifest["measures"]["placements"]] == [3]
    assert train.manifest["measures"]["placements"][0]["workers"] in (1, 2)
    assert train.counts["validation"]["last"] < train.counts["validation"]["first"]
    folders = [Path(store.path(f"{train.folder}/{name}")) for name in ("start", "checkpoint")]
    before, after = (load_checkpoint(folder).model.state_dict() for folder in folders)
    changed_names = {name for name in before if not torch.equal(before[name], after[name])}
    assert "model.layers.0.mlp.up_proj.weight" in changed_names
    assert "model.embed_tokens.weight" in changed_names
    assert "model.norm.weight" not in changed_names  # frozen
    assert (folders[0].parent / "adapters" / "adapter_model.safetensors").is_file()
    scores = outcome.outputs["evaluate"].counts["scores"]["ntp"]
    assert scores["trained"]["nats_per_byte"] < scores["untrained"]["nats_per_byte"]
