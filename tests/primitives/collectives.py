"""What a compiled program sends between devices."""

import re
from typing import Any

import jax

_COLLECTIVE = re.compile(
  r" (all-gather|all-reduce|all-to-all|collective-permute|reduce-scatter)"
  r"(?:-start)?\("
)


def run(f, *args) -> tuple[Any, dict[str, int]]:
  """Returns jit(f)(*args), and how often each collective is in the program."""
  compiled = jax.jit(f).lower(*args).compile()
  names = _COLLECTIVE.findall(compiled.as_text())
  return compiled(*args), {name: names.count(name) for name in set(names)}
