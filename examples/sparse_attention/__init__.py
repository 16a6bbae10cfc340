"""Parts of examples/train_sparse_attention.py; docs/sparse_attention.md."""
