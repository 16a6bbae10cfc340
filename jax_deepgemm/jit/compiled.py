"""What a compiler gives back."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class CompiledKernel:
  """Outcome of one compilation.

  Attributes:
    cubin: machine code, an ELF image; empty where the compiler failed.
    log: what the compiler printed.
    ptx: the assembly text in between; empty unless a dump asks for it.
  """

  cubin: bytes
  log: str
  ptx: bytes = b""
