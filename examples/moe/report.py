"""What is shown and written of the steps."""

import time

import jax
from tqdm import tqdm

from moe.config import Preset
from moe.flops import flops_per_token
from moe.metrics import MetricsLog
from moe.train_step import Metrics


class Reporter:
  """Reads the steps' metrics now and then, shows the last and writes all.

  To read a number is to wait for the device. So some steps are under way before
  the first of them is looked at, and their time is that of all by their number.
  """

  def __init__(
    self, preset: Preset, start: int, log: MetricsLog | None, log_every: int
  ):
    """Begins at `start` steps; processes without a log show nothing."""
    self._train = preset.train
    self._tokens = preset.train.batch_size * preset.train.sequence_length
    self._flops = self._tokens * flops_per_token(
      preset.model, preset.train.sequence_length
    )
    self._log = log
    self._log_every = log_every
    self._pending: list[Metrics] = []
    self._step = start
    self._bar = tqdm(
      total=preset.train.num_steps,
      initial=start,
      unit="step",
      disable=log is None,
    )
    self.restart_clock()

  def restart_clock(self) -> None:
    """Leaves out of the steps' time what was done since they were read."""
    self._start = time.perf_counter()

  def add(self, metrics: Metrics) -> None:
    """Takes the metrics of the next step, which may be under way."""
    self._pending.append(metrics)
    if len(self._pending) == self._log_every:
      self.flush()

  def flush(self) -> None:
    """Waits for all steps, shows the last and writes them."""
    if not self._pending:
      return
    rows = jax.device_get(self._pending)
    seconds = (time.perf_counter() - self._start) / len(rows)
    for row in rows:
      self._step += 1
      if self._log is not None:
        self._log.write(
          step=self._step,
          loss=float(row.loss),
          seconds=seconds,
          gradient_norm=float(row.gradient_norm),
          busiest_expert=float(row.busiest),
        )
    self._pending.clear()
    self._bar.set_postfix_str(
      f"loss {rows[-1].loss:.4f}, {self._tokens / seconds:,.0f} tokens/s,"
      f" {self._flops / seconds / 1e12:.3g} TFLOP/s",
      refresh=False,
    )
    self._bar.update(len(rows))
    self.restart_clock()

  def validation(self, loss: float) -> None:
    """Writes the loss on the validation text."""
    if self._log is not None:
      self._log.write(step=self._step, validation_loss=loss)
      self._bar.write(f"step {self._step}: validation loss {loss:.4f}")
    self.restart_clock()

  def close(self) -> None:
    """Leaves the bar as it is."""
    self._bar.close()
    if self._log is not None:
      self._log.close()
