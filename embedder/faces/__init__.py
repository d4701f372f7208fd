"""Faces in photographs: detect, measure, choose, align."""
