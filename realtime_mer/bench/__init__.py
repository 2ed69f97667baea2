"""Benchmarks of speed, latency and accuracy, and their stored results. Each is a command of ``realtime-mer bench``."""
