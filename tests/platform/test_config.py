"""Typed configuration and recipes: what is refused, and how it is said."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from treespan.jobs.recipe import Recipe, load_recipe
from treespan.platform.config import Config, build
from treespan.platform.errors import UserError
from treespan.platform.recipe import overlay, parse_override, read_recipe

MINIMAL = "name: t\ningest: {sources: [{kind: python-environment}]}\n"


class Inner(Config):
    learning_rate: float = Field(default=0.1, gt=0)


class Outer(Config):
    steps: int = 1
    optimizer: Inner = Inner()


def test_round_trip_and_frozen() -> None:
    value = build(Outer, {"steps": 3, "optimizer": {"learning_rate": 0.5}}, where="x")
    assert build(Outer, value.to_dict(), where="x") == value
    with pytest.raises(ValueError, match="frozen"):
        value.steps = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "problem", "fix"),
    [
        ({"step": 1}, "unknown key 'step'", "'steps'"),
        ({"optimizer": {"learningrate": 1}}, "'optimizer.learningrate'", "'learning_rate'"),
        ({"optimizer": {"zzz": 1}}, "'optimizer.zzz'", "Valid here: learning_rate"),
        ({"optimizer": {"learning_rate": -1}}, "greater than 0 (got -1)", "Correct"),
        ({"steps": "many"}, "steps", "Correct"),
    ],
)
def test_mistakes_are_named(values: dict[str, object], problem: str, fix: str) -> None:
    with pytest.raises(UserError) as error:
        build(Outer, values, where="r.yaml")
    assert problem in error.value.problem
    assert error.value.problem.startswith("r.yaml")
    assert fix in error.value.fix


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_extends_and_overrides(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", "a: {x: 1, y: [1, 2]}\nb: 5\n")
    top = write(tmp_path, "top.yaml", "extends: base.yaml\na: {y: [3]}\n")
    assert read_recipe(top) == {"a": {"x": 1, "y": [3]}, "b": 5}
    assert read_recipe(top, ["a.x=[7, 8]", "c.d=yes"])["a"] == {"x": [7, 8], "y": [3]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("extends: r.yaml\n", "circle"),
        ("extends: none.yaml\n", "does not exist"),
        ("a: 1\na: 2\n", "written twice"),
        ("- a\n", "not a mapping"),
        ("a: [1\n", "not valid YAML"),
        ("a: {{ path }}\n", "plain name"),
    ],
)
def test_bad_recipe_files(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_recipe(write(tmp_path, "r.yaml", text))


@pytest.mark.parametrize("text", ["a", "=1", "a.=1", ".a=1", "a=[1"])
def test_bad_overrides(text: str) -> None:
    with pytest.raises(UserError, match="--set"):
        parse_override(text)


JSON = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
MAPPING = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(MAPPING, MAPPING)
def test_overlay_keeps_inputs_and_lets_the_top_win(base: dict, top: dict) -> None:
    before = repr((base, top))
    merged = overlay(base, top)
    assert repr((base, top)) == before
    assert overlay(merged, top) == merged
    assert set(merged) == set(base) | set(top)
    for key, value in top.items():
        if not isinstance(value, dict):
            assert merged[key] == value


def test_the_recipe_seed_reaches_every_section_that_sets_none(tmp_path: Path) -> None:
    path = write(tmp_path, "r.yaml", MINIMAL + "seed: 7\npack: {seed: 9}\n")
    recipe = load_recipe(path)
    assert (recipe.sample.seed, recipe.train.seed, recipe.pack.seed) == (7, 7, 9)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.execution.sequence_parallel=3", "not a multiple"),
        ("pack.objectives.ntp=0.9", "must sum to 1"),
        ("sample.strategies={content: 0, path: 0, dependency: 0, random: 0}", "at least one"),
        ("name=Bad Name", "name"),
        ("ingest.sources=[]", "ingest.sources"),
        ("ingest.sources=[{kind: ftp}]", "ingest.sources"),
        ("ingest.sources=[{kind: directory, paht: x}]", "paht"),
        ("trian.steps=3", "trian"),
        ("train.preset=huge", "'huge'"),
        ("train.model.hidden_sise=3", "hidden_size"),
        ("train.model.vocab_size=3", "tokenize.vocab_size"),
        ("train.model.name=x", "name"),
        ("pack.seq_len=100000", "positions of the model"),
        ("evaluate.context_tokens=100000", "positions of the model"),
        ("tokenize.fim_format.prefix=</s>", "must differ"),
        ("tokenize.fim_format=qwen2.5-coder", "set pack.objectives.spm to 0"),
    ],
)
def test_impossible_values(tmp_path: Path, override: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        load_recipe(write(tmp_path, "r.yaml", MINIMAL), [override])
    assert said in str(error.value)


def test_every_field_says_what_it_is() -> None:
    seen: set[type[Config]] = set()

    def visit(kind: type[Config]) -> None:
        seen.add(kind)
        for name, field in kind.model_fields.items():
            if name != "kind":
                assert field.description, f"{kind.__name__}.{name} has no docstring"
            annotation = field.annotation
            if isinstance(annotation, type) and issubclass(annotation, Config):
                visit(annotation)

    visit(Recipe)
    assert len(seen) > 10
