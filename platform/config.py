"""The base of every typed configuration: frozen, unknown keys are errors with the nearest name.

A field's docstring stands under the field and becomes its description. Configurations live beside
the code that they configure; this module only knows how to build one from a mapping.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from treespan.platform.errors import UserError
from treespan.platform.uri import masked

C = TypeVar("C", bound="Config")


class Config(BaseModel):
    """A frozen, typed value that refuses keys it does not know."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types only, so that it can be hashed, stored and read back by ``build``."""
        return self.model_dump(mode="json")


def build(kind: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """``values`` as a ``kind``.

    ``where`` names the origin (a file) in messages. Raises ``UserError`` with the dotted key and
    what would be right: the nearest valid name for an unknown key, the bound for a value.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise _as_user_error(kind, error, where) from None


def _as_user_error(kind: type[Config], error: ValidationError, where: str) -> UserError:
    errors = error.errors(include_url=False)
    # A misspelt key also leaves the right one missing; the misspelling is what to report.
    first = min(errors, key=lambda found: found["type"] != "extra_forbidden")
    location = tuple(first["loc"])
    dotted = _dotted(location)
    if first["type"] == "extra_forbidden":
        valid = sorted(_keys_beside(kind, location))
        near = difflib.get_close_matches(str(location[-1]), valid, n=1, cutoff=0.5)
        hint = f"Did you mean {near[0]!r}?" if near else f"Valid here: {', '.join(valid)}."
        return UserError(f"{where}: unknown key {dotted!r}.", hint)
    if first["type"] == "missing":
        return UserError(f"{where}: {dotted!r} is missing.", "Add it.")
    message = first["msg"].removeprefix("Value error, ").rstrip(".")
    got = "" if first["type"] == "value_error" else f" (got {masked(repr(first['input']))})"
    return UserError(f"{where}: {dotted or 'recipe'}: {message}{got}.", "Correct the value.")


def _dotted(location: tuple[int | str, ...]) -> str:
    """``a.0.b``, without the tags of unions, which pydantic puts after the index of an item."""
    after_index = [False, *(isinstance(part, int) for part in location[:-1])]
    last = len(location) - 1
    return ".".join(
        str(part)
        for place, part in enumerate(location)
        if place == last or not (after_index[place] and isinstance(part, str))
    )


def _keys_beside(kind: type[Config], location: tuple[int | str, ...]) -> set[str]:
    """Field names valid where ``location`` (of an unknown key) points."""
    kinds: list[type[BaseModel]] = [kind]
    for part in location[:-1]:
        stepped: list[type[BaseModel]] = []
        for current in kinds:
            if isinstance(part, str) and part in current.model_fields:
                stepped += _configs_in(current.model_fields[part].annotation)
            elif _tag(current) == part:
                stepped.append(current)
        # A list index or the tag of a union leaves the candidates as they are.
        kinds = stepped or kinds
    return {name for current in kinds for name in current.model_fields}


def _tag(kind: type[BaseModel]) -> Any:
    field = kind.model_fields.get("kind")
    return None if field is None else field.default


def _configs_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in getattr(annotation, "__args__", ()) for found in _configs_in(part)]
