"""From pydantic's errors to complaints in the words of a spec."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from adapterlab.spec.positions import Path

# What people of the field write first, and the key it is called here.
ALIASES: Mapping[str, str] = {
    "algorithm": "sampler", "batch": "batch_size", "checkpoint": "source", "clip": "max_grad_norm",
    "clip_grad_norm": "max_grad_norm", "commit": "revision", "cpus": "cpus_per_worker",
    "custom_resources": "resources", "database": "catalog", "dropout_ratio": "dropout", "early_stopping": "patience",
    "early_stopping_patience": "patience", "epochs": "max_epochs", "folder": "root",
    "gpus": "gpus_per_worker", "grad_clip": "max_grad_norm", "hash": "sha256", "init": "init_scale",
    "label_selector": "labels", "learning_rate": "lr", "learningrate": "lr", "max": "high", "max_len": "max_length",
    "max_seq_length": "max_length", "maximum": "high", "min": "low", "min_resource": "min_epochs", "minimum": "low",
    "model": "source", "n_epochs": "max_epochs", "n_startup_trials": "startup_trials", "n_trials": "trials",
    "n_warmup_steps": "warmup_epochs", "name_or_path": "source", "num_epochs": "max_epochs",
    "num_samples": "trials", "num_train_epochs": "max_epochs", "num_trials": "trials",
    "omega_init_scale": "init_scale", "options": "choices", "path": "root", "random_seed": "seed",
    "random_state": "seed", "retries": "max_retries", "scheduler": "pruner", "sources": "tasks",
    "target": "targets", "timeout": "step_timeout_s", "timeout_s": "step_timeout_s", "tracking_uri": "uri", "values": "choices",
    "enqueue": "start_from", "initial": "start_from", "warm_start": "start_from", "points_to_evaluate": "start_from",
    "warmup": "warmup_ratio", "wd": "weight_decay", "experiment_name": "experiment",
}  # fmt: skip

# The same for values.
_VALUE_ALIASES: Mapping[str, str] = {
    "hyperband": "asha", "patient": "patience", "sha": "asha", "successive_halving": "asha",
}  # fmt: skip

MAX_COMPLAINTS = 200
"""Of one model; whoever has more faults than that has another kind of file."""

_WANTED = {
    "int_type": "a whole number", "int_from_float": "a whole number", "float_type": "a number",
    "string_type": "text", "bool_type": "true or false", "tuple_type": "a list", "list_type": "a list",
    "model_type": "a table", "model_attributes_type": "a table", "dict_type": "a table",
    "int_parsing": "a whole number", "float_parsing": "a number", "bool_parsing": "true or false",
}  # fmt: skip
_BOUNDS = {
    "greater_than_equal": ("at least", "ge"),
    "greater_than": ("greater than", "gt"),
    "less_than_equal": ("at most", "le"),
    "less_than": ("less than", "lt"),
}


@dataclass(frozen=True)
class Complaint:
    """What is wrong with one path of the document, before it is known where that stands."""

    path: Path
    kind: Literal["key", "value", "missing"]
    """What to point at: the key, its value, or the table that lacks it."""
    message: str
    hint: str | None = None


def complaints_of(model: type[BaseModel], document: Any, root: Path = ()) -> list[Complaint]:
    """Return everything a model refuses in a document, each path once.

    Args:
        model: The pydantic model that the document must fit.
        document: What TOML gave.
        root: Path of ``document`` in the whole spec, put before every path.
    """
    try:
        model.model_validate(document)
    except ValidationError as error:
        items = error.errors(include_url=False)[:MAX_COMPLAINTS]
        found = [_complaint(model, document, root, dict(item)) for item in items]
    except (OverflowError, ValueError) as error:  # a validator of a plug-in that lets one slip
        found = [Complaint(root, "value", f"{dotted(root)}{error}")]
    else:
        return []
    return _merge_branches(found)


def with_lists(model: type[BaseModel], document: dict[str, Any]) -> tuple[dict[str, Any], list[Complaint]]:
    """Read ``[task]`` where ``[[task]]`` is meant, so that what is inside is looked at as well.

    Returns:
        The document with a list of one in place of each such table, and a complaint about each.
    """
    found: list[Complaint] = []

    def read(models: tuple[type[BaseModel], ...], table: dict[str, Any], path: Path) -> dict[str, Any]:
        changed = dict(table)
        for name, value in table.items():
            field = next((one.model_fields[name] for one in models if name in one.model_fields), None)
            inner = () if field is None else tuple(_models_in(field.annotation))
            if not isinstance(value, dict) or field is None or not inner:
                continue
            here = (*path, name)
            if _is_listed(field.annotation):
                message = (
                    f"[{_join(here)}] is one table, but there may be several: expected [[{_join(here)}]]"
                )
                found.append(Complaint(here, "key", message, f"write [[{_join(here)}]]"))
                changed[name] = [value]
            else:
                changed[name] = read(inner, value, here)
        return changed

    return read((model,), document, ()), found


def _is_listed(annotation: Any) -> bool:
    """Whether an annotation is a list of models, not a model."""
    if get_origin(annotation) is tuple:
        return any(isinstance(part, type) and issubclass(part, BaseModel) for part in get_args(annotation))
    return any(_is_listed(part) for part in get_args(annotation))


def suggest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that ``name`` was probably meant to be, or ``None``."""
    names = list(known)
    spellings = {name: name for name in names}
    others = {**ALIASES, **_VALUE_ALIASES}
    spellings.update({alias: key for alias, key in others.items() if key in names and alias not in names})
    close = difflib.get_close_matches(name.lower().replace("-", "_"), spellings, n=1, cutoff=0.66)
    return spellings[close[0]] if close else None


def show(value: Any) -> str:
    """Return a value as TOML would write it, short enough for a message."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an empty list" if not value else "a list"
    if isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    elif isinstance(value, bool):
        text = str(value).lower()
    elif isinstance(value, int | float):
        text = _number(value)
    else:
        text = str(value)  # dates and times
    return text if len(text) <= 60 else f"{text[:56]}…{text[-1] if isinstance(value, str) else ''}"


def _number(value: float) -> str:
    # Python refuses to print whole numbers of thousands of digits.
    return (
        "a number of more than 60 digits" if isinstance(value, int) and abs(value) >= 10**60 else repr(value)
    )


def _bound(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _complaint(model: type[BaseModel], document: Any, root: Path, error: dict[str, Any]) -> Complaint:
    kind: str = error["type"]
    inside = _real_path(model, document, error["loc"], missing=kind == "missing")
    path = (*root, *inside)
    if kind == "extra_forbidden":
        return Complaint(path, "key", *_unknown_key(model, inside, root))
    if kind == "missing":
        return Complaint(path, "missing", f'missing key "{path[-1]}"', _field_doc(model, inside))
    if kind == "value_error":
        message = str(error["ctx"]["error"]) if "error" in error.get("ctx", {}) else error["msg"]
        culprit = (*root, *_culprit(document, inside, message))
        return Complaint(culprit, "value", f"{dotted(path)}{message}")
    message, hint = _rule(error)
    if kind == "string_pattern_mismatch":
        hint = _field_doc(model, inside)
    if kind == "model_type" and _holds_tables(error["input"]):
        hint = f"write [{_join(path)}]"
    return Complaint(path, "value", f"{dotted(path)}{message}", hint)


def _rule(error: dict[str, Any]) -> tuple[str, str | None]:
    """Return the broken rule in words, and what to write instead where that is plain."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in _WANTED:
        return f"expected {_WANTED[kind]}, got {show(value)}", _conversion(kind, value)
    if kind == "literal_error":
        return _choice(value, context["expected"])
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        rule = f"must be {words} {_bound(context[name])}, got {show(value)}"
    elif kind == "string_pattern_mismatch":
        rule = f"{show(value)} is not allowed here"
    elif kind == "finite_number":
        rule = f"must be a finite number, got {show(value)}"
    elif kind == "too_short":
        least = context["min_length"]
        rule = f"needs at least {least} item{'s' * (least > 1)}, got {context['actual_length']}"
    elif kind == "too_long":
        rule = f"takes at most {context['max_length']} items"
    else:
        rule = f"{error['msg'][:1].lower()}{error['msg'][1:]}, got {show(value)}"
    return rule, None


def _holds_tables(value: Any) -> bool:
    return isinstance(value, list) and any(isinstance(one, dict) for one in value)


def _choice(value: Any, expected: str) -> tuple[str, str | None]:
    """Word pydantic's list of allowed values, ``"'tpe', 'random' or 'grid'"``, as TOML."""
    texts = re.findall(r"'([^']*)'", expected)
    names = [json.dumps(text) for text in texts] or [expected]
    rule = " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    near = suggest(value, texts) if isinstance(value, str) else None
    return f"must be {rule}, got {show(value)}", f'did you mean "{near}"?' if near else None


def _conversion(kind: str, value: Any) -> str | None:
    """Return how to write the value, where what was meant is plain."""
    if kind == "string_type" and not isinstance(value, list | dict):
        text = show(value)
        return f'write it in quotes: "{text}"' if len(text) < 30 else "write it in quotes"
    if not isinstance(value, str):
        return None
    if kind == "bool_type" and value.lower() in ("true", "false", "yes", "no", "on", "off"):
        return f"write {'true' if value.lower() in ('true', 'yes', 'on') else 'false'}, without quotes"
    if kind in ("int_type", "float_type") and re.fullmatch(r"[+-]?[\d_]+(\.\d+)?([eE][+-]?\d+)?", value):
        return f"write {value}, without quotes"
    if kind == "tuple_type":
        return f"write [{json.dumps(value, ensure_ascii=False)}]" if len(value) < 40 else "write it in [ ]"
    return None


def _unknown_key(model: type[BaseModel], path: Path, root: Path) -> tuple[str, str]:
    """Return what is wrong and the name that was probably meant, here or in another table."""
    name, table = str(path[-1]), path[:-1]
    known = sorted({key for found in _models_at(model, table) for key in found.model_fields})
    near = suggest(name, known)
    if near:
        hint = f'did you mean "{near}"?'
    elif elsewhere := [place for place in _tables(model) if _has_key(model, place, name)]:
        hint = f"it belongs in {' or '.join(f'[{_join(place)}]' if place else 'the top' for place in elsewhere[:3])}"
    else:
        hint = f"known here: {', '.join(known) or 'nothing'}"
    where = f" in [{_join((*root, *table))}]" if root or table else ""
    return f'unknown key "{name}"{where}', hint


def _has_key(model: type[BaseModel], table: Path, name: str) -> bool:
    fields = {key for found in _models_at(model, table) for key in found.model_fields}
    return name in fields or ALIASES.get(name) in fields


@cache
def _tables(model: type[BaseModel]) -> dict[Path, tuple[type[BaseModel], ...]]:
    """Return every table a model knows, with the models that may stand there."""
    found: dict[Path, tuple[type[BaseModel], ...]] = {(): (model,)}
    for name, info in model.model_fields.items():
        inner = tuple(_models_in(info.annotation))
        if inner:
            found[(name,)] = inner
        for choice in inner:
            for path, models in _tables(choice).items():
                if path:
                    found[(name, *path)] = models
    return found


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _models_at(model: type[BaseModel], path: Path) -> tuple[type[BaseModel], ...]:
    return _tables(model).get(tuple(part for part in path if isinstance(part, str)), ())


def _field_doc(model: type[BaseModel], path: Path) -> str | None:
    keys = [part for part in path if isinstance(part, str)]
    for found in _models_at(model, tuple(keys[:-1])):
        info = found.model_fields.get(keys[-1])
        if info is not None and info.description:
            return " ".join(info.description.replace("``", "").split()).rstrip(".")
        if info is not None:
            inner = next(_models_in(info.annotation), None)
            return (inner.__doc__ or "").split("\n")[0].rstrip(".") or None if inner else None
    return None


def _real_path(model: type[BaseModel], document: Any, loc: Sequence[str | int], *, missing: bool) -> Path:
    """Drop from a pydantic location the names of union branches, which are not in the document."""
    path: Path = ()
    here = document
    branched: Path | None = None
    for number, part in enumerate(loc):
        if path != branched and len(_models_at(model, path)) > 1:
            branched = path  # a search dimension: this part names its branch
            continue
        in_list = isinstance(here, list) and isinstance(part, int) and part < len(here)
        if in_list or (isinstance(here, dict) and part in here):
            here = here[part]
        elif not (missing and number == len(loc) - 1):
            continue
        path = (*path, part)
    return path


def _culprit(document: Any, path: Path, message: str) -> Path:
    """Point a table's rule at the key its message begins with, if the table has that key."""
    here = document
    for part in path:
        here = here[part]
    words = re.match(r"[a-z0-9_]+(?:\.[a-z0-9_]+)*", message)
    for part in words.group().split(".") if words else ():
        if not isinstance(here, dict) or part not in here:
            break
        path, here = (*path, part), here[part]
    return path


def _merge_branches(found: list[Complaint]) -> list[Complaint]:
    """Merge what a union's branches said of one value: deeper complaints win, equal ones join."""
    merged: dict[Path, Complaint] = {}
    for item in found:
        if item.kind == "value" and _deeper(item, found):
            continue
        old = merged.get(item.path)
        if old is None:
            merged[item.path] = item
        elif old.message.startswith(f"{dotted(item.path)}expected") and "expected" in item.message:
            wanted = re.sub(r"^.*?expected |, got .*$", "", item.message)
            merged[item.path] = replace(
                old, message=re.sub(r", got ", f" or {wanted}, got ", old.message, count=1)
            )
        elif "expected" in old.message:
            merged[item.path] = item  # the branch that knew the type knows the better rule
    return list(merged.values())


def _deeper(item: Complaint, found: list[Complaint]) -> bool:
    """Whether a complaint only echoes one about its own parts.

    A branch of a union says that it wanted another type; a list counts its valid items only.
    """
    size = len(item.path)
    is_echo = "expected" in item.message or "needs at least" in item.message
    return is_echo and any(len(other.path) > size and other.path[:size] == item.path for other in found)


def dotted(path: Path) -> str:
    """Return ``"search.lr: "`` for a path, ``""`` for the root."""
    return f"{_join(path)}: " if path else ""


def _join(path: Path) -> str:
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{_quoted(part)}" if text else _quoted(part)
    return text


def _quoted(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key, ensure_ascii=False)
