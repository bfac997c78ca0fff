"""A job spec from YAML (or a dict) to tfd.v1.JobSpec, as common/spec reads it:
names, shorthand, units, ${NAME} and paths, all of them taken from the message's
descriptor. What the values mean is not looked at here: the coordinator fills in
the defaults and says what is out of bounds or does not fit together."""

from __future__ import annotations

import difflib
import math
import numbers
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tfd.errors import InvalidError, NotFoundError
from tfd.v1 import job_spec_pb2, options_pb2
from tfd.yaml_tree import Positions, parse_yaml

_BYTE_UNITS = {
    **{"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12},
    **{"kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40},
}
_MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4, "h": 3.6e6}
# A FieldDescriptor; each implementation of Protobuf has one of its own.
Field = Any
_WHOLE_TYPES = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}
_VARIABLE = re.compile(r"\$\$\{|\$\{([^}]*)(\}?)")


class _Wrong(Exception):
    """What is wrong with one value, in words."""


def load(
    spec: str | os.PathLike[str] | Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    variables: Mapping[str, str] | None = None,
) -> Any:
    """A tfd.v1.JobSpec. Paths of inputs are relative to the spec's file (of a dict
    or text: to the current folder), `storage` to the current folder. Raises
    InvalidError with all that is wrong."""
    variables = os.environ if variables is None else variables
    source, folder = "the spec", os.getcwd()
    positions: Positions = {}
    problems: list[tuple[str, str]] = []
    if isinstance(spec, Mapping):
        tree: Any = spec
    else:
        text = os.fspath(spec)
        if "\n" not in text:
            source, folder = text, os.path.dirname(os.path.abspath(text))
            text = _read(text)
        tree, problems = parse_yaml(text, positions)
        if not isinstance(tree, Mapping):
            problems.append(("", "is no job spec; tfd init writes one to start from"))
            tree = {}
    message = job_spec_pb2.JobSpec()
    filler = _Filler(variables, folder, problems)
    filler.fill_message(tree, "", message)
    for field, value in (overrides or {}).items():
        # What is replaced is no longer wrong in the text.
        problems[:] = [p for p in problems if not _is_in(p[0], field)]
        filler.override(field, value, message)
    if problems:
        lines = []
        for field, what in problems:
            at = _position(field, positions)
            place = f"{source}:{at[0]}:{at[1]}" if at else source
            lines.append(": ".join(filter(None, [place, field, what])))
        raise InvalidError("\n".join(dict.fromkeys(lines)))
    return message


def _position(field: str, positions: Positions) -> tuple[int, int] | None:
    """Of the field, or of the nearest that it is in."""
    while field not in positions and field:
        field = field.rpartition(".")[0]
    return positions.get(field)


def _is_in(field: str, other: str) -> bool:
    """Whether a field is the other one, or a part of it."""
    return field == other or field.startswith((f"{other}.", f"{other}["))


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFoundError(
            f"{path}: there is no such file; a spec is the path of a YAML file, "
            "YAML text of more than one line, or a dict"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidError(f"{path} cannot be read: {error}") from None


def _rules(field: Field) -> Any:
    return field.GetOptions().Extensions[options_pb2.rules]


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (str, bool, numbers.Real, os.PathLike))


class _Filler:
    """Fills messages through their descriptors and collects what is wrong."""

    def __init__(
        self,
        variables: Mapping[str, str],
        folder: str,
        problems: list[tuple[str, str]],
    ) -> None:
        self._variables = variables
        self._folder = folder
        self._problems = problems

    def _report(self, path: str, what: str) -> None:
        self._problems.append((path, what))

    def fill_message(self, value: Any, path: str, message: Message) -> None:
        descriptor = message.DESCRIPTOR
        names = [field.name for field in descriptor.fields]
        if not isinstance(value, Mapping):
            scalar = _scalar_field(descriptor)
            if scalar is not None and _is_scalar(value):
                self._fill_field(value, f"{path}.{scalar.name}", scalar, message)
            else:
                given = "nothing" if value is None else type(value).__name__
                self._report(path, f"takes fields ({', '.join(names)}), not {given}")
            return
        message.SetInParent()
        chosen: dict[str, str] = {}
        for name, item in value.items():
            at = f"{path}.{name}" if path else str(name)
            field = descriptor.fields_by_name.get(name)
            if field is None:
                self._report(at, f"unknown field; {_hint(str(name), names)}")
                continue
            oneof = field.containing_oneof
            # An `optional` field is alone in a oneof that is made up for it.
            if oneof is not None and len(oneof.fields) > 1:
                other = chosen.setdefault(oneof.name, name)
                if other != name:
                    self._report(at, f"excludes {other}, which is given too")
            self._fill_field(item, at, field, message)

    def override(self, path: str, value: Any, message: Message) -> None:
        """Replaces the field with that path, e.g. "optimizer.lr"."""
        *parents, last = path.split(".")
        at = ""
        for name in parents:
            at = f"{at}.{name}" if at else name
            field = message.DESCRIPTOR.fields_by_name.get(name)
            if field is None or field.message_type is None or _is_repeated(field):
                # Entries of a map and elements of a list: replaced as a whole.
                self._report(path, f'there is no field below "{at}" to override')
                return
            message = getattr(message, name)
        if last in message.DESCRIPTOR.fields_by_name:
            message.ClearField(last)
        if value is not None:
            self.fill_message({last: value}, ".".join(parents), message)

    def _fill_field(
        self, value: Any, path: str, field: Field, message: Message
    ) -> None:
        target = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._fill_map(value, path, field, target)
        elif _is_repeated(field):
            self._fill_list(value, path, field, target)
        elif field.message_type is not None:
            self.fill_message(value, path, target)
        else:
            try:
                setattr(message, field.name, self._scalar(value, field))
            except (_Wrong, ValueError) as wrong:
                self._report(path, str(wrong))

    def _fill_map(self, value: Any, path: str, field: Field, target: Any) -> None:
        if not isinstance(value, Mapping):
            self._report(path, "takes names with values; write {NAME: VALUE}")
            return
        for name, item in value.items():
            try:
                entry = field.message_type.fields_by_name["value"]
                target[str(name)] = self._scalar(item, entry)
            except _Wrong as wrong:
                self._report(f"{path}.{name}", str(wrong))

    def _fill_list(self, value: Any, path: str, field: Field, target: Any) -> None:
        if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
            self._report(path, f"takes a list; write [{value!s}]")
            return
        for number, item in enumerate(value):
            at = f"{path}[{number}]"
            if field.message_type is not None:
                self.fill_message(item, at, target.add())
                continue
            try:
                target.append(self._scalar(item, field))
            except (_Wrong, ValueError) as wrong:
                self._report(at, str(wrong))

    def _scalar(self, value: Any, field: Field) -> Any:
        if not _is_scalar(value):
            given = "nothing" if value is None else f"a {type(value).__name__}"
            raise _Wrong(f"takes one value, and there is {given}")
        text = str(value).lower() if isinstance(value, bool) else str(value)
        text = self._expand(text)
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._path(text, _rules(field))
        if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
            return _enum(text, field)
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            if text.lower() not in ("true", "false"):
                raise _Wrong(f'"{text}" is not true or false')
            return text.lower() == "true"
        if field.cpp_type in _WHOLE_TYPES:
            return _whole(text, _rules(field).quantity)
        return _real(text)

    def _expand(self, text: str) -> str:
        def value_of(found: re.Match[str]) -> str:
            if found[0] == "$${":
                return "${"
            name, closed = found[1], found[2]
            if not closed:
                raise _Wrong(f'"{text}" has ${{ without }}')
            if not self._variables.get(name):
                raise _Wrong(f"the variable {name} is not set; type: export {name}=…")
            return self._variables[name]

        return _VARIABLE.sub(value_of, text)

    def _path(self, text: str, rules: Any) -> str:
        """An input's path is relative to the spec, an output's to where we are."""
        if not rules.spec_path and not rules.work_path:
            return text
        if text == "~" or text.startswith("~/"):
            text = self._variables.get("HOME", "~") + text[1:]
        if not text or "://" in text:
            return text
        folder = self._folder if rules.spec_path else os.getcwd()
        # Absolute ones too, so that a folder has one spelling. (normpath leaves
        # two slashes at the beginning.)
        return "/" + os.path.normpath(os.path.join(folder, text)).lstrip("/")


def _is_repeated(field: Field) -> bool:
    # Protobuf 6.31 has deprecated `label`, and 5 has nothing else.
    if hasattr(field, "is_repeated"):
        return bool(field.is_repeated)
    return bool(field.label == FieldDescriptor.LABEL_REPEATED)


def _scalar_field(descriptor: Any) -> Field | None:
    """The field that a scalar in the message's place fills."""
    rules = descriptor.GetOptions().Extensions[options_pb2.message_rules]
    found: Field = descriptor.fields_by_name.get(rules.scalar_field)
    return found


def _hint(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    return f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"


def _enum(text: str, field: Field) -> int:
    # The names in the YAML; 0 stands for "not given".
    values = {v.name.lower(): v.number for v in field.enum_type.values if v.number}
    if text in values:
        return int(values[text])
    raise _Wrong(f'"{text}" is not one of the names; {_hint(text, list(values))}')


def _real(text: str) -> float:
    try:
        # Python would take 1_000.
        number = float("" if "_" in text else text)
    except ValueError:
        raise _Wrong(f'"{text}" is not a number') from None
    if not math.isfinite(number):
        raise _Wrong(f"{text} is not a finite number")
    return number


def _whole(text: str, quantity: int) -> int:
    if quantity == options_pb2.BYTES:
        found = re.fullmatch(r"([\d.]+)\s*([a-z]*)", text.strip(), re.IGNORECASE)
        if found is None or found[2].lower() not in _BYTE_UNITS:
            raise _Wrong(f'"{text}" is not a size such as 512MiB')
        unit = _BYTE_UNITS[found[2].lower()]
        # Whole numbers stay exact beyond what a float holds.
        if found[1].isdigit():
            return int(found[1]) * unit
        return round(_real(found[1]) * unit)
    if quantity == options_pb2.DURATION_MS and not re.fullmatch(r"\d+", text):
        parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|ms|s|m|h)", text)
        if not parts or "".join(n + unit for n, unit in parts) != text:
            raise _Wrong(f'"{text}" is not a duration such as 10s or 5m')
        return int(sum(float(n) * _MILLISECONDS[unit] for n, unit in parts))
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    number = _real(text)  # 1e5 is a whole number as well
    if number != int(number):
        raise _Wrong(f'"{text}" is not a whole number')
    return int(number)
