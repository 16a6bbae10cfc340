"""Configurations as C++ text, and the headers that give it a meaning."""

import dataclasses
import enum
import functools
import hashlib
import importlib.metadata
import importlib.resources
import math
from importlib.resources.abc import Traversable
from typing import Any

_PACKAGE = "jax_deepgemm"


def render_struct(config: Any, name: str | None = None) -> str:
  """Returns `name{.field = value, ...}`, a C++20 designated initialiser.

  Fields keep their declared order, which C++ requires. A nested dataclass
  becomes a nested initialiser; `Major.ROW_MAJOR` becomes `Major::kRowMajor`.

  Args:
    config: instance of a dataclass whose fields are bool, int, float, enum
      members or such dataclasses.
    name: C++ struct name; the class name if None.

  Raises:
    TypeError: `config` is no dataclass instance, or a field has no C++ literal.
    ValueError: an int beyond 64 bits, or a float that is not finite.
  """
  if not dataclasses.is_dataclass(config) or isinstance(config, type):
    raise TypeError(f"config must be a dataclass instance, got {config!r}")
  owner = type(config).__name__
  members = ", ".join(
    f".{field.name} = "
    + _literal(getattr(config, field.name), f"{owner}.{field.name}")
    for field in dataclasses.fields(config)
  )
  return f"{name or owner}{{{members}}}"


def _literal(value: Any, where: str) -> str:
  """Returns `value` as a C++ expression; `where` names it in errors."""
  # An IntEnum member and a bool are ints as well, so they go first.
  if isinstance(value, enum.Enum):
    return f"{type(value).__name__}::{_enumerator(value.name)}"
  if isinstance(value, bool):
    return "true" if value else "false"
  if isinstance(value, int):
    return _integer(value, where)
  if isinstance(value, float):
    if not math.isfinite(value):
      raise ValueError(f"{where} must be finite, got {value}")
    return repr(value)
  if dataclasses.is_dataclass(value) and not isinstance(value, type):
    return render_struct(value)
  raise TypeError(
    f"{where} must be a bool, int, float, enum member or dataclass, "
    f"got {value!r} of type {type(value).__name__}"
  )


def _integer(value: int, where: str) -> str:
  """Returns a C++ integer literal of a type that holds `value`."""
  # C++ has no negative literals: -2**63 would negate a value that overflows.
  if not -(2**63) < value < 2**64:
    raise ValueError(f"{where} must fit 64 bits, got {value}")
  return f"{value}u" if value >= 2**63 else str(value)


def _enumerator(name: str) -> str:
  """Returns a Python member name in Google C++ style: ROW_MAJOR, kRowMajor."""
  words = (
    word.capitalize() if word.isupper() else word[:1].upper() + word[1:]
    for word in name.split("_")
  )
  return "k" + "".join(words)


@functools.cache
def headers() -> dict[str, str]:
  """Returns {path relative to cuda/: text} of every *.cuh, read once."""
  root = importlib.resources.files(_PACKAGE).joinpath("cuda")
  return dict(sorted(_walk(root, "")))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, str]]:
  """Returns (path, text) of the headers at or below `folder`."""
  found = []
  for item in folder.iterdir():
    if item.is_dir():
      found += _walk(item, f"{prefix}{item.name}/")
    elif item.name.endswith(".cuh"):
      found.append((prefix + item.name, item.read_text(encoding="utf-8")))
  return found


@functools.cache
def headers_fingerprint() -> str:
  """Returns sha256(package version, names and contents of headers()), hex."""
  return fingerprint_of(headers(), package_version())


def fingerprint_of(texts: dict[str, str], version: str) -> str:
  """Returns the hex sha256 of `version` and of `texts` in order of names."""
  parts = [version]
  for name, text in sorted(texts.items()):
    parts += [name, text]
  digest = hashlib.sha256()
  for part in parts:
    encoded = part.encode()
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    digest.update(len(encoded).to_bytes(8, "little") + encoded)
  return digest.hexdigest()


def package_version() -> str:
  """Returns the installed version, "0" for a source tree on sys.path."""
  try:
    return importlib.metadata.version(_PACKAGE)
  except importlib.metadata.PackageNotFoundError:
    return "0"
