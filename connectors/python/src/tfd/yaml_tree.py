"""YAML text as plain values, with the place of each. Scalars stay text, so that
what they are is up to the field that they are for (a label `no` is no boolean)."""

from __future__ import annotations

from typing import Any

import yaml

# (line, column), counted from 1, by the path of the field.
Positions = dict[str, tuple[int, int]]

# Deeper is a part that contains itself.
_MAX_DEPTH = 50


class _Tree:
    def __init__(self, positions: Positions) -> None:
        self._positions = positions
        self.problems: list[tuple[str, str]] = []

    def value(self, node: Any, path: str, depth: int = 0) -> Any:
        mark = node.start_mark
        self._positions.setdefault(path, (mark.line + 1, mark.column + 1))
        if depth > _MAX_DEPTH:
            self.problems.append((path, "is nested too deep; does it contain itself?"))
            return None
        if isinstance(node, yaml.ScalarNode):
            plain = node.style is None
            empty = plain and node.value.lower() in ("", "~", "null")
            return None if empty else node.value
        if isinstance(node, yaml.SequenceNode):
            return [
                self.value(item, f"{path}[{number}]", depth + 1)
                for number, item in enumerate(node.value)
            ]
        return self._map(node, path, depth)

    def _map(self, node: Any, path: str, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        merged: list[Any] = []
        for key, item in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.problems.append((path, "a name is wanted before the colon"))
                continue
            if key.value == "<<" and key.style is None:
                bases = item.value if isinstance(item, yaml.SequenceNode) else [item]
                merged += [self.value(base, path, depth + 1) for base in bases]
                continue
            at = f"{path}.{key.value}" if path else key.value
            if key.value in fields:
                self.problems.append((at, "is given twice; remove one"))
                continue
            fields[key.value] = self.value(item, at, depth + 1)
        for base in merged:
            if not isinstance(base, dict):
                self.problems.append((path, "<< takes the fields of another map"))
                continue
            for name, item in base.items():
                fields.setdefault(name, item)
        return fields


def parse_yaml(text: str, positions: Positions) -> tuple[Any, list[tuple[str, str]]]:
    """The value of the one document, and what is wrong: (field, problem)."""
    try:
        node = yaml.compose(text, Loader=yaml.BaseLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        if mark is not None:
            positions[""] = (mark.line + 1, mark.column + 1)
        problem = getattr(error, "problem", None) or str(error)
        hint = '; inside { } put quotes around text with a variable: "${NAME}/file"'
        return {}, [("", f"not valid YAML: {problem}{hint if '${' in text else ''}")]
    if node is None:
        return {}, [("", "is empty; tfd init writes a spec to start from")]
    tree = _Tree(positions)
    value = tree.value(node, "")
    return value, tree.problems
