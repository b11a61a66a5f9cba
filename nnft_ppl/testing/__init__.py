"""The conformance kit that every plugin runs, ours and third parties'.

from nnft_ppl import network
from nnft_ppl.testing import check_architecture

def test_contract():
    check_architecture(network("my-net", width=20, input_dim=2))
"""

from nnft_ppl.testing.contract import GROUPS as GROUPS
from nnft_ppl.testing.contract import STATISTICAL_GROUPS as STATISTICAL_GROUPS
from nnft_ppl.testing.contract import check_architecture as check_architecture
from nnft_ppl.testing.contract import check_groups as check_groups
from nnft_ppl.testing.contract import check_results as check_results
from nnft_ppl.testing.result import CheckResult as CheckResult
