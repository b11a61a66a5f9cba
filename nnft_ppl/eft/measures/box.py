"""The box, the measure of the paper and the default."""

from dataclasses import dataclass

from nnft_ppl.eft.measures.measure import Measure
from nnft_ppl.eft.mesh.regions import Region, Setting, box_region


@dataclass(frozen=True)
class Box(Measure):
    """∫ dy over [−Λ, Λ]^d, for d ≤ 3. Source: arXiv:2008.08601 §3.2."""

    name = "box"
    script = "nnft.Box()"

    def integral(self, point: str) -> str:
        """LaTeX of ∫ dμ; see `Measure`."""
        return rf"\int_{{[-\Lambda,\Lambda]^d}} d^d{point}"

    def region(self, setting: Setting) -> Region:
        """The cutoff bounds the largest coordinate."""
        return box_region(setting)
