"""The matrix instructions, and a kernel that holds those of one type."""

import dataclasses
import itertools

from jax_deepgemm.jit import Recipe
from tests.probes.probe import recipe

THREADS = 128
_COLUMNS = (8, 24, 64, 96, 256)


@dataclasses.dataclass(frozen=True)
class Product:
  """One instruction: its type, columns, source of A and transpose bits."""

  dtype: str
  n: int
  from_registers: bool
  a_transposed: bool = False
  b_transposed: bool = False

  @property
  def _arguments(self) -> str:
    bits = []
    if self.dtype == "bf16":
      bits = [self.b_transposed]
      if not self.from_registers:
        bits.insert(0, self.a_transposed)
    return ", ".join(str(int(x)) for x in (self.n, *bits))

  @property
  def _name(self) -> str:
    return self.dtype + ("_rs" if self.from_registers else "")

  def definition(self) -> str:
    return f"JDG_DEFINE_WGMMA_{self._name.upper()}({self._arguments})\n"

  def choice(self, number: int) -> str:
    run = "run_rs" if self.from_registers else "run"
    return f"""\
    case {number}:
      probe.{run}<{self.n}>([](auto& d, auto&& a, jdg::u64 b, bool adds) {{
        jdg::ptx::wgmma_{self._name}<{self._arguments}>(d, a, b, adds);
      }});
      break;
"""


def products(dtype: str) -> list[Product]:
  found = []
  for n, rs in itertools.product(_COLUMNS, (False, True)):
    bits = (False, True) if dtype == "bf16" else (False,)
    for a, b in itertools.product(bits, bits):
      if not (rs and a):
        found.append(Product(dtype, n, rs, a, b))
  return found


def wgmma_recipe(dtype: str) -> Recipe:
  """Returns one kernel with all products of a type."""
  chosen = products(dtype)
  headers = ["wgmma_rs", "wgmma" if dtype == "e4m3" else f"wgmma_{dtype}"]
  prologue = "".join(f'#include "ptx/{name}.cuh"\n' for name in headers)
  prologue += "".join(product.definition() for product in chosen)
  choices = "".join(p.choice(i) for i, p in enumerate(chosen))
  entry = f"""
extern "C" __global__ void __launch_bounds__({THREADS}, 1)
    wgmma_probe(const jdg::WgmmaCase* cases, const uint4* images,
                const uint4* fragments, float* sums) {{
  jdg::ptx::wait_for_previous_kernel();
  jdg::WgmmaProbe probe(cases, images, fragments, sums);
  switch (probe.product()) {{
{choices}  }}
}}
"""
  return recipe("wgmma", prologue, entry)
