"""Vectors and labels to predictions: heads, metrics, comparison, bundles, scoring."""
