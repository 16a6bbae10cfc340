"""Mistakes in the MQA logits of FP4 vectors that the emulator must find."""

MQA_FP4_MUTATIONS = ()
