"""What DG_PRINT_CONFIGS asks for."""

import functools

from jax_deepgemm.environment import ENVIRONMENT


def print_config(problem: object, config: object) -> None:
  """Prints how a problem is computed, once for each pair, if asked to."""
  if ENVIRONMENT.print_configs:
    _print_once(problem, config)


@functools.cache
def _print_once(problem: object, config: object) -> None:
  print(f"{problem}: {config}", flush=True)
