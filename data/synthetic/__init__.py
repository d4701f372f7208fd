"""Faces drawn from numbers, with known labels: for the demo, the tests and benchmarks, where no photographs are."""

from data.synthetic.faces import draw_face, draw_faces

__all__ = ["draw_face", "draw_faces"]
