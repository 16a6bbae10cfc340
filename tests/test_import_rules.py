"""Who may import whom, and where PTX may be written."""

import ast
import pathlib

import pytest

import jax_deepgemm

ROOT = pathlib.Path(jax_deepgemm.__file__).parent
MODULES = sorted(ROOT.rglob("*.py"))

# What each folder may import of the package, besides itself.
ALLOWED = {
  "heuristics": [],
  "jit": [],
  "ffi": [],
  "symmetric_memory": ["heuristics", "ffi"],
  "primitives": [
    "heuristics",
    "jit",
    "ffi",
    "options",
    "environment",
    "scaled_array",
    "alignment",
    "block_scale",
    "layout",
    "ue8m0",
  ],
}
# Below the primitives: read by them, so they must not lead back to them.
BASE = ["alignment", "environment", "options", "scaled_array"]


def imports_of(path: pathlib.Path) -> set[str]:
  """Returns the dotted names that a file imports."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names.update(alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f"{path} imports relatively"
      names.update(f"{node.module}.{alias.name}" for alias in node.names)
  return names


def parts_of_ours(path: pathlib.Path) -> set[str]:
  """Returns the first component of each import from the package itself."""
  ours = [n.split(".") for n in imports_of(path)]
  return {n[1] for n in ours if n[0] == "jax_deepgemm" and len(n) > 1}


def in_folder(name: str) -> list[pathlib.Path]:
  return [p for p in MODULES if p.relative_to(ROOT).parts[0] == name]


def short(path: pathlib.Path) -> str:
  return str(path.relative_to(ROOT))


@pytest.mark.parametrize("folder", ALLOWED)
def test_a_folder_imports_only_what_it_may(folder):
  assert in_folder(folder)
  for path in in_folder(folder):
    assert parts_of_ours(path) <= {folder, *ALLOWED[folder]}, path


@pytest.mark.parametrize("module", BASE)
def test_the_base_does_not_import_what_is_above(module):
  above = {"primitives", "gemm", "quantize", "heuristics"}
  assert not parts_of_ours(ROOT / f"{module}.py") & above


@pytest.mark.parametrize("folder", ["heuristics", "jit"])
def test_what_decides_knows_neither_jax_nor_the_environment(folder):
  for path in in_folder(folder):
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & {"jax", "jaxlib"}, path
    assert "os.environ" not in path.read_text(), path


def test_the_environment_is_read_in_one_place():
  readers = [
    short(p)
    for p in MODULES
    if "os.environ" in p.read_text() or "getenv" in p.read_text()
  ]
  assert readers == ["environment.py"]


def test_private_parts_of_jax_are_used_where_there_is_no_public_one_only():
  users = {
    short(p) for p in MODULES if any("jax._src" in n for n in imports_of(p))
  }
  assert users == {
    "explicit_sharding.py",
    "primitives/gemm_partitioning.py",
    "symmetric_memory/key_value_store.py",
  }


def test_ptx_is_written_in_one_folder():
  sources = list((ROOT / "cuda").rglob("*.cuh"))
  assert sources
  for path in sources:
    if path.parent.name != "ptx":
      words = path.read_text().replace("(", " ").split()
      assert not {"asm", "__asm__"} & set(words), path


def test_device_code_includes_device_code_only():
  for path in (ROOT / "cuda").rglob("*.cuh"):
    for line in path.read_text().splitlines():
      if line.startswith("#include"):
        name = line.split()[1].strip('"<>')
        assert (ROOT / "cuda" / name).exists(), f"{path}: {line}"


def test_the_example_knows_of_the_package_where_it_must_only():
  example = ROOT.parent / "examples"
  users = {
    path.name
    for path in example.rglob("*.py")
    if any(name.startswith("jax_deepgemm") for name in imports_of(path))
  }
  assert users == {
    *("expert_memory.py", "experts.py", "precision.py", "indexer.py")
  }


def test_nothing_else_imports_the_integrations():
  for path in MODULES:
    if "integrations" not in path.relative_to(ROOT).parts:
      assert "integrations" not in parts_of_ours(path), path


@pytest.mark.parametrize("library", ["flax", "qwix", "maxtext"])
def test_libraries_of_integrations_are_required_by_name(library):
  # `require` says what to install; a plain import would not.
  for path in MODULES:
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert library not in roots, path


def test_no_module_is_named_after_nothing():
  vague = {"utils", "helpers", "misc", "common"}
  assert not vague & {p.stem for p in MODULES}
