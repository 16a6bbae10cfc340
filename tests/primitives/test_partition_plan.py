"""Which shardings are kept, and what XLA is told of them."""

import pytest
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import PartitionSpec as P

from jax_deepgemm.primitives.gemm_form import GemmForm
from jax_deepgemm.primitives.gemm_sharding_rule import sharding_rule
from jax_deepgemm.primitives.partition_plan import Plan, Sizes, make_plan

MESH = {"x": 2, "y": 2, "z": 4}
N = None


def plan(a, b, result=(N, N, N), sizes=(4, 512, 512, 512), recipes=None):
  g, m, n, k = sizes
  recipe_a, recipe_b = recipes or ((1, 128), (128, 128))
  described = Sizes.of((g, m, k), (g, n, k), recipe_a, recipe_b)
  return make_plan(described, MESH, a, b, result)


@pytest.mark.parametrize(
  ("a", "b", "result", "expected"),
  [
    ((N, "x", N), (N, N, N), (N, N, N), Plan(m=("x",))),
    ((N, N, N), (N, "x", N), (N, N, N), Plan(n=("x",))),
    ((N, N, "x"), (N, N, "x"), (N, N, N), Plan(k=("x",))),
    ((N, N, "x"), (N, N, N), (N, N, N), Plan(k=("x",))),
    ((N, N, N), (N, N, "x"), (N, N, N), Plan(k=("x",))),
    (("x", N, N), ("x", N, N), (N, N, N), Plan(g=("x",))),
    ((N, ("x", "y"), N), (N, N, N), (N, N, N), Plan(m=("x", "y"))),
    ((N, N, N), (N, N, N), (N, "x", "y"), Plan(m=("x",), n=("y",))),
    ((N, "x", N), (N, "x", N), (N, N, N), Plan(m=("x",))),
    ((N, N, "x"), (N, "x", N), (N, N, N), Plan(n=("x",))),
    ((N, "x", N), (N, N, "x"), (N, N, N), Plan(m=("x",))),
    ((N, N, "x"), (N, N, "x"), (N, N, "x"), Plan(k=("x",))),
    ((N, N, "x"), (N, N, "y"), (N, N, N), Plan(k=("x",))),
    ((N, "x", "y"), (N, "z", "y"), (N, N, N), Plan((), ("x",), ("z",), ("y",))),
    ((N, P.UNCONSTRAINED, N), (N, N, N), (N, N, N), Plan()),
  ],
)
def test_the_sharding_that_moves_least_is_chosen(a, b, result, expected):
  assert plan(a, b, result) == expected


@pytest.mark.parametrize(
  ("sizes", "recipes", "expected"),
  [
    ((1, 6, 512, 512), None, Plan(m=("x",))),
    ((1, 5, 512, 512), None, Plan()),
    ((1, 128, 512, 512), ((128, 128), (1, 128)), Plan()),
    ((1, 256, 512, 512), ((128, 128), (1, 128)), Plan(m=("x",))),
  ],
)
def test_shards_of_m_hold_whole_blocks(sizes, recipes, expected):
  assert plan((N, "x", N), (N, N, N), sizes=sizes, recipes=recipes) == expected


@pytest.mark.parametrize(
  ("n", "k", "expected"),
  [
    (512, 512, Plan(n=("y",), k=("x",))),
    (384, 512, Plan(k=("x",))),
    (512, 384, Plan(n=("y",))),
    (512, 300, Plan(n=("y",))),
  ],
)
def test_shards_of_n_and_k_hold_whole_blocks(n, k, expected):
  assert plan((N, N, "x"), (N, "y", "x"), sizes=(1, 8, n, k)) == expected


def test_finer_blocks_of_k_allow_finer_shards():
  a, b, sizes = (N, N, "x"), (N, N, "x"), (1, 8, 8, 64)
  fine = ((1, 32), (1, 32))
  mixed = ((1, 32), (1, 128))
  assert plan(a, b, sizes=sizes, recipes=fine) == Plan(k=("x",))
  assert plan(a, b, sizes=sizes, recipes=mixed) == Plan()


def test_specs_follow_the_plan():
  chosen = Plan(m=("x", "y"), k=("z",))
  assert chosen.a == P(None, ("x", "y"), "z")
  assert chosen.b == P(None, None, "z")
  assert chosen.result == P(None, ("x", "y"), None)


@pytest.mark.parametrize(
  ("m", "n", "k", "recipe_a", "recipe_b", "expected"),
  [
    (
      4,
      256,
      512,
      (1, 128),
      (128, 128),
      "g m (k ki), g m k, g (n ni) (k ki), g n k -> g m (n ni)",
    ),
    (
      4,
      4,
      512,
      (1, 32),
      (1, 128),
      "g m (k ki), g m (k ka), g n (k ki), g n k -> g m n",
    ),
    (
      4,
      200,
      300,
      (1, 128),
      (128, 128),
      "g m k, g m ka, g n k, g ns kb -> g m n",
    ),
    (
      4,
      128,
      128,
      (1, 128),
      (128, 128),
      "g m k, g m ka, g n k, g ns kb -> g m n",
    ),
  ],
)
def test_the_rule_ties_scales_to_their_blocks(
  m, n, k, recipe_a, recipe_b, expected
):
  form = GemmForm(2, recipe_a=recipe_a, recipe_b=recipe_b)
  rule, _ = sharding_rule((1, m, k), (1, n, k), form, has_c=False)
  assert rule == expected


def test_a_rule_with_c_is_understood_by_jax():
  form = GemmForm(2, recipe_a=(128, 128), recipe_b=(128, 128))
  rule, properties = sharding_rule(
    (1, 256, 512), (1, 256, 512), form, has_c=True
  )
  assert rule.endswith("g (m mi) (n ni) -> g (m mi) (n ni)")
  assert properties["reduction_factors"] == ("k",)
  assert properties["need_replication_factors"] == ("mi", "ki", "ni")
  custom_partitioning(lambda *x: x[0]).def_partition(
    partition=None, sharding_rule=rule, **properties
  )


def test_a_rule_without_scales_names_each_dimension_where_it_lies():
  form = GemmForm(1, a_k_first=True, b_k_first=True)
  rule, properties = sharding_rule((2, 3, 4), (2, 3, 5), form, has_c=True)
  assert rule == "g k m, g k n, g m n -> g m n"
  assert properties["reduction_factors"] == ("k",)
  assert properties["need_replication_factors"] == ()


@pytest.mark.parametrize(
  ("k", "expected"),
  [
    (512, "g m (k ki), g m k, g n (k kp), g n k -> g m n"),
    (300, "g m k, g m ka, g n kp, g n kb -> g m n"),
  ],
)
def test_packed_codes_are_sharded_with_what_they_are_multiplied_with(
  k, expected
):
  form = GemmForm(
    2, recipe_a=(1, 128), recipe_b=(1, 128), b_codes_per_element=2
  )
  rule, properties = sharding_rule((1, 4, k), (1, 8, k // 2), form, has_c=False)
  assert rule == expected
  assert properties.get("ki", 0) == 2 * properties.get("kp", 0)
  custom_partitioning(lambda *x: x[0]).def_partition(
    partition=None, sharding_rule=rule, **properties
  )
