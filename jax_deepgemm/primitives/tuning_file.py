"""The user's table of fastest configurations, in the cache's directory.

A process reads the table of a GPU once, when it first chooses a configuration
for it: what is chosen later does not depend on when, and jit's cache needs no
key for it. Processes of one job must see the same file.
"""

import contextlib
import os
import re
import threading
import warnings
from collections.abc import Iterator

from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.user_table import EMPTY, UserTable, parse
from jax_deepgemm.jit.source import package_version

_lock = threading.Lock()
_tables: dict[str, UserTable] = {}
_replacements: list[UserTable] = []


def user_table(device: Device) -> UserTable:
  """Returns what this process has read for `device`, EMPTY without a file."""
  with _lock:
    if _replacements:
      return _replacements[-1]
    if device.name not in _tables:
      _tables[device.name] = load(device.name)
    return _tables[device.name]


@contextlib.contextmanager
def replaced(table: UserTable) -> Iterator[None]:
  """Returns a context in which all threads choose by `table`.

  For measurements: programs that were lowered before keep their choice.
  """
  with _lock:
    _replacements.append(table)
  try:
    yield
  finally:
    with _lock:
      _replacements.pop()


def path_of(device_name: str) -> str:
  """Returns the file for GPUs of this name and this version of the package."""
  device = re.sub(r"[^A-Za-z0-9]+", "_", device_name)
  name = f"tuned-{device}-{package_version()}.json"
  return os.path.join(ENVIRONMENT.jit.cache_dir, name)


def load(device_name: str) -> UserTable:
  """Returns the table on disk; warns if there is one that cannot be used."""
  path = path_of(device_name)
  try:
    with open(path, encoding="utf-8") as file:
      return parse(file.read(), device_name, package_version())
  except (FileNotFoundError, NotADirectoryError):
    return EMPTY
  except (OSError, ValueError, RecursionError) as error:
    warnings.warn(
      f"jax_deepgemm ignores its tuned configurations in {path!r}: {error};"
      " delete the file, or write it again with python -m jax_deepgemm tune",
      stacklevel=2,
    )
    return EMPTY
