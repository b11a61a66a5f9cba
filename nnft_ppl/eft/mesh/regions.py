"""Regions: the meshes that measures are made of, and how an integral uses them.

In: a network, inputs and finite cutoffs. Out: a mesh with panels at the inputs, at the
cutoffs and at the kernel's own lengths, and how far to refine it. A measure picks one
of `box_region`, `ball_region` and `data_region`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from nnft_ppl._errors import SpecError, UnavailableError
from nnft_ppl._network import Network
from nnft_ppl._typing import Matrix, Points
from nnft_ppl.eft.mesh.faces import Belongs, CubeFaces, Ends, Part, Rung, Sphere
from nnft_ppl.eft.mesh.marks import radial_marks
from nnft_ppl.eft.mesh.rays import Cloud, Directions, Mesh, Radii, RayMesh
from nnft_ppl.eft.mesh.spheres import ReducedSphere, SobolSphere, off_span, span_basis

DIRECT_DIMENSIONS = 3
"""Up to here all of space is covered by panels."""

_RUNGS = {
    1: tuple(Rung(16, bisections) for bisections in range(12)),
    2: (*(Rung(n) for n in (6, 9, 13)), *(Rung(13, b) for b in (1, 2, 3, 4))),
    3: (*(Rung(n) for n in (4, 6, 8, 11)), Rung(11, 1)),
}
_SOBOL_LEVELS = 8


@dataclass(frozen=True, eq=False)
class Setting:
    """What a measure lays its region for.

    Args:
        network: Its propagator is used to find the kernel's lengths.
        x: Distinct inputs (point, dim), where the propagator may have kinks.
        sources: All points whose propagators are wanted, (source, dim).
        radii: Finite cutoffs, sorted, distinct; may be empty.
        measure: What messages call the measure.
    """

    network: Network
    x: Points
    sources: Points
    radii: Radii
    measure: str

    @property
    def dim(self) -> int:
        """Dimension of the inputs and of y."""
        return int(self.x.shape[1])


@dataclass(frozen=True)
class Profile:
    """A soft cutoff: nodes at radius r have the weight p(r/Λ).

    Args:
        weight: p(t), array to array, with p(0) = 1: at Λ = ∞ it is all of space.
        slope: −t p′(t), the derivative of p(r/Λ) with log Λ.
        steps: Values t > 0 between which p(t) t^{d−1} is smooth and about a polynomial;
            beyond the largest it is nothing beside the rest.
    """

    weight: Callable[[np.ndarray], np.ndarray]
    slope: Callable[[np.ndarray], np.ndarray]
    steps: Radii


@dataclass(frozen=True)
class Region:
    """A mesh and how it is used.

    Args:
        mesh: Where the nodes come from.
        tolerance: Refinement stops at this change beside the largest entry.
        max_nodes: Nodes that one level may have.
        block: Nodes of one kernel call.
        profile: The weight that is the cutoff; `None` where the cutoff is an edge.
        reduced: The directions, if they stand for others through rotation symmetry.
    """

    mesh: Mesh
    tolerance: float
    max_nodes: int
    block: int
    profile: Profile | None = None
    reduced: ReducedSphere | None = None


def box_region(setting: Setting, part: Belongs | None = None) -> Region:
    """Rays through [−Λ, Λ]^d, or through part of it; Λ bounds the largest |y_a|.

    Args:
        setting: What it is laid for.
        part: Which directions belong, (direction, dim) -> (direction,) booleans; all
            when `None`. It may end where a coordinate is 0, as panels do; elsewhere the
            integral converges slowly.

    Raises:
        UnavailableError: More than three dimensions.
    """
    dim = setting.dim
    if dim > DIRECT_DIMENSIONS:
        raise UnavailableError(
            f"the measure {setting.measure} is integrated in up to {DIRECT_DIMENSIONS} "
            f"dimensions and {setting.network!r} has input_dim {dim}; use the measure "
            "Ball(), GaussianCutoff() or Empirical(points)"
        )
    norms = np.abs(setting.x).max(axis=1)
    marks, lengths = radial_marks(
        setting.network, setting.x, norms, setting.radii, np.eye(dim)
    )
    whole = Ends(_RUNGS[1]) if dim == 1 else _faces(setting.x, lengths, _RUNGS[dim])
    directions = whole if part is None else Part(whole, part)
    return _ray_region(setting, marks, [directions], dim)


def ball_region(setting: Setting, profile: Profile | None = None) -> Region:
    """Rays through |y| ≤ Λ, or through all of space with a profile of r = |y|.

    Beyond three dimensions, which takes a kernel with the symmetry "rotation", their
    directions are reduced to the span of the inputs, or sampled.

    Args:
        setting: What it is laid for.
        profile: A soft cutoff in place of the edge.

    Raises:
        UnavailableError: More than three dimensions, and not that symmetry.
    """
    x, dim, network = setting.x, setting.dim, setting.network
    is_direct = dim <= DIRECT_DIMENSIONS
    if is_direct:
        axes, steps = np.eye(dim), np.ones(1)
    elif "rotation" in network.architecture.symmetries:
        axes = span_basis(np.concatenate([x, setting.sources]))
        steps = np.array([1.0, 1 - 2 / dim])  # in many dimensions r^{d−1} is all near Λ
    else:
        raise UnavailableError(
            f"the measure {setting.measure} in {dim} dimensions needs a kernel with "
            f"the symmetry 'rotation', which architecture {network.name!r} does not "
            "declare; use the measure Empirical(points), or declare the symmetry if "
            "the kernel has it"
        )
    if profile is not None:
        steps = profile.steps
    scales = np.unique(np.multiply.outer(setting.radii, steps))
    marks, lengths = radial_marks(network, x, np.linalg.norm(x, axis=1), scales, axes)
    if is_direct:
        panels = _sphere(x, lengths, _RUNGS[dim])
        return _ray_region(setting, marks, [panels], dim, profile)
    rules = _reduced(x, lengths, axes)
    return _ray_region(setting, marks, rules, min(dim, len(axes) + 1), profile)


def data_region(setting: Setting, points: Points) -> Region:
    """The mean over points (point, dim); Λ bounds their largest coordinate.

    Raises:
        SpecError: The points are of another dimension than the inputs.
    """
    if points.shape[1] != setting.dim:
        raise SpecError(
            f"the measure {setting.measure} does not fit inputs of dimension "
            f"{setting.dim}; give data points of that dimension"
        )
    return Region(Cloud(points, setting.radii), 0.0, 0, 1 << 12)


def _ray_region(
    setting: Setting,
    marks: Radii,
    rules: Sequence[Directions],
    span: int,
    profile: Profile | None = None,
) -> Region:
    """Rays in the directions of the first rule that is not too large, or the last.

    Args:
        setting: What it is laid for.
        marks: Radii that are to be panel edges.
        rules: Directions.
        span: Dimensions that are left to panels.
        profile: See `Region`.
    """
    dim = setting.dim
    edges = setting.radii if profile is None else setting.radii[:0]
    max_nodes = {1: 1 << 17, 2: 1 << 20}.get(span, 6_000_000)
    for directions in rules:
        mesh = RayMesh(dim, edges, marks, directions)
        if mesh.num_nodes(1, 0) <= max_nodes:
            break
    return Region(
        mesh,
        1e-3 if mesh.replicates > 1 else {1: 1e-10, 2: 1e-8}.get(span, 1e-5),
        max_nodes,
        1 << 11 if dim == 1 else 1 << 14 if dim <= DIRECT_DIMENSIONS else 1 << 12,
        profile,
        directions if isinstance(directions, ReducedSphere) else None,
    )


def _sphere(x: Points, lengths: Radii, rungs: tuple[Rung, ...]) -> Ends | Sphere:
    """The unit sphere by panels."""
    return Ends(rungs) if x.shape[1] == 1 else Sphere(_faces(x, lengths, rungs))


def _reduced(x: Points, lengths: Radii, basis: Matrix) -> list[Directions]:
    """Rules for the unit sphere in many dimensions, the better one first."""
    span, sampled = len(basis), SobolSphere(basis, _SOBOL_LEVELS)
    if span > DIRECT_DIMENSIONS or span == x.shape[1]:
        return [sampled]
    inner = _sphere(x @ basis.T, lengths, _RUNGS[min(3, span + 1)])
    return [ReducedSphere(basis, inner, off_span(basis)), sampled]


def _faces(x: Points, lengths: Radii, rungs: tuple[Rung, ...]) -> CubeFaces:
    """Panels with corners in the directions of the inputs."""
    away = np.abs(x).max(axis=1) > 0
    kinks = x[away]
    return CubeFaces(kinks, lengths[away] / np.abs(kinks).max(axis=1), rungs)
