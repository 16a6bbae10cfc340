"""Comparison and timing: what the tests use, for users too."""

from jax_deepgemm.testing.benchmark import bench as bench
from jax_deepgemm.testing.byte_count import count_bytes as count_bytes
from jax_deepgemm.testing.difference import calc_diff as calc_diff
from jax_deepgemm.testing.timing import BenchResult as BenchResult
from jax_deepgemm.testing.timing import Samples as Samples
