"""Integration measures ∫ dμ_Λ(y): where the fields of an operator may sit."""

from nnft_ppl.eft.measures.ball import Ball as Ball
from nnft_ppl.eft.measures.box import Box as Box
from nnft_ppl.eft.measures.empirical import Empirical as Empirical
from nnft_ppl.eft.measures.gaussian import GaussianCutoff as GaussianCutoff
from nnft_ppl.eft.measures.measure import Measure as Measure
from nnft_ppl.eft.measures.names import MEASURES as MEASURES
from nnft_ppl.eft.measures.names import check_measure as check_measure
from nnft_ppl.eft.measures.names import (
    check_measure_is_saved as check_measure_is_saved,
)
from nnft_ppl.eft.measures.names import measure_from_json as measure_from_json
from nnft_ppl.eft.measures.names import measure_named as measure_named
