"""The text: the source of Python's standard library.

Files are all `*.py` below `sysconfig.get_paths()["stdlib"]` in the order of
their paths, without those of packages that were installed and of tests, which
not every machine has. A file is validation text if the SHA-256 of its path says
so, about one in twenty: it stays that when the file or the library changes.
"""

import functools
import hashlib
import os
import pathlib
import sysconfig
from typing import NamedTuple

import numpy as np

_SKIPPED = {"site-packages", "dist-packages", "test", "tests"}
_VALIDATION_PART = 20


class Corpus(NamedTuple):
  """Two texts.

  Attributes:
    train: uint8 `[bytes]`.
    validation: uint8 `[bytes]`.
    digest: SHA-256 of both; equal digests are equal texts.
  """

  train: np.ndarray
  validation: np.ndarray
  digest: str


@functools.cache
def read(root: pathlib.Path | None = None) -> Corpus:
  """Returns the text below `root`, by default the standard library's."""
  root = root or pathlib.Path(sysconfig.get_paths()["stdlib"])
  parts: dict[bool, list[bytes]] = {False: [], True: []}
  for name in names(root):
    parts[is_validation(name)].append((root / name).read_bytes())
  train, validation = (b"".join(parts[side]) for side in (False, True))
  digest = hashlib.sha256(
    hashlib.sha256(train).digest() + hashlib.sha256(validation).digest()
  )
  return Corpus(
    np.frombuffer(train, np.uint8),
    np.frombuffer(validation, np.uint8),
    digest.hexdigest(),
  )


def names(root: pathlib.Path) -> list[str]:
  """Returns the files' paths below `root`, with slashes, in order."""
  found = []
  for folder, below, files in os.walk(root):
    # What is taken out of the list is not walked.
    below[:] = set(below) - _SKIPPED
    names = (pathlib.Path(folder, f) for f in files if f.endswith(".py"))
    found.extend(path.relative_to(root).as_posix() for path in names)
  return sorted(found)


def is_validation(name: str) -> bool:
  """Returns whether the file of this path is validation text."""
  first = hashlib.sha256(name.encode()).digest()[:4]
  return int.from_bytes(first) % _VALIDATION_PART == 0
