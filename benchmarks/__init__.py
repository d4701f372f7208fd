"""What is measured and how. Each module runs alone: `python -m benchmarks.NAME`."""
