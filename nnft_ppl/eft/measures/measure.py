"""The protocol of a measure: a name and a region. One class is one measure.

In: a user's choice. Out: a frozen, hashable value that says which y a cutoff Λ lets in,
and how they are weighted. How the integral is done is `eft.integration.quadrature`'s.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import fields
from typing import ClassVar

import numpy as np

from nnft_ppl.eft.mesh.regions import Region, Setting


class Measure(ABC):
    """What y runs over at a cutoff Λ, ∫ dμ_Λ(y): a frozen dataclass derived from this.

    Two measures are equal, and hash alike, where their classes and fields do. The
    fields are numbers and words, or arrays where the class compares and hashes them, as
    `Empirical` does: a file holds name and fields, and reading it calls the class with
    them. The class must be known by then: one of your own is defined, or its module
    imported, before `nnft_ppl.load`.
    """

    name: ClassVar[str] = ""
    """What files call it: a word that no other measure has."""

    script: ClassVar[str | None] = None
    """The measure in a script that imports `nnft_ppl` as `nnft` and nothing else; where
    `None`, such a script reads it from a saved fit."""

    @abstractmethod
    def region(self, setting: Setting) -> Region:
        """Nodes, weights and how they depend on the cutoff, for all cutoffs at once.

        `box_region`, `ball_region` and `data_region` of `eft.mesh.regions` lay them.
        What a smaller cutoff lets in, a larger one does too; Λ = ∞ lets in everything.

        Raises:
            UnavailableError: The setting is one that it cannot be integrated in.
        """

    def integral(self, point: str) -> str:
        r"""What stands before an integrand, as LaTeX: `\int d\mu_\Lambda(y)`.

        Args:
            point: LaTeX of the integration point, such as `y`.
        """
        return rf"\int d\mu_\Lambda({point})"

    def to_json(self) -> str:
        """The form that files carry; numbers keep every digit.

        Raises:
            TypeError: A field is neither a number, nor a word, nor an array.
        """
        record = {"measure": self.name}
        for field in fields(self):  # type: ignore[arg-type]  # a dataclass, as asked
            record[field.name] = getattr(self, field.name)
        return json.dumps(record, default=np.ndarray.tolist)
