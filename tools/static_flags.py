"""Flags of an engine read from its sources alone, by syntax trees: nothing of the engine is imported or run.

Used by ``engine_flags.py``. What a tree cannot tell (choices that are computed at run time) is left out of an entry.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from source_names import SourceNames

__all__ = ["environment", "read"]

Flag = dict[str, Any]
_COUNTS = {
    "max_model_len",
    "max_num_batched_tokens",
    "max_num_scheduled_tokens",
    "kv_cache_memory_bytes",
    "safetensors_prefetch_block_size",
    "max_num_queued_tokens",
}


def read(engine: str, package: Path) -> tuple[list[Flag], list[Flag]]:
    """Positional words and flags of an engine's serving command.

    Parameters
    ----------
    engine : str
        ``vllm``, ``sglang`` or ``lmdeploy``.
    package : Path
        Folder of its package.
    """
    found = {"vllm": _vllm, "sglang": _sglang, "lmdeploy": _lmdeploy}[engine](package)
    flags = {tuple(flag["names"]): flag for flag in found}
    entries = sorted(flags.values(), key=lambda flag: flag["names"])
    return (
        [flag for flag in entries if not flag["names"][0].startswith("-")],
        [flag for flag in entries if flag["names"][0].startswith("-")],
    )


def environment(engine: str, package: Path) -> list[str]:
    """Names of environment variables with the engine's prefix that occur in its sources, as text or as fields."""
    prefix = f"{engine.upper()}_"
    found: set[str] = set()
    for path in package.rglob("*.py"):
        text = path.read_text("utf-8", errors="replace")
        if prefix in text:
            for node in ast.walk(ast.parse(text)):
                name = (
                    node.value
                    if isinstance(node, ast.Constant)
                    else node.attr
                    if isinstance(node, ast.Attribute)
                    else node.id
                    if isinstance(node, ast.Name)
                    else None
                )
                if isinstance(name, str) and name.startswith(prefix) and name.isupper() and name.isidentifier():
                    found.add(name)
    return sorted(name for name in found if not name.endswith("_"))


def _is_class_var(annotation: ast.expr) -> bool:
    return ast.unparse(annotation).startswith(("ClassVar", "typing.ClassVar"))


# ------------------------------------------------------------------------------------------------------------- vLLM


def _vllm(package: Path) -> Iterator[Flag]:
    names = SourceNames(
        path
        for folder in ("config", "")
        for path in (
            sorted((package / folder).glob("*.py"))
            if folder
            else [
                package / "entrypoints/launchers/cli_args.py",
                package / "entrypoints/anthropic/protocol.py",
                package / "renderers/chat_utils.py",
                package / "tool_parsers/tool_strict_level.py",
            ]
        )
        if path.exists()
    )
    cli = ast.parse((package / "entrypoints/launchers/cli_args.py").read_text("utf-8"))
    for node in cli.body:
        if isinstance(node, ast.FunctionDef) and node.name == "make_arg_parser":
            yield from _calls(node, names, {})
    plain = {"allowed_origins": "json", "allowed_methods": "json", "allowed_headers": "json", "middleware": "text"}
    plain |= {"disable_access_log_for_endpoints": "text", "default_chat_template_kwargs": "json"}
    for name, annotation in names.fields("FrontendArgs").items():
        if not _is_class_var(annotation):
            entry = _vllm_field(name, annotation, names)
            if name in plain:
                entry |= {"values": "1", "type": plain[name]}
            yield _named([f"--{name.replace('_', '-')}"], entry)
    arguments = ast.parse((package / "engine/arg_utils.py").read_text("utf-8"))
    for function in ast.walk(arguments):
        if isinstance(function, ast.FunctionDef) and function.name == "add_cli_args":
            yield from _calls(function, names, _vllm_sources(function))


def _vllm_sources(function: ast.FunctionDef) -> dict[str, str]:
    """Variable to the configuration class whose fields it holds."""
    return {
        node.targets[0].id: node.value.args[0].id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Call)
        and ast.unparse(node.value.func) == "get_kwargs"
        and isinstance(node.value.args[0], ast.Name)
    }


def _vllm_field(name: str, annotation: ast.expr, names: SourceNames) -> Flag:
    """How vLLM makes a flag of a field: the first rule that fits."""
    kinds = dict(reversed(names.kinds(annotation)))
    if "record" in kinds:
        return {"values": "1", "type": "json"}
    if set(kinds) == {"bool", "str", "none"}:
        return {"values": "?", "type": "text"}
    if "bool" in kinds:
        return {"values": "0", "negated": True}
    if "literal" in kinds:
        return _vllm_literal(kinds["literal"], free="str" in kinds)
    many = next((many for many in ("tuple", "list", "set") if many in kinds), None)
    if many is not None:
        return _vllm_many(many, kinds[many], names)
    return {"values": "1", "type": _vllm_type(name, set(kinds))}


def _vllm_type(name: str, kinds: set[str]) -> str:
    if "int" in kinds:
        return "count" if name in _COUNTS else "int"
    if "float" in kinds:
        return "float"
    return "json" if "dict" in kinds and not {"str", "other"} & kinds else "text"


def _vllm_literal(options: list[Any], *, free: bool) -> Flag:
    entry: Flag = {"values": "1", "type": type(options[0]).__name__ if not isinstance(options[0], str) else "text"}
    return entry if free else entry | {"choices": sorted(map(str, options))}


def _vllm_many(kind: str, parts: list[ast.expr] | None, names: SourceNames) -> Flag:
    if not parts:
        return {"values": "+", "type": "text"}
    ellipsis = any(isinstance(part, ast.Constant) and part.value is ... for part in parts)
    inner = dict(names.kinds(parts[0]))
    entry: Flag = {"values": "+" if kind != "tuple" or ellipsis else str(len(parts))}
    if "literal" in inner:
        return entry | _vllm_literal(inner["literal"], free=False) | {"values": entry["values"]}
    return entry | {"type": next(iter(inner)) if set(inner) <= {"int"} or set(inner) <= {"float"} else "text"}


# ----------------------------------------------------------------------------------------------------------- SGLang


def _sglang(package: Path) -> Iterator[Flag]:
    groups = package / "srt/arg_groups"
    sources = [groups / "choices.py", *sorted((groups / "fields").glob("*.py")), package / "srt/utils/common.py"]
    names = SourceNames(path for path in sources if path.exists())
    for name in list(names.classes):
        if any("_NS_PATH" in ast.unparse(node) for node in names.classes[name].body):
            for field, annotation in names.fields(name).items():
                entry = _sglang_field(field, annotation, names)
                if entry is not None:
                    yield entry
    for node in ast.walk(ast.parse((package / "srt/server_args.py").read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "add_cli_args":
            yield from _calls(node, names, {})


def _sglang_field(field: str, annotation: ast.expr, names: SourceNames) -> Flag | None:
    if not (isinstance(annotation, ast.Subscript) and isinstance(annotation.slice, ast.Tuple)):
        return None
    kind, *more = annotation.slice.elts
    about = next((one for one in more if isinstance(one, ast.Call) and ast.unparse(one.func) == "Arg"), None)
    if about is None and not any(_is_text(one) for one in more):
        return None
    said = {word.arg: word.value for word in about.keywords} if about is not None else {}
    if names.constant(said.get("no_cli")):
        return None
    cli_name = names.constant(said.get("cli_name")) or "--" + field.replace("_", "-")
    flags = [cli_name, *(names.constant(said.get("aliases")) or [])]
    kinds = dict(names.kinds(kind))
    choices = names.constant(said.get("choices"))
    entry: Flag
    if "action" in said:
        entry = _sglang_action(said, names)
    elif "literal" in kinds:
        entry = {"values": "1", "type": "text"} | ({} if choices else {"choices": sorted(map(str, kinds["literal"]))})
    elif "list" in kinds and "type_parser" not in said and len(kinds.keys() - {"none"}) == 1:
        inner = dict(names.kinds(kinds["list"][0])) if kinds["list"] else {}
        kind_name = next(iter(inner)) if set(inner) <= {"int"} or set(inner) <= {"float"} else "text"
        entry = {"values": names.constant(said.get("nargs")) or "+", "type": kind_name}
    elif kinds.keys() - {"none"} == {"bool"}:
        entry = {"values": "0"}
    else:
        plain = kinds.keys() - {"none"}
        kind_name = next(iter(plain)) if plain in ({"int"}, {"float"}) else "text"
        entry = {"values": names.constant(said.get("nargs")) or "1", "type": kind_name}
        if "type_parser" in said:
            entry["type"] = _type_name(said["type_parser"])
    if choices and "action" not in said:
        entry["choices"] = sorted(map(str, choices))
    return _named(flags, entry)


def _is_text(node: ast.expr) -> bool:
    """A help text: constants, formatted or put together."""
    if isinstance(node, ast.BinOp):
        return _is_text(node.left)
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))


def _sglang_action(said: dict[str | None, ast.expr], names: SourceNames) -> Flag:
    action = ast.unparse(said["action"]).split(".")[-1].strip("'\"")
    extra: dict[str, Any] = {}
    if isinstance(said.get("action_kwargs"), ast.Dict):
        given: Any = said["action_kwargs"]
        extra = {names.constant(key): value for key, value in zip(given.keys, given.values, strict=True)}
    if action == "BooleanOptionalAction":
        return {"values": "0", "negated": True}
    if action.startswith(("store_true", "store_false", "Deprecated")):
        return {"values": "0"}
    entry: Flag = {"values": names.constant(extra.get("nargs")) or "1"}
    entry["type"] = _type_name(extra["type"]) if "type" in extra else "text"
    return entry


# --------------------------------------------------------------------------------------------------------- LMDeploy


def _lmdeploy(package: Path) -> Iterator[Flag]:
    names = SourceNames(iter([package / "cli/utils.py"]))
    helpers = {node.name: node for node in names.classes["ArgumentHelper"].body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(ast.parse((package / "cli/serve.py").read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name == "add_parser_api_server":
            yield from _calls(node, names, {})
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("ArgumentHelper."):
                    helper = helpers[ast.unparse(call.func).split(".")[1]]
                    defaults = dict(
                        zip([a.arg for a in helper.args.args][::-1], helper.args.defaults[::-1], strict=False)
                    )
                    names.values = {**names.values, **defaults}
                    yield from _calls(helper, names, {})


# ----------------------------------------------------------------------------------------------------------- shared


def _calls(function: ast.FunctionDef, names: SourceNames, sources: dict[str, str]) -> Iterator[Flag]:
    """Flags of the `add_argument` calls of a function."""
    removed = _removed(function)
    for node in ast.walk(function):
        if not (
            isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
        ):
            continue
        flags = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
        if not flags:
            continue
        entry: Flag = {"values": "1", "type": "text"}
        for word in node.keywords:
            if word.arg is None:
                entry = _from_field(word.value, names, sources, removed) or entry
        _told(entry, {word.arg: word.value for word in node.keywords if word.arg}, names)
        yield _named(flags, entry)


def _from_field(value: ast.expr, names: SourceNames, sources: dict[str, str], removed: dict[str, str]) -> Flag | None:
    """What `**kwargs["field"]` says, also inside `{**kwargs["field"], ...}`; else through a variable."""
    for node in ast.walk(value):
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name) and node.value.id in sources:
            field = names.constant(node.slice)
            annotation = names.fields(sources[node.value.id]).get(field)
            if annotation is None:
                return None
            entry = _vllm_field(field, annotation, names)
            if field in removed and "choices" in entry:
                entry["choices"] = [one for one in entry["choices"] if one != names.constant(ast.Name(removed[field]))]
            return entry
    if isinstance(value, ast.Name) and value.id.endswith("_kwargs"):
        field = value.id.removesuffix("_kwargs")
        for source in ("KernelConfig", "VllmConfig"):
            for known in (field, field.replace("topk", "topk_backend")):
                if known in names.fields(source):
                    return _vllm_field(known, names.fields(source)[known], names)
    return None


def _removed(function: ast.FunctionDef) -> dict[str, str]:
    """Choices that are taken out again: ``kwargs["field"]["choices"].remove(NAME)``."""
    return {
        str(node.func.value.value.slice.value): node.args[0].id
        for node in ast.walk(function)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "remove"
        and isinstance(node.args[0], ast.Name)
        and isinstance(node.func.value, ast.Subscript)
        and isinstance(node.func.value.value, ast.Subscript)
        and isinstance(node.func.value.value.slice, ast.Constant)
    }


def _told(entry: Flag, said: dict[str, ast.expr], names: SourceNames) -> None:
    """Fill in what a call says in so many words."""
    action = ast.unparse(said["action"]).split(".")[-1].strip("'\"") if "action" in said else ""
    if action == "BooleanOptionalAction":
        entry.update(values="0", negated=True)
    elif action.startswith(("store_true", "store_false", "DeprecatedStoreTrue")):
        entry["values"] = "0"
    nargs = names.constant(said.get("nargs"))
    if nargs is not None:
        entry["values"] = str(nargs)
    if "type" in said:
        entry["type"] = _type_name(said["type"])
    choices = names.constant(said.get("choices"))
    if choices:
        entry["choices"] = sorted(str(choice) for choice in choices)
    if names.constant(said.get("required")):
        entry["required"] = True


def _type_name(node: ast.expr) -> str:
    name = ast.unparse(node).split(".")[-1]
    if name in {"int", "float"}:
        return name
    return "json" if name in {"loads", "json_list_type"} else "count" if name.startswith("human_readable") else "text"


def _named(flags: list[str], entry: Flag) -> Flag:
    negated = entry.pop("negated", False)
    also = [f"--no-{flag[2:]}" for flag in flags if flag.startswith("--")] if negated else []
    if entry["values"] == "0":
        entry.pop("type", None)
        entry.pop("choices", None)
    return {"names": sorted([*flags, *also]), **entry}
