"""Run: what a report says beside its figures, so that others can do the same again."""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

from data.labels import AgeGroups
from heads.tasks import Task

LIBRARIES = ("numpy", "tensorflow", "onnxruntime")  # whose versions may move a figure


def machine() -> dict[str, str]:
    """Versions and cores of this machine, without its name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "faceprobe": version("faceprobe"),
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "machine": f"{cores} cores, {platform.machine()}, {platform.system()}",
    }


@dataclass(frozen=True)
class Run:
    """What was asked for, and on what it ran.

    Attributes
    ----------
    tasks : of the comparison.
    age_groups : by which ages are told apart.
    backbones : of `heads.table.backbone_facts`.
    seed : of the split and the heads.
    date : of the report, YYYY-MM-DD.
    paths : the command line, the manifest, the store and what else names places on this machine, by what it is; empty
        in a bundle, which goes to others.
    machine : versions and cores.
    """

    tasks: Sequence[Task]
    age_groups: AgeGroups
    backbones: Mapping[str, Mapping[str, Any]]
    seed: int
    date: str
    paths: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=machine)

    def is_seeded(self, backbone: str) -> bool:
        """Whether a backbone's weights, or those of one in a concatenation, were drawn at random."""
        return backbone in self.backbones and self.backbones[backbone]["seeded"]
