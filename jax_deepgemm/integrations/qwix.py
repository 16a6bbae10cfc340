"""qwix: quantised arrays in and out, and a provider.

Needs `pip install "jax_deepgemm[qwix]"`. See docs/qwix.md.
"""

from jax_deepgemm.integrations.qwix_arrays import from_qarray as from_qarray
from jax_deepgemm.integrations.qwix_arrays import to_qarray as to_qarray
from jax_deepgemm.integrations.qwix_provider import Fp8Provider as Fp8Provider
