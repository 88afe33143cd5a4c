"""Speed and memory, measured on real parts. `python -m benchmarks` prints one table; nothing here is a timed test."""
