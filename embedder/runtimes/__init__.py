"""What executes a graph. Each module offers one class with `embed(faces) -> (n, ...)`."""
