"""Benchmarks: each prints its figure beside the bare floor measured in the same run."""
