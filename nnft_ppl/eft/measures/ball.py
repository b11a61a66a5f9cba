"""The ball, the hard cutoff that is possible in any dimension."""

from dataclasses import dataclass

from nnft_ppl.eft.measures.measure import Measure
from nnft_ppl.eft.mesh.regions import Region, Setting, ball_region


@dataclass(frozen=True)
class Ball(Measure):
    """∫ dy over |y| ≤ Λ (Euclidean norm).

    Any dimension where the kernel has the declared symmetry "rotation": the integral
    is then reduced to the span of the inputs and the radius. Without it, d ≤ 3.
    """

    name = "ball"
    script = "nnft.Ball()"

    def integral(self, point: str) -> str:
        """LaTeX of ∫ dμ; see `Measure`."""
        return rf"\int_{{|{point}|\le\Lambda}} d^d{point}"

    def region(self, setting: Setting) -> Region:
        """The cutoff bounds |y|."""
        return ball_region(setting)
