"""Reads what ptxas says about the machine code it made."""

import re

# C7508: setmaxnreg is ignored. C7510, C7511, C7514 and their kin, which all say
# "Potential Performance Loss": wgmma instructions run one after the other.
_SLOW = re.compile(
  r"^.*(?:\bC75(?:08|10|14)\b|Potential Performance Loss).*$", re.MULTILINE
)
_LOCAL_MEMORY = re.compile(
  r"(\d+) bytes stack frame, (\d+) bytes spill stores, "
  r"(\d+) bytes spill loads"
)


def complaints(log: str) -> list[str]:
  """Returns why the kernel of a `ptxas -v` log is not acceptable; [] if it is.

  A kernel must keep everything in registers (no stack frame, no spills), and
  its wgmma instructions must overlap.
  """
  functions = list(_LOCAL_MEMORY.finditer(log))
  found = [
    f"local memory is used: {match.group()}"
    for match in functions
    if any(int(number) for number in match.groups())
  ]
  found += [match.group().strip() for match in _SLOW.finditer(log)]
  if not functions:
    found.append("the log does not report stack frame and spills")
  return found
