"""Mistakes in probes, which the emulator must find."""

import dataclasses

_TF32 = "wgmma_tf32_integers"
_BF16 = "wgmma_bf16_integers"


@dataclasses.dataclass(frozen=True)
class ProbeMutation:
  """Wherever the source of `probe` says `old`, it says `new`."""

  name: str
  probe: str
  old: str
  new: str


_M = ProbeMutation
_MULTIPLY_RS = "multiply(d, a[1], case_.b + case_.b_step, true);\n"

PROBE_MUTATIONS = (
  # Products.
  _M("registers_not_fenced", _TF32, "    ptx::wgmma_fence();\n", ""),
  _M("product_not_awaited", _TF32, "    ptx::wgmma_wait<0>();\n", ""),
  _M("product_not_committed", _TF32, "    ptx::wgmma_commit();\n", ""),
  _M("old_sums_kept", _TF32, "case_.accumulate != 0", "true"),
  _M("step_of_a_missing", _TF32, "case_.a + case_.a_step", "case_.a"),
  _M("step_of_b_missing", _TF32, "case_.b + case_.b_step", "case_.b"),
  _M("operands_out_of_bounds", _TF32, "case_.b += base", "case_.b += 0x2020"),
  _M("operands_elsewhere", _TF32, "case_.a += base", "case_.a += base + 64"),
  _M("base_offset", _TF32, "case_.b += base", "case_.b += base + (1ull << 49)"),
  _M(
    "descriptor_of_one_lane",
    _TF32,
    "case_.b += base",
    "case_.b += base + threadIdx.x % 32 / 31",
  ),
  _M("image_not_awaited", _TF32, "    wait(barrier, 0);\n", ""),
  _M(
    "registers_of_a_written_too_early",
    _TF32,
    _MULTIPLY_RS,
    _MULTIPLY_RS + "    a[0][0] = 1;\n",
  ),
  _M(
    "registers_of_a_read_too_early",
    _TF32,
    _MULTIPLY_RS,
    _MULTIPLY_RS + "    if (a[1][3] == 0xFFFFFFFF) __trap();\n",
  ),
  _M("other_fragment", _TF32, "a[1] = values.y", "a[1] = values.z"),
  _M(
    "registers_of_a_loaded_after_the_fence",
    _TF32,
    "    multiply(d, a[0], case_.b",
    "    load_fragment(a[0], 0);\n    multiply(d, a[0], case_.b",
  ),
  _M("a_not_transposed", _BF16, "bf16<64, 1, 0>", "bf16<64, 0, 0>"),
  _M("b_not_transposed", _BF16, "bf16_rs<64, 1>", "bf16_rs<64, 0>"),
  # Barriers and copies.
  _M("too_few_bytes", _TF32, "image_bytes);\n", "image_bytes - 16);\n"),
  _M("barrier_not_fenced", _TF32, "      ptx::mbarrier_init_fence();\n", ""),
  _M(
    "previous_kernel_not_awaited",
    _TF32,
    "  jdg::ptx::wait_for_previous_kernel();\n",
    "",
  ),
  _M("load_not_awaited", "tma_load", "    wait(barrier, 0);\n", ""),
  _M("coordinates_exchanged", "tma_load", "x[0], x[1]", "x[1], x[0]"),
  _M("rows_not_aligned", "tma_load", "x[0], x[1]);", "x[0] + 1, x[1]);"),
  _M("one_cta_of_two", "tma_multicast", "kBoth = 3", "kBoth = 1"),
  _M(
    "memory_dies_before_the_store",
    "tma_store",
    "    ptx::tma_store_wait();\n",
    "",
  ),
  _M("store_not_committed", "tma_store", "    ptx::tma_store_commit();\n", ""),
  _M("stored_instead_of_added", "tma_add", "    } else {\n      add();", ""),
  _M("one_arrival", "mbarrier", "arrive(barrier, count)", "arrive(barrier)"),
  _M("bytes_not_expected", "mbarrier", "ptx::mbarrier_expect_tx", "(void)"),
  _M(
    "initialised_twice",
    "mbarrier",
    "      ptx::mbarrier_invalidate(barrier);\n",
    "",
  ),
  # Warps.
  _M("loaded_straight", "matrix", "x4_transposed(r,", "x4(r,"),
  _M("stored_straight", "matrix", "stmatrix_x4_transposed", "stmatrix_x4"),
  _M("row_not_aligned", "matrix", "+ lane] * 16)", "+ lane] * 16 + 8)"),
  _M("any_for_all", "warp", "ptx::vote_all", "ptx::vote_any"),
  _M("down_for_xor", "warp", "ptx::shuffle_xor", "ptx::shuffle_down"),
  _M(
    "a_lane_does_not_vote",
    "warp",
    "  mine_out[1] =",
    "  if (threadIdx.x != 5) mine_out[1] =",
  ),
  # Clusters.
  _M(
    "cluster_has_not_started",
    "cluster",
    "    __syncthreads();\n    meet();\n",
    "    __syncthreads();\n",
  ),
  _M("peers_not_awaited", "cluster", "    meet();\n    const", "    const"),
  _M("cluster_ends_apart", "cluster", "    meet();  //", "    //"),
  _M("sends_not_awaited", "cluster", "wait_cluster(memory_->sends);", ""),
  _M("copy_not_awaited", "cluster", "wait_cluster(memory_->copy);", ""),
  _M("copy_not_fenced", "cluster", "    ptx::fence_proxy_async();\n", ""),
  _M("arrival_not_released", "cluster", "remote_release(", "remote("),
  _M(
    "barrier_of_another_cta",
    "cluster",
    "at(&memory_->sends, rank)",
    "at(&memory_->sends, rank_)",
  ),
  _M("too_many_sent", "cluster", "+ sizeof(memory_->sent_four)", ""),
  # Named barriers and atomic operations.
  _M("turn_not_awaited", "sync", "barrier_sync(2,", "barrier_arrive(2,"),
  _M("turn_not_given", "sync", "      ptx::barrier_arrive(2, kSync", "//"),
  _M("too_few_meet", "sync", "_sync(1, kSyncThreads)", "_sync(1, 96)"),
  _M("no_such_barrier", "sync", "barrier_arrive(1,", "barrier_arrive(0,"),
  _M("sums_not_released", "sync", "  __syncthreads();\n  if", "  if"),
  _M("not_added", "sync", "add(&totals->count", "max(&totals->count"),
  _M("not_largest", "sync", "max(&totals->largest", "add(&totals->largest"),
)
