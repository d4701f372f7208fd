"""Face detectors, one module per library: each holds rows of data, and loads a row into a `Library`."""
