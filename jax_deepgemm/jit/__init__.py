"""Kernel source text to cubin: render, compile, cache. Knows no JAX."""

from jax_deepgemm.jit.errors import CompileError, CompilerNotFoundError
from jax_deepgemm.jit.library import KernelLibrary
from jax_deepgemm.jit.recipe import Recipe
from jax_deepgemm.jit.settings import JitSettings
from jax_deepgemm.jit.source import headers, headers_fingerprint, render_struct

__all__ = [
  "CompileError",
  "CompilerNotFoundError",
  "JitSettings",
  "KernelLibrary",
  "Recipe",
  "headers",
  "headers_fingerprint",
  "render_struct",
]
