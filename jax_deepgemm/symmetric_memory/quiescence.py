"""Waiting until devices have nothing left to do."""

from collections.abc import Iterable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jax_deepgemm.symmetric_memory.driver import Driver
from jax_deepgemm.symmetric_memory.rank_groups import Member


def wait_for(members: Iterable[Member], driver: Driver) -> None:
  """Returns when all that was dispatched to these devices has run.

  XLA hands programs to a device in the order in which they were dispatched, on
  threads of its own: what is dispatched last waits for those that are not at
  the driver yet, and the context for all that is.
  """
  jax.effects_barrier()
  members = tuple(members)
  jax.block_until_ready([_dispatch(member.device) for member in members])
  for member in members:
    with driver.on(member.ordinal):
      driver.call("cuCtxSynchronize")


def _dispatch(device: Any) -> jax.Array:
  # A mesh of its own, for callers within the mesh of several devices.
  with jax.set_mesh(Mesh(np.array([device]), ("device",))):
    return jax.jit(_increment)(jax.device_put(np.int32(0), device))


def _increment(x: jax.Array) -> jax.Array:
  return x + 1
