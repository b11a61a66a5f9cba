"""One self-contained HTML page that says what a study found.

In: `Results`. Out: figures and the page; nothing is measured or fitted here.
"""

from nnft_ppl.report.approach import draw_approach as draw_approach
from nnft_ppl.report.approach import render_approach as render_approach
from nnft_ppl.report.approach import write_approach as write_approach
from nnft_ppl.report.headline import write_opening as write_opening
from nnft_ppl.report.page import draw_figures as draw_figures
from nnft_ppl.report.page import render_report as render_report
from nnft_ppl.report.results import Approach as Approach
from nnft_ppl.report.results import Results as Results
