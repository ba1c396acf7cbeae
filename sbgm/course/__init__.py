"""The course: the exercises' checks, and the grading of students' notebooks.

Its modules are loaded when first used: a student's process, which runs here too, must not hold the checks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["checks", "grading"])
