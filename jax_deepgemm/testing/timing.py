"""What a benchmark returns."""

import dataclasses
import statistics
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Samples:
  """Repeated measurements of one time.

  Attributes:
    microseconds: in the order in which they were taken, at least one.
  """

  microseconds: tuple[float, ...]

  @property
  def median(self) -> float:
    """The median in microseconds."""
    return statistics.median(self.microseconds)

  @property
  def min(self) -> float:
    """The shortest time in microseconds."""
    return min(self.microseconds)

  @property
  def max(self) -> float:
    """The longest time in microseconds."""
    return max(self.microseconds)

  @property
  def spread(self) -> float:
    """(max - min) / median: 0.02 says that all lie within 2 %."""
    return (self.max - self.min) / self.median if self.median else 0.0


@dataclasses.dataclass(frozen=True)
class BenchResult:
  """Times of one function.

  Attributes:
    method: "profiler" or "wall clock".
    run: one sample per run. With the profiler the time on the device from the
      start of the run's first kernel to the end of its last, the gaps between
      them included; else the wall-clock time until the result is there.
    kernels: for each kernel by name one sample per launch, gaps and launch not
      included; empty with the wall clock.
  """

  method: str
  run: Samples
  kernels: Mapping[str, Samples]
