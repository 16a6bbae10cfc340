"""Writes the table of fastest configurations that lowering reads."""

import fcntl
from collections.abc import Mapping
from typing import Any

from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.heuristics.device import Device
from jax_deepgemm.heuristics.user_table import UserTable, render
from jax_deepgemm.jit.cache import DiskCache
from jax_deepgemm.jit.source import package_version
from jax_deepgemm.primitives.tuning_file import load, path_of


def store(
  device: Device, family: str, name: str, entry: Mapping[str, Any]
) -> str:
  """Puts one entry into the table on disk and returns the table's path.

  Whoever reads meanwhile sees the old file or the new one. Writers wait for
  each other, so none loses what another has put in.

  Raises:
    OSError: the directory cannot be written.
  """
  cache = DiskCache(ENVIRONMENT.jit.cache_dir, is_explicit=True)
  cache.open()
  path = path_of(device.name)
  with open(f"{path}.lock", "w", encoding="utf-8") as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    table = load(device.name)
    if table.num_sms != device.num_sms:
      table = UserTable(device.name, device.num_sms, package_version())
    text = render(table.with_entry(family, name, entry))
    cache.publish(path, text.encode())
    with open(path, encoding="utf-8") as file:
      if file.read() != text:
        raise OSError(f"{path!r} could not be replaced")
  return path
