"""The group of commands, and what an error of ours looks like to the user."""

from typing import Any

import click

from nnft_ppl._errors import NnftError
from nnft_ppl._version import __version__
from nnft_ppl.cli.authoring import new_plugin
from nnft_ppl.cli.doctor import doctor
from nnft_ppl.cli.interruption import INTERRUPTED
from nnft_ppl.cli.pipeline import diagnose, fit
from nnft_ppl.cli.plugins import architectures, check
from nnft_ppl.cli.sampling import correlators, sample
from nnft_ppl.cli.studies import report, study
from nnft_ppl.cli.width import width

BAD_INPUT = 2


class Commands(click.Group):
    """A group whose commands report errors as one line on stderr, exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except (NnftError, OSError, MemoryError) as error:
            # Beside errors of ours what the machine refuses: a full disk, no memory.
            notes = getattr(error, "__notes__", [])
            said = str(error) or "out of memory"
            click.echo("; ".join([f"nnft: {said}", *notes]), err=True)
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt:
            click.echo("nnft: interrupted; nothing half-written is left", err=True)
            ctx.exit(INTERRUPTED)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the work, not of the alphabet."""
        return list(self.commands)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="nnft")
def main() -> None:
    """Probabilistic programming for neural-network field theory.

    Random networks in; correlators, couplings of the effective action and a report out.
    Exit codes: 0 good, 1 a check failed, 2 bad input, 130 interrupted.
    """


for _command in (
    study,
    report,
    architectures,
    sample,
    correlators,
    fit,
    diagnose,
    check,
    width,
    new_plugin,
    doctor,
):
    main.add_command(_command)
