"""FP8 matrix multiplication with fine-grained scaling for JAX."""

from jax_deepgemm.alignment import align as align
from jax_deepgemm.alignment import ceil_div as ceil_div
from jax_deepgemm.alignment import get_tma_aligned_size as get_tma_aligned_size
from jax_deepgemm.bf16_gemm import bf16_gemm_nn as bf16_gemm_nn
from jax_deepgemm.bf16_gemm import bf16_gemm_nt as bf16_gemm_nt
from jax_deepgemm.bf16_gemm import bf16_gemm_tn as bf16_gemm_tn
from jax_deepgemm.bf16_gemm import bf16_gemm_tt as bf16_gemm_tt
from jax_deepgemm.cublaslt_gemm import cublaslt_gemm_nn as cublaslt_gemm_nn
from jax_deepgemm.cublaslt_gemm import cublaslt_gemm_nt as cublaslt_gemm_nt
from jax_deepgemm.cublaslt_gemm import cublaslt_gemm_tn as cublaslt_gemm_tn
from jax_deepgemm.cublaslt_gemm import cublaslt_gemm_tt as cublaslt_gemm_tt
from jax_deepgemm.dot_general import fp8_dot_general as fp8_dot_general
from jax_deepgemm.einsum import einsum as einsum
from jax_deepgemm.expert_parallel import DispatchedTokens as DispatchedTokens
from jax_deepgemm.expert_parallel import ep_combine as ep_combine
from jax_deepgemm.expert_parallel import ep_dispatch as ep_dispatch
from jax_deepgemm.fp4 import cast_back_from_fp4 as cast_back_from_fp4
from jax_deepgemm.fp4 import per_token_cast_to_fp4 as per_token_cast_to_fp4
from jax_deepgemm.fp4 import transpose_packed_fp4 as transpose_packed_fp4
from jax_deepgemm.fp8_einsum import fp8_einsum as fp8_einsum
from jax_deepgemm.fp8_fp4_gemm import fp8_fp4_gemm_nn as fp8_fp4_gemm_nn
from jax_deepgemm.fp8_fp4_gemm import fp8_fp4_gemm_nt as fp8_fp4_gemm_nt
from jax_deepgemm.fp8_fp4_gemm import fp8_fp4_gemm_tn as fp8_fp4_gemm_tn
from jax_deepgemm.fp8_fp4_gemm import fp8_fp4_gemm_tt as fp8_fp4_gemm_tt
from jax_deepgemm.fp8_fp4_mqa_logits import (
  fp8_fp4_mqa_logits as fp8_fp4_mqa_logits,
)
from jax_deepgemm.fp8_fp4_paged_mqa_logits import (
  fp8_fp4_paged_mqa_logits as fp8_fp4_paged_mqa_logits,
)
from jax_deepgemm.fused_casts import gather_cast_to_fp8 as gather_cast_to_fp8
from jax_deepgemm.fused_casts import (
  rms_norm_cast_to_fp8 as rms_norm_cast_to_fp8,
)
from jax_deepgemm.fused_casts import swiglu_cast_to_fp8 as swiglu_cast_to_fp8
from jax_deepgemm.fused_casts import (
  swiglu_gradient_cast_to_fp8 as swiglu_gradient_cast_to_fp8,
)
from jax_deepgemm.gemm import fp8_gemm_nn as fp8_gemm_nn
from jax_deepgemm.gemm import fp8_gemm_nt as fp8_gemm_nt
from jax_deepgemm.gemm import fp8_gemm_tn as fp8_gemm_tn
from jax_deepgemm.gemm import fp8_gemm_tt as fp8_gemm_tt
from jax_deepgemm.grouped_bf16_gemm import (
  m_grouped_bf16_gemm_nn_contiguous as m_grouped_bf16_gemm_nn_contiguous,
)
from jax_deepgemm.grouped_bf16_gemm import (
  m_grouped_bf16_gemm_nt_contiguous as m_grouped_bf16_gemm_nt_contiguous,
)
from jax_deepgemm.grouped_bf16_gemm import (
  m_grouped_bf16_gemm_nt_masked as m_grouped_bf16_gemm_nt_masked,
)
from jax_deepgemm.grouped_bf16_gemm import (
  m_grouped_bf16_gemm_nt_ragged as m_grouped_bf16_gemm_nt_ragged,
)
from jax_deepgemm.grouped_fp4_gemm import (
  m_grouped_fp8_fp4_gemm_nn_contiguous as m_grouped_fp8_fp4_gemm_nn_contiguous,
)
from jax_deepgemm.grouped_fp4_gemm import (
  m_grouped_fp8_fp4_gemm_nt_contiguous as m_grouped_fp8_fp4_gemm_nt_contiguous,
)
from jax_deepgemm.grouped_fp4_gemm import (
  m_grouped_fp8_fp4_gemm_nt_masked as m_grouped_fp8_fp4_gemm_nt_masked,
)
from jax_deepgemm.grouped_gemm import (
  m_grouped_fp8_gemm_nn_contiguous as m_grouped_fp8_gemm_nn_contiguous,
)
from jax_deepgemm.grouped_gemm import (
  m_grouped_fp8_gemm_nt_contiguous as m_grouped_fp8_gemm_nt_contiguous,
)
from jax_deepgemm.grouped_gemm import (
  m_grouped_fp8_gemm_nt_masked as m_grouped_fp8_gemm_nt_masked,
)
from jax_deepgemm.grouped_gemm import (
  m_grouped_fp8_gemm_nt_ragged as m_grouped_fp8_gemm_nt_ragged,
)
from jax_deepgemm.hyperconnection import (
  tf32_hc_prenorm_gemm as tf32_hc_prenorm_gemm,
)
from jax_deepgemm.k_grouped_gemm import (
  k_grouped_bf16_gemm_nt_contiguous as k_grouped_bf16_gemm_nt_contiguous,
)
from jax_deepgemm.k_grouped_gemm import (
  k_grouped_bf16_gemm_tn_contiguous as k_grouped_bf16_gemm_tn_contiguous,
)
from jax_deepgemm.k_grouped_gemm import (
  k_grouped_fp8_gemm_nt_contiguous as k_grouped_fp8_gemm_nt_contiguous,
)
from jax_deepgemm.k_grouped_gemm import (
  k_grouped_fp8_gemm_tn_contiguous as k_grouped_fp8_gemm_tn_contiguous,
)
from jax_deepgemm.k_grouped_layout import (
  get_k_grouped_mn_major_tma_aligned_packed_ue8m0_tensor as get_k_grouped_mn_major_tma_aligned_packed_ue8m0_tensor,  # noqa: E501
)
from jax_deepgemm.layout import (
  get_mn_major_tma_aligned_packed_ue8m0_tensor as get_mn_major_tma_aligned_packed_ue8m0_tensor,  # noqa: E501
)
from jax_deepgemm.layout import (
  get_mn_major_tma_aligned_tensor as get_mn_major_tma_aligned_tensor,
)
from jax_deepgemm.layout import (
  transform_sf_into_required_layout as transform_sf_into_required_layout,
)
from jax_deepgemm.mega_moe import bf16_mega_moe as bf16_mega_moe
from jax_deepgemm.mega_moe import fp8_mega_moe as fp8_mega_moe
from jax_deepgemm.mega_moe_buffer import SymmBuffer as SymmBuffer
from jax_deepgemm.mega_moe_buffer import (
  get_symm_buffer_for_mega_moe as get_symm_buffer_for_mega_moe,
)
from jax_deepgemm.mega_moe_fp4 import fp8_fp4_mega_moe as fp8_fp4_mega_moe
from jax_deepgemm.mega_moe_transform import (
  transform_weights_for_mega_moe as transform_weights_for_mega_moe,
)
from jax_deepgemm.moe_mlp import moe_mlp as moe_mlp
from jax_deepgemm.mqa_logits import fp8_mqa_logits as fp8_mqa_logits
from jax_deepgemm.mqa_topk import mqa_topk as mqa_topk
from jax_deepgemm.options import Options as Options
from jax_deepgemm.options import options as options
from jax_deepgemm.paged_mqa_logits import (
  fp8_paged_mqa_logits as fp8_paged_mqa_logits,
)
from jax_deepgemm.paged_mqa_metadata import (
  get_paged_mqa_logits_metadata as get_paged_mqa_logits_metadata,
)
from jax_deepgemm.paged_mqa_topk import paged_mqa_topk as paged_mqa_topk
from jax_deepgemm.primitives import launcher as _launcher
from jax_deepgemm.primitives.launch import (
  DISABLE_JAX_EXPORT_CHECKS as DISABLE_JAX_EXPORT_CHECKS,
)
from jax_deepgemm.quantize import k_grouped_cast_to_fp8 as k_grouped_cast_to_fp8
from jax_deepgemm.quantize import per_block_cast_to_fp8 as per_block_cast_to_fp8
from jax_deepgemm.quantize import (
  per_channel_cast_to_fp8 as per_channel_cast_to_fp8,
)
from jax_deepgemm.quantize import (
  per_channel_transposed_cast_to_fp8 as per_channel_transposed_cast_to_fp8,
)
from jax_deepgemm.quantize import (
  per_custom_dims_cast_to_fp8 as per_custom_dims_cast_to_fp8,
)
from jax_deepgemm.quantize import (
  per_token_and_channel_cast_to_fp8 as per_token_and_channel_cast_to_fp8,
)
from jax_deepgemm.quantize import per_token_cast_to_fp8 as per_token_cast_to_fp8
from jax_deepgemm.ragged_dot import fp8_ragged_dot as fp8_ragged_dot
from jax_deepgemm.scaled_array import ScaledArray as ScaledArray
from jax_deepgemm.setters import (
  get_mk_alignment_for_contiguous_layout as get_mk_alignment_for_contiguous_layout,  # noqa: E501
)
from jax_deepgemm.setters import get_num_sms as get_num_sms
from jax_deepgemm.setters import get_pdl as get_pdl
from jax_deepgemm.setters import get_tc_util as get_tc_util
from jax_deepgemm.setters import (
  get_theoretical_mk_alignment_for_contiguous_layout as get_theoretical_mk_alignment_for_contiguous_layout,  # noqa: E501
)
from jax_deepgemm.setters import (
  set_block_size_multiple_of as set_block_size_multiple_of,
)
from jax_deepgemm.setters import (
  set_ignore_compile_dims as set_ignore_compile_dims,
)
from jax_deepgemm.setters import (
  set_mk_alignment_for_contiguous_layout as set_mk_alignment_for_contiguous_layout,  # noqa: E501
)
from jax_deepgemm.setters import set_num_sms as set_num_sms
from jax_deepgemm.setters import set_pdl as set_pdl
from jax_deepgemm.setters import set_tc_util as set_tc_util
from jax_deepgemm.skip_head_mid import (
  fp8_gemm_nt_skip_head_mid as fp8_gemm_nt_skip_head_mid,
)
from jax_deepgemm.ue8m0 import ceil_to_ue8m0 as ceil_to_ue8m0
from jax_deepgemm.ue8m0 import pack_ue8m0_to_int as pack_ue8m0_to_int
from jax_deepgemm.ue8m0 import unpack_ue8m0_from_int as unpack_ue8m0_from_int

_launcher.register()
