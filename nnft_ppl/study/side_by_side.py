"""Several finished studies on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nnft_ppl._errors import SpecError
from nnft_ppl._files import replace
from nnft_ppl.report import (
    Compared,
    comparison_headline,
    draw_comparison,
    render_comparison,
)
from nnft_ppl.study.directory import Say, opened, silent
from nnft_ppl.study.finished import load_results


@dataclass(frozen=True, eq=False)
class Comparison:
    """Studies side by side.

    Attributes:
        report: The page.
        compared: Its tables.
    """

    report: Path
    compared: Compared

    @property
    def headline(self) -> str:
        """How many runs have an action that describes their network."""
        return comparison_headline(self.compared)


def compare_runs(
    paths: Sequence[str | Path], output: str | Path, *, say: Say = silent
) -> Comparison:
    """Write one page with the studies in `paths` side by side.

    Args:
        paths: Run directories, two or more; they stay as they are.
        output: The page, which is replaced.
        say: Told what is at work.

    Raises:
        SpecError: Fewer than two, or one twice; or no study, an unfinished one, or a
            file that is not what the study wrote.
        StorageError: A file cannot be written or read.
    """
    folders = [Path(path) for path in paths]
    if len(folders) < 2 or len({f.resolve() for f in folders}) < len(folders):
        raise SpecError(
            f"{[str(f) for f in folders]} are not two different run directories or "
            "more, which a comparison needs"
        )
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        names = [str(folder) for folder in folders]
    runs = {}
    for name, folder in zip(names, folders, strict=True):
        if not folder.is_dir():
            raise SpecError(f"{str(folder)!r} holds no study: it is no folder")
        with opened(folder, say) as directory:
            runs[name] = load_results(directory)
    say("figures and page")
    compared = Compared(runs)
    text = render_comparison(compared, draw_comparison(compared))
    replace(Path(output), text.encode())
    return Comparison(Path(output), compared)
