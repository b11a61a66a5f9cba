"""One self-contained HTML page that says what a study found.

In: `Results`, `Approach` or `DataAlone`. Out: figures and the page; nothing is measured
or fitted here.
"""

from nnft_ppl.report.approach import draw_approach as draw_approach
from nnft_ppl.report.approach import render_approach as render_approach
from nnft_ppl.report.approach import write_approach as write_approach
from nnft_ppl.report.comparison import Compared as Compared
from nnft_ppl.report.comparison import records as records
from nnft_ppl.report.comparison_page import comparison_headline as comparison_headline
from nnft_ppl.report.comparison_page import render_comparison as render_comparison
from nnft_ppl.report.data_alone import draw_data_alone as draw_data_alone
from nnft_ppl.report.data_alone import render_data_alone as render_data_alone
from nnft_ppl.report.data_alone import write_data_alone as write_data_alone
from nnft_ppl.report.headline import write_opening as write_opening
from nnft_ppl.report.of_data import DataResults as DataResults
from nnft_ppl.report.of_training import TrainingResults as TrainingResults
from nnft_ppl.report.overlays import draw_comparison as draw_comparison
from nnft_ppl.report.page import draw_figures as draw_figures
from nnft_ppl.report.page import render_report as render_report
from nnft_ppl.report.results import Approach as Approach
from nnft_ppl.report.results import DataAlone as DataAlone
from nnft_ppl.report.results import Results as Results
