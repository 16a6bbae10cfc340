"""Each kind of mistake is reported with kernel, role and line."""

import re

import numpy as np
import pytest

from tests.emulator.emulator import EmulatorError, Thread
from tests.emulator.tiny_kernel import TinyKernel, emulator

NUM_SEEDS = 40

# A stage that a producer fills twice and a consumer reads twice.
RIGHT = """
if (producer) {
  for (u32 i = 0; i < 2; ++i) {
    wait(smem.empty, i % 2 ^ 1);
    ptx::mbarrier_arrive_expect_tx(smem.full, 128);
    ptx::tma_load(smem.rows[0], &in_map, smem.full, 0, i, 0);
  }
}
if (consumer) {
  for (u32 i = 0; i < 2; ++i) {
    wait(smem.full, i % 2);
    const float value = smem.rows[0][5];
    ptx::mbarrier_arrive(smem.empty);
    out[i] = value;
  }
}
"""


def reports(toolchain, body):
  """Returns the kernel and what is reported, seed by seed."""
  kernel = TinyKernel(body)
  found = []
  for seed in range(NUM_SEEDS):
    try:
      kernel.run(emulator(toolchain), seed)
    except EmulatorError as error:
      found.append(str(error))
  return kernel, found


def assert_reported(toolchain, body, message, role, text):
  """Some seed shows `message`, by `role`, in the line that has `text`."""
  kernel, found = reports(toolchain, body)
  where = rf"tiny\.cuh:{kernel.line(text)}\b"
  who = rf"\({role}\), lane[^:]*: [\w. ]+ at [^\n]*{where}"
  pattern = re.compile(f"tiny, seed [0-9]+: {message}[^\0]*{who}")
  assert any(pattern.match(report) for report in found), set(found)


def test_a_kernel_without_a_mistake_is_not_reported(toolchain):
  kernel, found = reports(toolchain, RIGHT)
  assert found == []
  np.testing.assert_array_equal(kernel.run(emulator(toolchain), 0)[:2], [5, 37])


@pytest.mark.parametrize(
  ("role", "text"),
  [("producer", "wait(smem.empty"), ("consumer", "wait(smem.full")],
)
def test_a_deadlock_says_where_each_thread_stands(toolchain, role, text):
  body = RIGHT.replace("i % 2 ^ 1", "i % 2")
  message = "deadlock: no thread can run"
  assert_reported(toolchain, body, message, role, text)


def test_threads_that_poll_for_ever_are_a_deadlock(toolchain):
  body = "if (consumer) while (!ptx::mbarrier_test_wait(smem.full, 0)) {}"
  kernel = TinyKernel(body)
  with pytest.raises(EmulatorError, match=r"(?s)threads poll.*\(consumer\)"):
    kernel.run(emulator(toolchain), seed=0)


@pytest.mark.parametrize(
  ("body", "message"),
  [
    ("smem_bytes[sizeof(Smem)] = 1;", "a store: 1 bytes at shared"),
    ("out[0] = smem_bytes[9232];", "a load: 1 bytes at shared"),
    ("out[257] = 1;", "a store: 4 bytes at byte 1028 of buffer 1"),
    ("out[0] = in[-1];", "a load: 4 bytes at byte -4 of buffer 0"),
    ("out[0] = in[1 << 20];", "a load: 4 bytes outside every buffer"),
    ("smem_bytes[1 << 18] = 1;", "a store: 1 bytes outside every buffer"),
  ],
)
def test_an_access_out_of_bounds_is_reported(toolchain, body, message):
  body = f"\nif (consumer) {{\n  {body}\n}}"
  assert_reported(toolchain, body, message, "consumer", "] =")


def test_a_copy_out_of_bounds_is_reported(toolchain):
  body = "\nif (consumer) ptx::cp_async_4(smem.rows, in + 257, true);"
  message = "cp.async: 4 bytes at byte 1028 of buffer 0"
  assert_reported(toolchain, body, message, "consumer", "cp_async_4")


def test_too_few_expected_bytes_are_reported(toolchain):
  body = RIGHT.replace("128);", "64);")
  message = r"deadlock[^\0]*64 bytes more than expected\s+last expected by"
  assert_reported(toolchain, body, message, "producer", "expect_tx")
  load = "ptx::tma_load(smem.rows[0], &in_map, smem.full, 0, i, 0);"
  body = RIGHT.replace(load, f"{load}\n{load.replace('rows[0]', 'rows[1]')}")
  message = "128 bytes come to mbarrier .*expects too few"
  assert_reported(toolchain, body, message, "producer", "rows[1]")


def test_too_many_expected_bytes_are_reported(toolchain):
  body = RIGHT.replace("128);", "256);")
  message = r"deadlock[^\0]*and 128 bytes to come\s+last expected by"
  assert_reported(toolchain, body, message, "producer", "expect_tx")


def test_bytes_that_nobody_waits_for_are_reported(toolchain):
  body = "if (producer) ptx::mbarrier_arrive_expect_tx(smem.full, 128);"
  message = r"the kernel ends with 128 bytes outstanding"
  assert_reported(toolchain, body, message, "producer", "expect_tx")


def test_a_barrier_that_is_used_again_too_early_is_reported(toolchain):
  # That the stage is full again says nothing about the consumer.
  body = RIGHT.replace(
    "wait(smem.empty, i % 2 ^ 1)", "if (i == 1) wait(smem.full, 0)"
  )
  message = r"mbarrier 0x\w+ is used again too early"
  assert_reported(toolchain, body, message, "consumer", "wait(smem.full, i")
  assert_reported(toolchain, body, message, "producer", "expect_tx")


def test_a_second_arrival_in_a_phase_is_reported(toolchain):
  body = RIGHT.replace("wait(smem.empty, i % 2 ^ 1);", "")
  message = r"mbarrier 0x\w+ of CTA 0 gets more than its 1 arrivals"
  assert_reported(toolchain, body, message, "producer", "expect_tx")


@pytest.mark.parametrize(
  ("body", "message"),
  [
    ("const float value = smem.rows[1][5];", "that nothing wrote"),
    ("const float value = smem.zeros[0];", "that nothing wrote"),
  ],
)
def test_a_load_of_unwritten_bytes_is_reported(toolchain, body, message):
  body = RIGHT.replace("const float value = smem.rows[0][5];", body)
  message = f"a load: reads shared address 0x[0-9a-f]+, {message}"
  assert_reported(toolchain, body, message, "consumer", "const float value")


def test_a_load_before_the_wait_is_reported(toolchain):
  body = RIGHT.replace("wait(smem.full, i % 2);", "")
  message = "a load: reads .*that was released, or that a copy under way"
  assert_reported(toolchain, body, message, "consumer", "const float value")


def test_a_load_of_a_released_stage_is_reported(toolchain):
  read = "    const float value = smem.rows[0][5];\n"
  release = "    ptx::mbarrier_arrive(smem.empty);\n"
  body = RIGHT.replace(read + release, release + read)
  message = "a load: reads .*that was released"
  assert_reported(toolchain, body, message, "consumer", "const float value")


@pytest.mark.parametrize(
  "write",
  ["smem.rows[1][lane] = 1", "ptx::store_shared(address, 1, 1)"],
)
@pytest.mark.parametrize("fence", [True, False])
def test_a_store_of_bytes_without_a_proxy_fence_is_reported(
  toolchain, write, fence
):
  body = f"""
const u32 address = ptx::smem_address(&smem.rows[1][lane / 2 * 2]);
if (warp == 1) {{
  {write};
  {"ptx::fence_proxy_async();" if fence else ""}
  __syncwarp();
  if (lane == 0) ptx::tma_store(&out_map, smem.rows[1], 0, 1, 0);
  if (lane == 0) ptx::tma_store_commit();
  if (lane == 0) ptx::tma_store_wait_read();
}}
"""
  if fence:
    assert reports(toolchain, body)[1] == []
  else:
    message = "a TMA store: reads .* no proxy fence shows"
    assert_reported(toolchain, body, message, "consumer", "tma_store(")


@pytest.mark.parametrize("out_columns", [30, 32])
def test_a_tma_store_past_the_end_of_rows_is_reported(toolchain, out_columns):
  body = """
if (warp == 1) {
  smem.rows[1][lane] = 1;
  ptx::fence_proxy_async();
  __syncwarp();
  if (lane == 0) ptx::tma_store(&out_map, smem.rows[1], 0, 1, 0);
  if (lane == 0) ptx::tma_store_commit();
  if (lane == 0) ptx::tma_store_wait_read();
}
"""
  kernel = TinyKernel(body, out_columns)
  if out_columns == 32:
    kernel.run(emulator(toolchain), 0)
  else:
    with pytest.raises(EmulatorError, match="do not end at a multiple of 16"):
      kernel.run(emulator(toolchain), 0)


def test_accumulators_are_nan_between_issue_and_wait(toolchain):
  kernel = TinyKernel("""
for (u32 i = threadIdx.x; i < 64 * 32; i += 128) smem.zeros[i] = 0;
ptx::fence_proxy_async();
__syncthreads();
float acc[4] = {};
const u32 zeros = ptx::smem_address(smem.zeros);
start_block_mma<8>(acc, zeros, zeros);
out[threadIdx.x] = acc[0];
wait_block_mma<0>(acc);
out[threadIdx.x + 128] = acc[0];
""")
  for seed in range(NUM_SEEDS):
    early, late = np.split(kernel.run(emulator(toolchain), seed)[:256], 2)
    assert np.isnan(early).all()
    np.testing.assert_array_equal(late, 0)


def test_a_seed_fixes_the_order_of_everything(toolchain):
  traces = []
  for seed in (1, 1, 2):
    traced = emulator(toolchain, Thread(cta=0, warp=1))
    TinyKernel(RIGHT).run(traced, seed)
    traces.append(traced.trace)
  assert traces[0] == traces[1] != traces[2]
  assert any("barrier_arrive at tiny.cuh:13" in line for line in traces[0])
