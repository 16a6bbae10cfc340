"""Cubins on disk, shared by all processes that use one directory.

An entry is the cubin followed by a checksum of key and cubin, so it is still an
ELF file that NVIDIA's tools read. Its name is a hash of everything that decides
its contents: entries never change, never go stale, and two processes that
write one write the same bytes. Hence no lock.
"""

import contextlib
import hashlib
import json
import logging
import os
import secrets
import threading
import warnings
from collections.abc import Sequence

from jax_deepgemm.jit.recipe import Recipe

_logger = logging.getLogger(__name__)
_CHECKSUM_BYTES = hashlib.sha256().digest_size


def entry_key(recipe: Recipe, signature: str, options: Sequence[str]) -> str:
  """Returns `<kernel>-<sha256 of all that decides the cubin>`, a file stem.

  Args:
    recipe: its fingerprint stands for the headers and the package version.
    signature: of the compiler.
    options: all options that the compiler gets, and checks made on its result.
  """
  parts = [
    recipe.kernel,
    recipe.source,
    recipe.arch,
    recipe.flags,
    recipe.fingerprint,
    signature,
    *options,
  ]
  digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
  # File names end at 255 bytes on the usual file systems.
  return f"{recipe.kernel[:128]}-{digest}"


class DiskCache:
  """Content-addressed directory of cubins; degrades to no cache at all."""

  def __init__(self, directory: str, is_explicit: bool = False) -> None:
    """Does not touch the disk.

    Args:
      directory: where the entries are; "" or a path that still has a folder
        "~" (expanduser found no home directory) means nowhere.
      is_explicit: the user named it, so `open` must not fail quietly.
    """
    self.directory = directory
    self._is_explicit = is_explicit
    self._lock = threading.Lock()
    self._is_open = False
    self._is_writable = True

  def open(self) -> None:
    """Creates the directory and proves with a small file that it is writable.

    Raises:
      ValueError: the user named no usable directory.
      OSError: the user's directory cannot be written.
    """
    if self._is_open:
      return
    try:
      if not self.directory or "~" in self.directory.split(os.sep):
        raise ValueError("there is no home directory")
      os.unlink(self._write_temporary(b"probe"))
    except (OSError, ValueError) as error:
      if self._is_explicit:
        raise self._explicit_error(error) from error
      self._give_up(error)
    self._is_open = True

  def path(self, key: str, suffix: str = ".cubin") -> str:
    """Returns the file of an entry, or of a dump next to it."""
    return os.path.join(self.directory, key + suffix)

  def load(self, key: str) -> bytes | None:
    """Returns the cubin, or None; a damaged entry is deleted and logged."""
    self.open()
    path = self.path(key)
    try:
      with open(path, "rb") as file:
        entry = file.read()
    except (FileNotFoundError, NotADirectoryError):
      return None
    except OSError as error:
      _logger.warning("cannot read %s: %s", path, error)
      return None
    cubin, checksum = entry[:-_CHECKSUM_BYTES], entry[-_CHECKSUM_BYTES:]
    if cubin and checksum == _checksum(key, cubin):
      return cubin
    _logger.warning("%s is damaged (%d bytes), compiling", path, len(entry))
    with contextlib.suppress(OSError):
      os.unlink(path)
    return None

  def store(self, key: str, cubin: bytes) -> None:
    """Publishes an entry whole or not at all; warns once if it cannot."""
    self.open()
    self.publish(self.path(key), cubin + _checksum(key, cubin))

  def publish(self, path: str, contents: bytes) -> None:
    """Writes `contents` to `path` in the directory whole or not at all."""
    if not self._is_writable:
      return
    try:
      temporary = self._write_temporary(contents)
      try:
        os.replace(temporary, path)
      except OSError:
        _remove(temporary)
        raise
    except OSError as error:
      self._give_up(error)

  def _write_temporary(self, contents: bytes) -> str:
    """Returns the path of a new synchronised file in the directory."""
    os.makedirs(self.directory, exist_ok=True)
    # Process ids repeat between the hosts of a shared file system.
    path = os.path.join(self.directory, f".{secrets.token_hex(16)}.tmp")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
      with open(descriptor, "wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
    except OSError:
      _remove(path)
      raise
    return path

  def _give_up(self, error: Exception) -> None:
    """Stops writing for the rest of the process and says so once."""
    with self._lock:
      if not self._is_writable:
        return
      self._is_writable = False
    warnings.warn(
      f"jax_deepgemm cannot write its kernel cache {self.directory!r} "
      f"({error}); every process compiles its kernels again. Set "
      "DG_JIT_CACHE_DIR to a directory with free space that you may write.",
      stacklevel=2,
    )

  def _explicit_error(self, error: Exception) -> Exception:
    """Returns `error` with the variable that led to it."""
    text = (
      f"DG_JIT_CACHE_DIR={self.directory!r} cannot be written ({error}); "
      "set it to a directory that you may write, or unset it"
    )
    if isinstance(error, OSError) and error.errno is not None:
      return OSError(error.errno, text)
    return ValueError(text)


def _remove(path: str) -> None:
  """Deletes a file if that is possible."""
  with contextlib.suppress(OSError):
    os.unlink(path)


def _checksum(key: str, cubin: bytes) -> bytes:
  """Returns sha256(key, cubin): an entry under another name is damaged too."""
  return hashlib.sha256(key.encode() + cubin).digest()
