"""What can go wrong between a recipe and its cubin."""


class CompileError(RuntimeError):
  """A compiler was found and ran, but gave no acceptable cubin."""


class CompilerNotFoundError(RuntimeError):
  """No compiler, or no disassembler, where one is needed."""


def with_line_numbers(source: str) -> str:
  """Returns `source` with each line behind its number, counted from 1."""
  lines = source.splitlines()
  width = len(str(len(lines)))
  return "\n".join(
    f"{number:>{width}} | {line}" for number, line in enumerate(lines, 1)
  )
