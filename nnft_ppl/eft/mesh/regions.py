"""The mesh of each measure: which norm the cutoff bounds and where the marks are.

In: a network, inputs, a measure and its finite cutoffs. Out: a mesh with panels at the
inputs, at the cutoffs and at the kernel's own lengths, and how far to refine it.
"""

from dataclasses import dataclass

import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.eft.measures import Box, Empirical, GaussianCutoff, Measure
from nnft_ppl.eft.mesh.faces import CubeFaces, Ends, Rung, Sphere
from nnft_ppl.eft.mesh.lengths import kernel_lengths
from nnft_ppl.eft.mesh.rays import Cloud, Directions, Radii, RayMesh
from nnft_ppl.eft.mesh.spheres import ReducedSphere, SobolSphere, off_span, span_basis

DIRECT_DIMENSIONS = 3
"""Up to here all of space is covered by panels."""

_RUNGS = {
    1: tuple(Rung(16, bisections) for bisections in range(12)),
    2: (*(Rung(n) for n in (6, 9, 13)), *(Rung(13, b) for b in (1, 2, 3, 4))),
    3: (*(Rung(n) for n in (4, 6, 8, 11)), Rung(11, 1)),
}
_SOBOL_LEVELS = 8
_SAME = 1e-12  # relative distance below which two marks are one
_GAUSSIAN_STEPS = (-6.0, -3.0, 0.0, 3.0, 6.0, 9.0, 12.5)  # e^{−12.5²/2} < 1e-33


@dataclass(frozen=True)
class Region:
    """A mesh and how it is used.

    Args:
        mesh: Where the nodes come from.
        tolerance: Refinement stops at this change beside the largest entry.
        max_nodes: Nodes that one level may have.
        block: Nodes of one kernel call.
        soft: Whether the cutoff is a weight instead of an edge.
        reduced: Whether the directions stand for others through rotation symmetry.
    """

    mesh: RayMesh | Cloud
    tolerance: float
    max_nodes: int
    block: int
    soft: bool = False
    reduced: ReducedSphere | None = None


def region(
    network: Network, x: Points, sources: Points, measure: Measure, radii: Radii
) -> Region:
    """The mesh for ∫ dμ_Λ(y) at all finite cutoffs.

    Args:
        network: Its propagator is used to find the kernel's lengths.
        x: Distinct inputs (point, dim), where the propagator may have kinks.
        sources: All points whose propagators are wanted, (source, dim).
        measure: The measure.
        radii: Finite cutoffs, sorted, distinct; may be empty.

    Raises:
        SpecError: The data set is of another dimension than the inputs.
        UnavailableError: The dimension is too high for the measure.
    """
    dim = x.shape[1]
    if isinstance(measure, Empirical):
        if measure.points.shape[1] != dim:
            raise SpecError(
                f"the measure {measure!r} does not fit inputs of dimension {dim}; give "
                "data points of that dimension"
            )
        return Region(Cloud(measure.points, radii), 0.0, 0, 1 << 12)
    _refuse_high_dimension(network, measure)
    soft = isinstance(measure, GaussianCutoff)
    norms = np.linalg.norm(x, axis=1)
    if isinstance(measure, Box):
        norms = np.abs(x).max(axis=1)
    scales = np.unique(np.multiply.outer(radii, _scales(dim, soft)))
    basis = span_basis(np.concatenate([x, sources]))
    axes = np.eye(dim) if dim <= DIRECT_DIMENSIONS else basis
    fixed = _distinct_marks(norms, scales)
    lengths = kernel_lengths(network, x, axes, fixed[-1])
    marks, shells = _marks(fixed, norms, lengths), radii[:0] if soft else radii
    span = min(dim, len(basis) + 1) if dim > DIRECT_DIMENSIONS else dim
    max_nodes = {1: 1 << 17, 2: 1 << 20}.get(span, 6_000_000)
    directions, reduced = _directions(x, lengths[:-1], basis, measure)
    mesh = RayMesh(dim, shells, marks, directions)
    if reduced is not None and mesh.num_nodes(1, 0) > max_nodes:
        directions, reduced = SobolSphere(basis, _SOBOL_LEVELS), None
        mesh = RayMesh(dim, shells, marks, directions)
    sampled = isinstance(directions, SobolSphere)
    return Region(
        mesh,
        1e-3 if sampled else {1: 1e-10, 2: 1e-8}.get(span, 1e-5),
        max_nodes,
        1 << 11 if dim == 1 else 1 << 14 if dim <= DIRECT_DIMENSIONS else 1 << 12,
        soft,
        reduced,
    )


def _scales(dim: int, soft: bool) -> Radii:
    """Radii, in units of Λ, between which the radial weight is smooth.

    In many dimensions r^{d−1} is all near Λ, r^{d−1} e^{−r²/2Λ²} all near √(d − 1) Λ.
    """
    if soft:
        steps = np.array([*_GAUSSIAN_STEPS, 1.0]) + np.sqrt(dim - 1)
        return np.asarray(steps[steps > 0])
    return np.ones(1) if dim <= DIRECT_DIMENSIONS else np.array([1.0, 1 - 2 / dim])


def _refuse_high_dimension(network: Network, measure: Measure) -> None:
    """Raise `UnavailableError` where a measure cannot be integrated."""
    dim = network.hyperparameters.input_dim
    if dim <= DIRECT_DIMENSIONS:
        return
    if isinstance(measure, Box):
        raise UnavailableError(
            f"the box is integrated in up to {DIRECT_DIMENSIONS} dimensions and "
            f"{network!r} has input_dim {dim}; use the measure Ball(), "
            "GaussianCutoff() or Empirical(points)"
        )
    if "rotation" not in network.architecture.symmetries:
        raise UnavailableError(
            f"the measure {measure!r} in {dim} dimensions needs a kernel with the "
            f"symmetry 'rotation', which architecture {network.name!r} does not "
            "declare; use the measure Empirical(points), or declare the symmetry if "
            "the kernel has it"
        )


def _directions(
    x: Points, lengths: Radii, basis: Matrix, measure: Measure
) -> tuple[Directions, ReducedSphere | None]:
    """The rule for u, and the same if it rests on rotation symmetry."""
    dim, span = x.shape[1], len(basis)
    if dim <= DIRECT_DIMENSIONS:
        if dim == 1:
            return Ends(_RUNGS[1]), None
        faces = _faces(x, lengths, _RUNGS[dim])
        return (faces if isinstance(measure, Box) else Sphere(faces)), None
    if span > DIRECT_DIMENSIONS or span == dim:
        return SobolSphere(basis, _SOBOL_LEVELS), None
    rungs = _RUNGS[min(3, span + 1)]
    projected = x @ basis.T
    inner = Ends(rungs) if span == 1 else Sphere(_faces(projected, lengths, rungs))
    reduced = ReducedSphere(basis, inner, off_span(basis))
    return reduced, reduced


def _faces(x: Points, lengths: Radii, rungs: tuple[Rung, ...]) -> CubeFaces:
    """Panels with corners in the directions of the inputs."""
    away = np.abs(x).max(axis=1) > 0
    kinks = x[away]
    return CubeFaces(kinks, lengths[away] / np.abs(kinks).max(axis=1), rungs)


def _distinct_marks(norms: Radii, scales: Radii) -> Radii:
    """0, the cutoffs' marks and the norms; norms that differ by rounding are one."""
    same = np.abs(norms[:, None] - scales) <= _SAME * norms[:, None]
    others = np.unique(norms[~same.any(axis=1)])
    others = others[np.diff(others, prepend=-1.0) > _SAME * others]
    fixed = np.unique(np.concatenate([[0.0], others, scales]))
    return fixed if len(fixed) > 1 else np.arange(2.0)


def _marks(fixed: Radii, norms: Radii, lengths: Radii) -> Radii:
    """Radii of the inputs, and those at the kernel's length from them and from 0."""
    found: list[float] = []
    for centre, length in zip(np.append(norms, 0.0), lengths, strict=True):
        # Where the marks are as close as that already, they do.
        gaps = np.abs(fixed - centre)
        gap = gaps[gaps > _SAME * centre].min()
        if length < gap / 4:
            found += [centre + length, centre - length]
    seeds = np.array(found)
    seeds = seeds[(seeds > 0) & (seeds < fixed[-1])]
    return np.concatenate([fixed[1:], seeds])
