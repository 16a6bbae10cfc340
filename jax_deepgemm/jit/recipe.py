"""Everything that decides the machine code of one kernel."""

import dataclasses
import re

_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ARCHITECTURE = re.compile(r"sm_[0-9]{2,3}[af]?")


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One kernel to compile.

  The fields are strings because they travel as attributes of the XLA custom
  call; they are byte-identical in every process that lowers the same program.

  Attributes:
    kernel: name of the `extern "C"` entry point, e.g. "sm90_fp8_gemm".
    source: translation unit, an `#include` and one instantiation.
    arch: real architecture, e.g. "sm_90a".
    flags: extra compiler options, separated by spaces.
    fingerprint: `headers_fingerprint()` of the package that wrote `source`.

  Raises:
    ValueError: `kernel` is not a C identifier or `arch` no real architecture.
  """

  kernel: str
  source: str
  arch: str
  flags: str = ""
  fingerprint: str = ""

  def __post_init__(self) -> None:
    if not _C_IDENTIFIER.fullmatch(self.kernel):
      raise ValueError(f"kernel must be a C identifier, got {self.kernel!r}")
    if not _ARCHITECTURE.fullmatch(self.arch):
      raise ValueError(
        f"arch must name a real architecture such as 'sm_90a', "
        f"got {self.arch!r}"
      )
