"""Benchmarks of speed, latency and accuracy, and their stored results. Each is one command of ``realtime-mer bench``.
"""
