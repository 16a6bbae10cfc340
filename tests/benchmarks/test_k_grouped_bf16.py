"""The K-grouped BF16 benchmark: what it times, and what it lowers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import k_grouped, k_grouped_bf16, kernel_programs, results
from benchmarks.results import KGroupedCase
from jax_deepgemm.testing import Samples
from tests.k_grouped_bf16_data import expected


@pytest.mark.parametrize("with_c", [False, True])
def test_what_is_timed_and_its_yardstick_are_the_product_of_each_group(with_c):
  case = KGroupedCase(8, 12, (130, 0, 20))
  arguments = k_grouped_bf16.operands(case, with_c)
  x, y, _, *c = arguments
  c = np.asarray(c[0]) if c else None
  exact, magnitude = expected(x, y, case.sizes, c)
  for f in (k_grouped_bf16.gemm, k_grouped_bf16.ragged_dot):
    assert np.all(np.abs(f(*arguments) - exact) <= 1e-6 * magnitude)


def test_a_row_counts_tokens_without_padding():
  case = KGroupedCase(256, 512, (130, 0, 20))
  shapes = k_grouped_bf16.operands(case, with_c=True)
  row = k_grouped_bf16.row_of(
    case, Samples((10.0,)), k_grouped_bf16.gemm, shapes
  )
  assert row["case"] == {"m": 256, "n": 512, "k": 150, "num_groups": 3}
  assert row["tflops"] == pytest.approx(2 * 256 * 512 * 150 / 10e6, abs=0.01)
  line = k_grouped.line(row | {"ragged_dot_us": 50.0})
  assert "ragged dot 50.00 us" in line
  assert "DeepGEMM" not in line


def test_a_sweep_lowers_each_of_its_configurations():
  case = results.k_grouped_cases()[0]
  configs = k_grouped_bf16.likely_configs(case, with_c=True)
  assert 8 <= len(configs) <= 40
  k, groups = sum(case.sizes), len(case.sizes)
  shapes = [((k, case.m), jnp.bfloat16), ((k, case.n), jnp.bfloat16)]
  shapes += [((groups,), jnp.int32)] * 2
  shapes += [((groups, case.m, case.n), jnp.float32)]
  arguments = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
  seen = set()
  for config in configs:
    fn = jax.jit(lambda *x, config=config: k_grouped_bf16.run_with(config, *x))
    lowered = kernel_programs.lowered_for(fn, *arguments, device="NVIDIA H200")
    (launch,) = kernel_programs.launches(lowered)
    seen.add(launch["source"])
  assert len(seen) == len(configs)


def test_there_are_no_casts_to_time(capsys):
  with pytest.raises(SystemExit):
    k_grouped.main(["--dtype", "bf16", "--end-to-end"])
  assert "--dtype bf16 has none" in capsys.readouterr().err
