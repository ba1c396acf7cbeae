"""A number that says how many samples it came from, and what they were measured against."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Measured:
    """A measurement of samples against a reference; as text it always says of how many and against what.

    str() gives, for instance, "Fréchet distance 3.24 ± 0.11 (1,000 samples against 10,000 MNIST test images, classifier
    features)", where ± is twice the standard error.

    Attributes:
        name: of the measure.
        value: the number.
        se: its standard error; None where there is none.
        n: samples.
        n_reference: images (or points) of the reference.
        reference: what these are.
        features: what samples and reference were compared by.
    """

    name: str
    value: float
    se: float | None
    n: int
    n_reference: int
    reference: str
    features: str

    def __str__(self) -> str:
        spread = "" if self.se is None else f" ± {2 * self.se:.2g}"
        against = f"{self.n:,} samples against {self.n_reference:,} {self.reference}"
        return f"{self.name} {self.value:.3g}{spread} ({against}, {self.features})"
