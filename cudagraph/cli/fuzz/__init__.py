"""The fuzzer: random pipelines under random live edits, compared with a build from scratch and with NumPy."""
