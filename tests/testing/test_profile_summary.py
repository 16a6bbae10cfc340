"""From the events of a profile to the times of a run."""

import subprocess
import sys
import types

import jax
import pytest

from jax_deepgemm.testing.benchmark import summarize
from jax_deepgemm.testing.cache_flush import buffer_bytes, flush_caches
from jax_deepgemm.testing.profile import KernelEvent, plane_name, read_events

_FLUSH = f"jit_{flush_caches.__name__}"


def _kernel(name, start_us, duration_us, module="jit_f"):
  return KernelEvent(name, module, start_us * 1e3, duration_us * 1e3)


def _flush(start_us):
  return _kernel("loop_broadcast_fusion", start_us, 50, _FLUSH)


def _flushed_runs(*gemm_us):
  events = []
  for i, duration in enumerate(gemm_us):
    start = 100 * i
    events += [
      _flush(start),
      _kernel("cast", start + 51, 3),
      _kernel("sm90_fp8_gemm", start + 56, duration),
    ]
  return events


def test_each_kernel_has_its_own_samples():
  result = summarize(_flushed_runs(10, 30, 20), 3, flush_l2=True)
  assert result.method == "profiler"
  assert set(result.kernels) == {"cast", "sm90_fp8_gemm"}
  gemm = result.kernels["sm90_fp8_gemm"]
  assert gemm.microseconds == (10, 30, 20)
  assert (gemm.median, gemm.min, gemm.max, gemm.spread) == (20, 10, 30, 1)


def test_a_run_lasts_from_its_first_kernel_to_its_last_with_gaps():
  result = summarize(_flushed_runs(10, 30), 2, flush_l2=True)
  assert result.run.microseconds == (15, 35)


def test_only_kernels_of_the_name_count():
  result = summarize(_flushed_runs(10, 30), 2, flush_l2=True, kernel_name="90")
  assert set(result.kernels) == {"sm90_fp8_gemm"}
  assert result.run.microseconds == (10, 30)


def test_a_flush_of_several_kernels_makes_no_run():
  events = [_flush(0), *_flushed_runs(10, 20), _flush(400)]
  assert summarize(events, 2, flush_l2=True).run.microseconds == (15, 25)


def test_kernels_of_one_name_within_a_run_are_samples_each():
  events = [_flush(0), _kernel("k", 60, 1), _kernel("k", 62, 2)]
  result = summarize(events, 1, flush_l2=True)
  assert result.kernels["k"].microseconds == (1, 2)
  assert result.run.microseconds == (4,)


def test_back_to_back_runs_are_told_apart_by_their_number():
  events = [_kernel(n, 10 * i, 5) for i, n in enumerate("abababab")]
  result = summarize(events, 4, flush_l2=False)
  assert result.run.microseconds == (15, 15, 15, 15)
  assert result.kernels["a"].microseconds == (5, 5, 5, 5)


@pytest.mark.parametrize("num_events", [3, 5, 7, 9])
def test_lost_events_of_back_to_back_runs_are_an_error(num_events):
  events = [_kernel("k", 10 * i, 5) for i in range(num_events)]
  with pytest.raises(RuntimeError, match="profile of 4 calls"):
    summarize(events, 4, flush_l2=False)


def test_lost_events_of_flushed_runs_are_an_error():
  with pytest.raises(RuntimeError, match="profile of 3 calls"):
    summarize(_flushed_runs(10, 30), 3, flush_l2=True)
  with pytest.raises(RuntimeError, match="1 or 2 in each"):
    summarize(_flushed_runs(10, 30)[:-1], 2, flush_l2=True)


def test_a_name_that_no_kernel_has_is_an_error_that_lists_those_that_ran():
  with pytest.raises(RuntimeError, match=r"'sm100'.*cast, sm90_fp8_gemm"):
    summarize(_flushed_runs(10), 1, flush_l2=True, kernel_name="sm100")


def test_a_function_without_kernels_is_an_error():
  with pytest.raises(RuntimeError, match="are none"):
    summarize([_flush(0), _flush(100)], 2, flush_l2=True)


def test_a_folder_without_profile_is_an_error(tmp_path):
  with pytest.raises(RuntimeError, match="wrote no profile"):
    read_events(str(tmp_path), "/device:GPU:0")


def test_the_cpu_has_no_plane_in_a_profile(tmp_path):
  with jax.profiler.trace(str(tmp_path)):
    jax.block_until_ready(jax.numpy.zeros(3))
  plane = plane_name(jax.devices()[0])
  assert plane == "/device:GPU:0"
  with pytest.raises(RuntimeError, match=r"no kernel of /device:GPU:0.*CUPTI"):
    read_events(str(tmp_path), plane)


def test_lines_that_are_no_streams_hold_no_kernels(monkeypatch, tmp_path):
  def event(name, start_ns, **stats):
    return types.SimpleNamespace(
      name=name, start_ns=start_ns, duration_ns=2.0, stats=list(stats.items())
    )

  def line(name, *events):
    return types.SimpleNamespace(name=name, events=events)

  lines = [
    line("Steps", event("step", 0.0)),
    line(
      "Stream #14(Compute)",
      event("second", 7.0, hlo_op="dot", hlo_module="jit_f"),
      event("first", 3.0),
    ),
  ]
  planes = [
    types.SimpleNamespace(name="/device:GPU:1", lines=lines),
    types.SimpleNamespace(name="/device:GPU:0", lines=[]),
  ]
  data = types.SimpleNamespace(
    from_file=lambda path: types.SimpleNamespace(planes=planes)
  )
  monkeypatch.setattr(jax.profiler, "ProfileData", data)
  (tmp_path / "host.xplane.pb").write_bytes(b"")
  assert read_events(str(tmp_path), "/device:GPU:1") == [
    KernelEvent("first", "", 3.0, 2.0),
    KernelEvent("second", "jit_f", 7.0, 2.0),
  ]


@pytest.mark.parametrize("process", ["default", "warnings are errors"])
def test_a_profile_is_read_whatever_python_does_with_warnings(
  tmp_path, process
):
  program = """
import sys, jax
from jax_deepgemm.testing import profile
jax.profiler.start_trace(sys.argv[1])
jax.block_until_ready(jax.numpy.zeros(3))
jax.profiler.stop_trace()
profile._is_kernel_line = lambda line: True
print(len(profile.read_events(sys.argv[1], "/host:CPU")))
"""
  flags = ["-W", "error"] if process == "warnings are errors" else []
  done = subprocess.run(
    [sys.executable, *flags, "-c", program, str(tmp_path)],
    capture_output=True,
    check=False,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  assert int(done.stdout) > 0


def test_the_flush_takes_at_most_half_of_the_free_memory():
  assert buffer_bytes(None) == 8 * 10**9
  stats = {"bytes_limit": 10**11, "bytes_in_use": 0}
  assert buffer_bytes(stats) == 8 * 10**9
  assert buffer_bytes({**stats, "bytes_in_use": 98 * 10**9}) == 10**9


def test_a_flush_smaller_than_the_caches_is_refused():
  stats = {"bytes_limit": 10**9, "bytes_in_use": 6 * 10**8}
  with pytest.raises(RuntimeError, match=r"400 MB .*flush_l2=False"):
    buffer_bytes(stats)
