"""Every code block and command in the documents runs, on a CPU."""

import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib

import jax
import numpy as np
import pytest

import train_sparse_attention
from benchmarks import provenance, results
from moe import arguments
from tests.docs import pages

# Pages about libraries that are not always there.
_NEEDS = {"flax.md": ["flax"], "qwix.md": ["flax", "qwix"]}
_LANGUAGES = {"python", "bash", "bash gpu", "bash fails", "text"}


def _commands(language):
  found = {}
  for page in pages.PAGES:
    for block in pages.blocks(page, language):
      for line in block.code.splitlines():
        for command in line.split("&&"):
          found[command.strip()] = None
  return list(found)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_python_blocks_run_one_after_the_other(page):
  for library in _NEEDS.get(page.name, ()):
    pytest.importorskip(library)
  namespace = {"__name__": "document"}
  for block in pages.blocks(page, "python"):
    # Tracebacks then show the page and its line.
    code = "\n" * (block.line - 1) + block.code
    exec(compile(code, str(page), "exec"), namespace)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_every_block_has_a_language_that_is_tested(page):
  fences = re.findall(r"^```(.+)$", page.read_text("utf-8"), re.MULTILINE)
  assert set(fences) <= _LANGUAGES


def test_the_readme_has_an_example():
  assert len(pages.blocks(pages.ROOT / "README.md", "python")) == 1


@pytest.fixture
def checkout(tmp_path):
  """Returns a copy of what the commands write to, and the weights they read."""
  for name in ("docs", "benchmarks"):
    shutil.copytree(pages.ROOT / name, tmp_path / name)
  shutil.copy(pages.ROOT / "README.md", tmp_path)
  for name in ("jax_deepgemm", "tests", "examples", "pyproject.toml"):
    (tmp_path / name).symlink_to(pages.ROOT / name)
  _write_weights(tmp_path / "model.safetensors")
  _write_results(tmp_path / "benchmarks" / "results" / "dense_fp8.json")
  for name in ("bf16", "fp8"):
    _write_losses(tmp_path / "runs" / name / "metrics.jsonl")
  return tmp_path


def _write_weights(path):
  from safetensors.numpy import save_file

  rng = np.random.default_rng(0)
  weight = rng.standard_normal((32, 128)).astype(np.float32)
  save_file({"attention.weight": weight, "norm": weight[0]}, path)


def _write_results(path):
  fields = provenance.collect("a method")
  results.write(path, fields, results.read(results.BASELINE)["rows"])


def _write_losses(path):
  path.parent.mkdir(parents=True)
  path.write_text('{"step": 1, "loss": 5.5}\n{"step": 2, "loss": 5.4}\n')


def _run(command, folder):
  environment = dict(os.environ)
  environment |= {"DG_JIT_CACHE_DIR": str(folder / "kernels")}
  # A script, unlike `-m`, does not look where it is run.
  environment |= {"PYTHONPATH": str(folder)}
  words = shlex.split(command)
  assert words[0] == "python", command
  return subprocess.run(
    [sys.executable, *words[1:]],
    cwd=folder,
    env=environment,
    capture_output=True,
    check=False,
    text=True,
  )


def _run_here(command, monkeypatch):
  """Runs a command in this process; another would import JAX first, 1.8 s."""
  _, *words = shlex.split(command)
  is_module = words[0] == "-m"
  words = words[is_module:]
  monkeypatch.setattr(sys, "argv", words)
  if is_module:
    monkeypatch.delitem(sys.modules, words[0], raising=False)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
  else:
    runpy.run_path(words[0], run_name="__main__")


@pytest.mark.parametrize("command", _commands("bash"))
def test_commands_run(command, checkout):
  if command.startswith("python -m pip install"):
    # `.ci/run` installs; a test may be without network.
    _check_extras(command)
  elif command.startswith("python -m pytest"):
    _check_pytest(command, checkout)
  elif command.startswith("python examples/train_moe.py"):
    # `tests/examples` trains; here the arguments must be right.
    arguments.parse(shlex.split(command)[2:])
  elif command.startswith("python examples/train_sparse_attention.py"):
    train_sparse_attention.parse(shlex.split(command)[2:])
  elif command.removesuffix(" --json") == "python -m jax_deepgemm":
    # `.ci/run` runs it, and with --json `tests/cli` does: 12 s each.
    pass
  elif command == "scripts/check":
    # Changes files; `.ci/run` runs it with --check.
    assert os.access(pages.ROOT / command, os.X_OK)
  else:
    if "tests.emulator" in command and shutil.which("g++") is None:
      pytest.skip("the emulator needs g++")
    if "plot" in command:
      pytest.importorskip("matplotlib", reason="draws with matplotlib")
    done = _run(command, checkout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", _commands("bash gpu"))
def test_commands_for_a_gpu_say_so_without_one(
  command, checkout, monkeypatch, capfd
):
  if command.startswith("python -m pytest"):
    _check_pytest(command, checkout)
    return
  if jax.default_backend() != "cpu":
    pytest.skip("would run the whole benchmark")
  monkeypatch.chdir(checkout)
  with pytest.raises(SystemExit) as stopped:
    _run_here(command, monkeypatch)
  assert stopped.value.code == 2
  assert "needs a Hopper GPU" in capfd.readouterr().err


@pytest.mark.parametrize(("command", "output"), pages.failures())
def test_commands_that_fail_print_what_the_page_shows(
  command, output, checkout
):
  if shutil.which("g++") is None:
    pytest.skip("the emulator needs g++")
  done = _run(command, checkout)
  assert done.returncode == 1, done.stderr
  assert _without_numbers(output) <= _without_numbers(done.stdout)


def _without_numbers(output):
  """Returns lines without what changes with every edit of a kernel."""
  place = re.compile(r" at [^ ]+\.cuh.*?(?= waits|$)", re.MULTILINE)
  number = re.compile(r"0x[0-9a-f]+|[0-9]+")
  return set(number.sub("#", place.sub("", output)).splitlines())


def _check_extras(command):
  with (pages.ROOT / "pyproject.toml").open("rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
  asked = re.search(r"\.\[(.*)\]", command).group(1).split(",")
  assert set(asked) <= set(extras)


def _check_pytest(command, folder):
  """Collects one file: the flags are right, and tests do not run tests."""
  narrowed = f"{command} --collect-only -q tests/docs/test_api_page.py"
  done = _run(narrowed, folder)
  # 5: `-m gpu` selects nothing there.
  assert done.returncode in (0, 5), done.stdout + done.stderr
