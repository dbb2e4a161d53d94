"""Reading a recipe: YAML, ``extends:`` another recipe, ``--set a.b=c`` on top.

This module yields plain mappings; the typed ``Recipe`` (``treespan.jobs.recipe``) is built from
them. A recipe that extends another is laid over it key by key; lists are replaced, not joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from treespan.platform.errors import UserError


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key written twice: YAML would keep the last one silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str | int | float | bool | None):
                raise yaml.constructor.ConstructorError(
                    None, None, "a key must be a plain name", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The recipe at ``path`` with what it extends and ``overrides`` (``a.b=value``) applied."""
    values = _read_with_bases(Path(path), ())
    for override in overrides:
        values = overlay(values, parse_override(override))
    return values


def overlay(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """``top`` laid over ``base``: mappings merge, anything else is replaced. Inputs stay as is."""
    merged = dict(base)
    for key, value in top.items():
        below = merged.get(key)
        both_mappings = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = overlay(below, value) if both_mappings else value  # type: ignore[arg-type]
    return merged


def parse_override(text: str) -> dict[str, Any]:
    """``"a.b=3"`` as ``{"a": {"b": 3}}``; the value is read as YAML."""
    dotted, equals, value = text.partition("=")
    keys = dotted.strip().split(".")
    if not equals or not all(keys):
        raise UserError(f"--set {text!r} is not of the form key.key=value.", "Write it so.")
    try:
        parsed: Any = yaml.load(value, _UniqueKeyLoader)
    except yaml.YAMLError:
        raise UserError(f"--set {text!r}: the value is not valid YAML.", "Quote it.") from None
    for key in reversed(keys):
        parsed = {key: parsed}
    return dict(parsed)


def _read_with_bases(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    resolved = path.resolve()
    if resolved in above:
        chain = " -> ".join(p.name for p in (*above, resolved))
        raise UserError(f"{path}: recipes extend each other in a circle: {chain}.", "Break it.")
    values = _read_yaml(path)
    base = values.pop("extends", None)
    if base is None:
        return values
    if not isinstance(base, str):
        raise UserError(f"{path}: 'extends' must name one recipe file.", "Give a relative path.")
    return overlay(_read_with_bases(path.parent / base, (*above, resolved)), values)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeyLoader)
    except FileNotFoundError:
        raise UserError(
            f"recipe {path} does not exist.", "Give the path of a YAML file; see recipes/."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"recipe {path} cannot be read ({error}).", "Check the path.") from None
    except yaml.YAMLError as error:
        flat = " ".join(str(error).split())
        raise UserError(f"recipe {path} is not valid YAML: {flat}.", "Correct it.") from None
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise UserError(f"recipe {path} is not a mapping of names to values.", "See recipes/.")
    return values
