"""nnft_ppl: probabilistic programming for neural-network field theory.

Importing the package loads no plugin, configures nothing and imports no heavy library:
each public name is imported on first use (PEP 562), so that the command line is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from nnft_ppl._version import __version__ as __version__

if TYPE_CHECKING:
    from nnft_ppl import activations as activations
    from nnft_ppl import plots as plots
    from nnft_ppl import testing as testing
    from nnft_ppl._errors import FitError as FitError
    from nnft_ppl._errors import NnftError as NnftError
    from nnft_ppl._errors import PluginError as PluginError
    from nnft_ppl._errors import SpecError as SpecError
    from nnft_ppl._errors import StorageError as StorageError
    from nnft_ppl._errors import UnavailableError as UnavailableError
    from nnft_ppl._load import load as load
    from nnft_ppl._network import Network as Network
    from nnft_ppl.activations import Activation as Activation
    from nnft_ppl.adapters.equinox import (
        architecture_from_equinox as architecture_from_equinox,
    )
    from nnft_ppl.adapters.function import (
        architecture_from_function as architecture_from_function,
    )
    from nnft_ppl.adapters.nnx import architecture_from_nnx as architecture_from_nnx
    from nnft_ppl.architecture import Architecture as Architecture
    from nnft_ppl.architecture import HiddenLayers as HiddenLayers
    from nnft_ppl.architecture import Hyperparameters as Hyperparameters
    from nnft_ppl.architecture import Neuron as Neuron
    from nnft_ppl.architecture import Readout as Readout
    from nnft_ppl.bayes.comparison import PosteriorComparison as PosteriorComparison
    from nnft_ppl.bayes.evidence import EvidenceCurve as EvidenceCurve
    from nnft_ppl.bayes.evidence import evidence_by_width as evidence_by_width
    from nnft_ppl.bayes.four_methods import compare_posteriors as compare_posteriors
    from nnft_ppl.bayes.posterior import posterior as posterior
    from nnft_ppl.bayes.posterior_width import PosteriorWidth as PosteriorWidth
    from nnft_ppl.bayes.posterior_width import posterior_width as posterior_width
    from nnft_ppl.bayes.random_kernel import random_kernel as random_kernel
    from nnft_ppl.bayes.result import Posterior as Posterior
    from nnft_ppl.correlators.correlators import Correlators as Correlators
    from nnft_ppl.correlators.deep.recursion import PairCorrelators as PairCorrelators
    from nnft_ppl.correlators.deep.recursion import pair_recursion as pair_recursion
    from nnft_ppl.correlators.deep.recursion import (
        recursion_correlators as recursion_correlators,
    )
    from nnft_ppl.correlators.deep.recursion import recursion_error as recursion_error
    from nnft_ppl.correlators.deviation import mean_deviation as mean_deviation
    from nnft_ppl.correlators.drawn.from_draws import (
        correlators_from_draws as correlators_from_draws,
    )
    from nnft_ppl.correlators.neuron.exact import exact_correlators as exact_correlators
    from nnft_ppl.correlators.sampled.measure import (
        SamplingInterrupted as SamplingInterrupted,
    )
    from nnft_ppl.correlators.sampled.measure import (
        measure_correlators as measure_correlators,
    )
    from nnft_ppl.diagnostics.calibration import (
        simulation_based_calibration as simulation_based_calibration,
    )
    from nnft_ppl.diagnostics.checks import Check as Check
    from nnft_ppl.diagnostics.checks import diagnose as diagnose
    from nnft_ppl.diagnostics.comparison.actions import (
        compare_actions as compare_actions,
    )
    from nnft_ppl.diagnostics.comparison.evidence import (
        nested_evidence as nested_evidence,
    )
    from nnft_ppl.diagnostics.comparison.leave_out import (
        leave_tuple_out as leave_tuple_out,
    )
    from nnft_ppl.diagnostics.comparison.search import ActionSearch as ActionSearch
    from nnft_ppl.diagnostics.comparison.search import search_actions as search_actions
    from nnft_ppl.diagnostics.cutoffs import loo_by_cutoff as loo_by_cutoff
    from nnft_ppl.diagnostics.cutoffs import prior_sensitivity as prior_sensitivity
    from nnft_ppl.diagnostics.held_out import held_out as held_out
    from nnft_ppl.diagnostics.invariance import cutoff_invariance as cutoff_invariance
    from nnft_ppl.diagnostics.naturalness import naturalness as naturalness
    from nnft_ppl.diagnostics.symmetry import sign_symmetry as sign_symmetry
    from nnft_ppl.diagnostics.width.falloff import Falloff as Falloff
    from nnft_ppl.diagnostics.width.falloff import falloff as falloff
    from nnft_ppl.diagnostics.width.required_width import RequiredWidth as RequiredWidth
    from nnft_ppl.diagnostics.width.required_width import (
        required_width as required_width,
    )
    from nnft_ppl.eft.action import Action as Action
    from nnft_ppl.eft.feynman.diagram import Diagrams as Diagrams
    from nnft_ppl.eft.feynman.diagram import FeynmanDiagram as FeynmanDiagram
    from nnft_ppl.eft.feynman.listing import diagrams as diagrams
    from nnft_ppl.eft.flow.beta import beta_functions as beta_functions
    from nnft_ppl.eft.flow.relevance import relevance as relevance
    from nnft_ppl.eft.integrals import first_order as first_order
    from nnft_ppl.eft.measures import Ball as Ball
    from nnft_ppl.eft.measures import Box as Box
    from nnft_ppl.eft.measures import Empirical as Empirical
    from nnft_ppl.eft.measures import GaussianCutoff as GaussianCutoff
    from nnft_ppl.eft.measures import Measure as Measure
    from nnft_ppl.eft.operators import operators as operators
    from nnft_ppl.ensemble.measured_kernel import measured_kernel as measured_kernel
    from nnft_ppl.ensemble.progress import Progress as Progress
    from nnft_ppl.ensemble.sample import Ensemble as Ensemble
    from nnft_ppl.ensemble.sample import sample_ensemble as sample_ensemble
    from nnft_ppl.export.as_csv import to_csv as to_csv
    from nnft_ppl.export.as_gvar import to_gvar as to_gvar
    from nnft_ppl.export.as_json import to_json as to_json
    from nnft_ppl.export.as_latex import to_latex as to_latex
    from nnft_ppl.export.as_pyerrors import to_pyerrors as to_pyerrors
    from nnft_ppl.hookspecs import hookimpl as hookimpl
    from nnft_ppl.inference.couplings.fit import fit_couplings as fit_couplings
    from nnft_ppl.inference.couplings.result import CouplingFit as CouplingFit
    from nnft_ppl.inference.couplings.target_error import (
        coupling_error as coupling_error,
    )
    from nnft_ppl.inference.law.fit import fit_running as fit_running
    from nnft_ppl.inference.law.result import RunningFit as RunningFit
    from nnft_ppl.inference.outputs.fit import (
        fit_function_space as fit_function_space,
    )
    from nnft_ppl.inference.outputs.result import (
        FunctionSpaceFit as FunctionSpaceFit,
    )
    from nnft_ppl.inference.priors import Prior as Prior
    from nnft_ppl.operator import Operator as Operator
    from nnft_ppl.operator import ProductWeight as ProductWeight
    from nnft_ppl.option import Option as Option
    from nnft_ppl.registry import architectures as architectures
    from nnft_ppl.registry import network as network
    from nnft_ppl.training.by_width import training_by_width as training_by_width
    from nnft_ppl.training.measured_tangent_kernel import (
        MeasuredTangentKernel as MeasuredTangentKernel,
    )
    from nnft_ppl.training.measured_tangent_kernel import (
        measure_tangent_kernel as measure_tangent_kernel,
    )
    from nnft_ppl.training.result import TrainedEnsemble as TrainedEnsemble
    from nnft_ppl.training.train import train_ensemble as train_ensemble
    from nnft_ppl.training.verdict import TrainingByWidth as TrainingByWidth
    from nnft_ppl.training.width_law import TangentKernelLaw as TangentKernelLaw
    from nnft_ppl.training.width_law import (
        tangent_kernel_by_width as tangent_kernel_by_width,
    )

_HOME = {
    "FitError": "_errors",
    "NnftError": "_errors",
    "PluginError": "_errors",
    "SpecError": "_errors",
    "StorageError": "_errors",
    "UnavailableError": "_errors",
    "Activation": "activations",
    "Architecture": "architecture",
    "HiddenLayers": "architecture",
    "Hyperparameters": "architecture",
    "Neuron": "architecture",
    "Option": "architecture",
    "Readout": "architecture",
    "Operator": "operator",
    "hookimpl": "hookspecs",
    "Network": "_network",
    "architectures": "registry",
    "network": "registry",
    "operators": "eft.operators",
    "measured_kernel": "ensemble.measured_kernel",
    "Progress": "ensemble.progress",
    "Ensemble": "ensemble.sample",
    "sample_ensemble": "ensemble.sample",
    "Posterior": "bayes.result",
    "PosteriorComparison": "bayes.comparison",
    "compare_posteriors": "bayes.four_methods",
    "EvidenceCurve": "bayes.evidence",
    "evidence_by_width": "bayes.evidence",
    "posterior": "bayes.posterior",
    "PosteriorWidth": "bayes.posterior_width",
    "posterior_width": "bayes.posterior_width",
    "MeasuredTangentKernel": "training.measured_tangent_kernel",
    "measure_tangent_kernel": "training.measured_tangent_kernel",
    "TangentKernelLaw": "training.width_law",
    "tangent_kernel_by_width": "training.width_law",
    "TrainedEnsemble": "training.result",
    "train_ensemble": "training.train",
    "TrainingByWidth": "training.verdict",
    "training_by_width": "training.by_width",
    "random_kernel": "bayes.random_kernel",
    "Correlators": "correlators.correlators",
    "PairCorrelators": "correlators.deep.recursion",
    "pair_recursion": "correlators.deep.recursion",
    "recursion_correlators": "correlators.deep.recursion",
    "recursion_error": "correlators.deep.recursion",
    "architecture_from_function": "adapters.function",
    "architecture_from_nnx": "adapters.nnx",
    "architecture_from_equinox": "adapters.equinox",
    "mean_deviation": "correlators.deviation",
    "measure_correlators": "correlators.sampled.measure",
    "correlators_from_draws": "correlators.drawn.from_draws",
    "exact_correlators": "correlators.neuron.exact",
    "SamplingInterrupted": "correlators.sampled.measure",
    "Prior": "inference.priors",
    "CouplingFit": "inference.couplings.result",
    "fit_couplings": "inference.couplings.fit",
    "coupling_error": "inference.couplings.target_error",
    "Check": "diagnostics.checks",
    "diagnose": "diagnostics.checks",
    "compare_actions": "diagnostics.comparison.actions",
    "loo_by_cutoff": "diagnostics.cutoffs",
    "prior_sensitivity": "diagnostics.cutoffs",
    "load": "_load",
    "to_csv": "export.as_csv",
    "to_gvar": "export.as_gvar",
    "to_json": "export.as_json",
    "to_latex": "export.as_latex",
    "to_pyerrors": "export.as_pyerrors",
    "Action": "eft.action",
    "Diagrams": "eft.feynman.diagram",
    "FeynmanDiagram": "eft.feynman.diagram",
    "diagrams": "eft.feynman.listing",
    "ProductWeight": "operator",
    "Box": "eft.measures",
    "Ball": "eft.measures",
    "GaussianCutoff": "eft.measures",
    "Empirical": "eft.measures",
    "Measure": "eft.measures",
    "beta_functions": "eft.flow.beta",
    "relevance": "eft.flow.relevance",
    "first_order": "eft.integrals",
    "fit_running": "inference.law.fit",
    "RunningFit": "inference.law.result",
    "fit_function_space": "inference.outputs.fit",
    "FunctionSpaceFit": "inference.outputs.result",
    "leave_tuple_out": "diagnostics.comparison.leave_out",
    "held_out": "diagnostics.held_out",
    "naturalness": "diagnostics.naturalness",
    "search_actions": "diagnostics.comparison.search",
    "ActionSearch": "diagnostics.comparison.search",
    "nested_evidence": "diagnostics.comparison.evidence",
    "cutoff_invariance": "diagnostics.invariance",
    "sign_symmetry": "diagnostics.symmetry",
    "Falloff": "diagnostics.width.falloff",
    "falloff": "diagnostics.width.falloff",
    "RequiredWidth": "diagnostics.width.required_width",
    "required_width": "diagnostics.width.required_width",
    "simulation_based_calibration": "diagnostics.calibration",
}
"""Public name -> the module it lives in."""

_SUBPACKAGES = ("activations", "plots", "testing")

__all__ = sorted([*_HOME, *_SUBPACKAGES, "__version__"])


def __getattr__(name: str) -> Any:  # the type is whatever the name stands for
    """Import a public name on first use."""
    if name in _SUBPACKAGES:
        return import_module(f"nnft_ppl.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'nnft_ppl' has no attribute {name!r}")
    value = getattr(import_module(f"nnft_ppl.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names."""
    return __all__
