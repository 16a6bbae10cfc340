"""Kernel times from JAX's profiler, which needs no further package."""

import contextlib
import dataclasses
import pathlib
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import jax

_NO_KERNELS = """\
the profile holds no kernel of {plane}. Either nothing ran on that GPU while \
it was recorded, or CUPTI, NVIDIA's tracing library, did not work: it comes \
with jax[cuda12] and jax[cuda13], and serves one profiler at a time, so under \
nsys, ncu or compute-sanitizer set DG_USE_NVIDIA_TOOLS=1, which measures \
wall-clock time instead"""


@dataclasses.dataclass(frozen=True)
class KernelEvent:
  """One kernel that ran.

  Attributes:
    name: of the kernel.
    module: name of the XLA program that launched it, "" if not recorded.
    start_ns: when it started.
    duration_ns: how long it ran.
  """

  name: str
  module: str
  start_ns: float
  duration_ns: float

  @property
  def end_ns(self) -> float:
    """When it ended."""
    return self.start_ns + self.duration_ns


class Recording:
  """Events of a finished profile; empty until then."""

  def __init__(self) -> None:
    self.events: list[KernelEvent] = []


@contextlib.contextmanager
def record(device: jax.Device) -> Iterator[Recording]:
  """Returns a context whose value holds, after it, what ran on `device`.

  Wall-clock times taken meanwhile are wrong: tracing slows the host down.

  Raises:
    RuntimeError: another profile is being recorded, or none was written, or it
      holds no kernel of `device`.
  """
  recording = Recording()
  # The host's events would make most of the file and are not read.
  options = jax.profiler.ProfileOptions()
  options.host_tracer_level = 0
  options.python_tracer_level = 0
  with tempfile.TemporaryDirectory(prefix="jax_deepgemm_profile_") as folder:
    with jax.profiler.trace(folder, profiler_options=options):
      yield recording
    recording.events = read_events(folder, plane_name(device))


def plane_name(device: jax.Device) -> str:
  """Returns the name that profiles give to a GPU."""
  return f"/device:GPU:{device.local_hardware_id}"


def read_events(folder: str, plane: str) -> list[KernelEvent]:
  """Returns the kernels of a recorded profile in order of their start.

  Args:
    folder: what was given to `jax.profiler.trace`.
    plane: name of the GPU in the profile.

  Raises:
    RuntimeError: there is no profile, or no kernel of `plane` in it.
  """
  files = sorted(pathlib.Path(folder).rglob("*.xplane.pb"))
  if not files:
    raise RuntimeError(f"jax.profiler wrote no profile to {folder!r}")
  profile = jax.profiler.ProfileData.from_file(str(files[-1]))
  with warnings.catch_warnings():
    # jaxlib's classes lack a __module__, of which Python 3.12 warns when they
    # are first used; as an error the warning would abort the process.
    warnings.simplefilter("ignore", DeprecationWarning)
    events = [
      _kernel_event(event)
      for device in profile.planes
      if device.name == plane
      for line in device.lines
      if _is_kernel_line(line)
      for event in line.events
    ]
  if not events:
    raise RuntimeError(_NO_KERNELS.format(plane=plane))
  return sorted(events, key=lambda event: event.start_ns)


def _is_kernel_line(line: Any) -> bool:
  return line.name.startswith("Stream")


def _kernel_event(event: Any) -> KernelEvent:
  modules = [value for name, value in event.stats if name == "hlo_module"]
  return KernelEvent(
    name=event.name,
    module=str(modules[0]) if modules else "",
    start_ns=event.start_ns,
    duration_ns=event.duration_ns,
  )
