"""A study: one TOML file in, correlators, couplings, checks and a report out."""

from nnft_ppl.study.directory import RunDirectory as RunDirectory
from nnft_ppl.study.run import StudyRun as StudyRun
from nnft_ppl.study.run import load_fit as load_fit
from nnft_ppl.study.run import rebuild_report as rebuild_report
from nnft_ppl.study.run import run_study as run_study
from nnft_ppl.study.side_by_side import compare_runs as compare_runs
from nnft_ppl.study.spec import Study as Study
from nnft_ppl.study.study_file import read_study as read_study
