"""Image to vector, computed once and stored. Knows nothing of labels or heads."""

__version__ = "0.4.0"
