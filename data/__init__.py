"""Images and labels: manifests, dataset readers, splits. Knows nothing of models."""
