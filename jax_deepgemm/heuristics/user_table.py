"""Configurations that were fastest on the user's GPU, by problem."""

import dataclasses
import json
import types
from collections.abc import Mapping
from typing import Any

from jax_deepgemm.heuristics.device import Device

# What of a configuration is a choice; the rest follows from the problem. Keys
# of kernels for few rows or tiles begin with a word: "swapped" or "split".
Key = tuple[int | str, ...]

_FORMAT = 1
_ABOUT = (
  "Configurations that were fastest on this GPU, measured by python -m"
  " jax_deepgemm tune; us is the median time of a kernel, default_us that of"
  " the choice without this file. A process reads it once."
)


@dataclasses.dataclass(frozen=True)
class UserTable:
  """What was measured on one kind of GPU with one version of the package.

  Attributes:
    device: name of the GPU.
    num_sms: its multiprocessors.
    version: of the package.
    configs: family -> name of a problem -> {"key": ..., and times}.
  """

  device: str = ""
  num_sms: int = 0
  version: str = ""
  configs: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(
    default_factory=lambda: types.MappingProxyType({})
  )

  def key(self, family: str, name: str, device: Device) -> Key | None:
    """Returns the key of the fastest configuration, or None.

    None too if `device` is another GPU, or has fewer multiprocessors to give:
    tiles that are best for all of them are not for a part.
    """
    if (device.name, device.num_sms) != (self.device, self.num_sms):
      return None
    entry = self.configs.get(family, {}).get(name)
    return tuple(entry["key"]) if entry else None

  def with_entry(
    self, family: str, name: str, entry: Mapping[str, Any]
  ) -> "UserTable":
    """Returns the table with one entry more, or another one of that name."""
    entries = {**self.configs.get(family, {}), name: entry}
    return dataclasses.replace(self, configs={**self.configs, family: entries})


EMPTY = UserTable()


def render(table: UserTable) -> str:
  """Returns the text of the table's file: JSON with a line for each entry."""
  families = []
  for family, entries in sorted(table.configs.items()):
    lines = ",\n".join(
      f"   {json.dumps(name)}: {json.dumps(dict(entry))}"
      for name, entry in sorted(entries.items())
    )
    families.append(f"  {json.dumps(family)}: {{\n{lines}\n  }}")
  fields = {
    "about": _ABOUT,
    "format": _FORMAT,
    "device": table.device,
    "num_sms": table.num_sms,
    "version": table.version,
  }
  head = "".join(
    f" {json.dumps(name)}: {json.dumps(value)},\n"
    for name, value in fields.items()
  )
  body = ",\n".join(families)
  return f'{{\n{head} "configs": {{\n{body}\n }}\n}}\n'


def parse(text: str, device: str, version: str) -> UserTable:
  """Returns the table in `text`.

  Args:
    text: of a table's file.
    device: name of the GPU that it must be of.
    version: of the package that it must be of.

  Raises:
    ValueError: it is no such table; the message says why.
  """
  document = json.loads(text)  # Its error is a ValueError.
  if not isinstance(document, dict):
    raise ValueError("it holds no JSON object")
  wanted = {"format": _FORMAT, "device": device, "version": version}
  for name, value in wanted.items():
    if document.get(name) != value:
      raise ValueError(
        f"its {name} is {document.get(name)!r}, expected {value!r}"
      )
  num_sms = document.get("num_sms")
  if not _is_count(num_sms):
    raise ValueError(f"its num_sms is {num_sms!r}")
  configs = document.get("configs")
  if not _is_configs(configs):
    raise ValueError("its configs are not family -> problem -> key and times")
  return UserTable(device, num_sms, version, configs)


def _is_count(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_configs(value: Any) -> bool:
  return isinstance(value, dict) and all(
    isinstance(entries, dict)
    and all(_is_entry(entry) for entry in entries.values())
    for entries in value.values()
  )


def _is_entry(value: Any) -> bool:
  """Whether an entry has a key; whether it is legal the choice will see."""
  if not (isinstance(value, dict) and isinstance(value.get("key"), list)):
    return False
  key = value["key"]
  return bool(key) and all(isinstance(part, (int, str)) for part in key)
