"""Pictures to predictions, offline: inputs in order, rows as they are made, an output that survives kills."""
