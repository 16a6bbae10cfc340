"""Where and with what a measurement was made."""

import datetime
import pathlib
import re
import subprocess
from typing import Any

import jax

from jax_deepgemm.environment import ENVIRONMENT
from jax_deepgemm.jit import CompilerNotFoundError
from jax_deepgemm.jit.compiler import compiler_signature

_ROOT = pathlib.Path(__file__).parent.parent
_DRIVER_FILE = pathlib.Path("/proc/driver/nvidia/version")
_UNKNOWN = "unknown"


def collect(method: str, commit: str | None = None) -> dict[str, Any]:
  """Returns the fields that every result has besides its rows.

  Args:
    method: how the times were taken, in a sentence.
    commit: of the measured code; None asks git.
  """
  return {
    "commit": commit or git_commit(_ROOT),
    "gpu": _gpu(),
    "driver": _driver(),
    "compiler": _compiler(),
    "jax": jax.__version__,
    "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    "method": method,
  }


def git_commit(root: pathlib.Path) -> str:
  """Returns the commit, with "-dirty" if tracked files changed since."""
  commit = _output(["git", "-C", str(root), "rev-parse", "HEAD"])
  if commit is None:
    return _UNKNOWN
  status = ["git", "-C", str(root), "status", "--porcelain", "-uno"]
  return f"{commit}-dirty" if _output(status) else commit


def _gpu() -> str:
  device = jax.local_devices()[0]
  return device.device_kind if device.platform == "gpu" else "none"


def _driver() -> str:
  if not _DRIVER_FILE.exists():
    return "none"
  version = re.search(r"(\d+\.\d+[.\d]*)", _DRIVER_FILE.read_text())
  return version.group(1) if version else _UNKNOWN


def _compiler() -> str:
  try:
    return compiler_signature(ENVIRONMENT.jit)
  except CompilerNotFoundError:
    return "none"


def _output(command: list[str]) -> str | None:
  try:
    done = subprocess.run(command, capture_output=True, check=True, text=True)
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()
