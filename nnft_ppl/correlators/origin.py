"""Where the numbers of correlators come from, and what is then left to say."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Origin:
    """The origin of correlators; as text its label.

    Attributes:
        label: In a word or two.
        function: The public function that gives such correlators.
        is_sampled: Whether there are draws.
        error: What their error is made of; empty where there is none but rounding.
        advice: What would make it smaller.
        this: What has these correlators, in a sentence about it.
        the: The same, where it is known.
        members: What is averaged over.
    """

    label: str
    function: str
    is_sampled: bool
    error: str
    advice: str
    this: str = "this network"
    the: str = "the network"
    members: str = "networks"

    def __str__(self) -> str:
        """The label."""
        return self.label


MEASURED = Origin(
    label="measured",
    function="measure_correlators",
    is_sampled=True,
    error="sampling noise",
    advice="measure more networks",
)
DRAWN = Origin(
    label="measured",
    function="correlators_from_draws",
    is_sampled=True,
    error="sampling noise",
    advice="take more draws",
    this="these draws",
    the="the draws",
    members="draws",
)
EXACT = Origin(
    label="exact",
    function="exact_correlators",
    is_sampled=False,
    error="",
    advice="",
)
FIRST_ORDER = Origin(
    label="first-order 1/width",
    function="recursion_correlators",
    is_sampled=False,
    error="left out by the expansion in 1/width",
    advice="sample networks",
)

UNSAMPLED = {"exact": EXACT, "recursion": FIRST_ORDER}
"""`Correlators.estimator` -> origin, where no networks are drawn."""

DRAWS = "draws"
"""`Correlators.estimator` of those that come from draws of elsewhere."""


def origin_of(estimator: str) -> Origin:
    """The origin of correlators by their estimator."""
    return DRAWN if estimator == DRAWS else UNSAMPLED.get(estimator, MEASURED)
