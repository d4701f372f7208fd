"""What came of a comparison, for people."""
