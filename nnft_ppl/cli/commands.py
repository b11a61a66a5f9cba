"""The group of commands, and what an error of ours looks like to the user."""

import json
import sys
import traceback
from dataclasses import dataclass
from typing import Any

import click

from nnft_ppl._errors import NnftError, one_line, shown
from nnft_ppl._version import __version__
from nnft_ppl.cli.authoring import new_plugin
from nnft_ppl.cli.doctor import doctor
from nnft_ppl.cli.environment import computing, print_in_any_locale, readable
from nnft_ppl.cli.export import export
from nnft_ppl.cli.interruption import INTERRUPTED
from nnft_ppl.cli.kept_programs import no_cache
from nnft_ppl.cli.options import plain, say
from nnft_ppl.cli.pipeline import diagnose, fit
from nnft_ppl.cli.plugins import architectures, check
from nnft_ppl.cli.posterior import posterior
from nnft_ppl.cli.sampling import correlators, sample
from nnft_ppl.cli.studies import report, study
from nnft_ppl.cli.width import width

BAD_INPUT = 2
BUG = 70
"""EX_SOFTWARE of sysexits.h."""
CLOSED_PIPE = 141
"""What a shell shows of a program that SIGPIPE ended."""

_OF_JAX = "-----"
"""A note that begins so is JAX's, on frames that are not shown here either."""


class Commands(click.Group):
    """A group whose commands report errors as one line on stderr, exit code 2."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run as a program."""
        print_in_any_locale()
        stdout = sys.stdout
        try:
            return super().main(*args, **extra)
        except SystemExit:
            # Click puts a stand-in for a stdout that is closed, and exits with 1.
            if sys.stdout is not stdout:
                raise SystemExit(CLOSED_PIPE) from None
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        refused = _Refused(as_json="--json" in ctx.args)
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            # Click's parser leaves out whose option lacks its value.
            if error.ctx is None and ctx.invoked_subcommand is not None:
                name = ctx.invoked_subcommand
                error.ctx = click.Context(
                    self.commands[name], info_name=name, parent=ctx
                )
            if not refused.as_json:
                raise  # for click, which adds how the command is used
            refused.tell(one_line(error.format_message()), BAD_INPUT)
            ctx.exit(BAD_INPUT)
        except (
            BrokenPipeError,
            click.ClickException,
            click.exceptions.Exit,
            click.Abort,
        ):
            raise  # for click
        except (NnftError, OSError, MemoryError) as error:
            # Beside errors of ours what the machine refuses: a full disk, no memory.
            said = _with_notes(error, str(error) or "out of memory")
            if ctx.invoked_subcommand is not None:
                said = _in_options(said, self.commands[ctx.invoked_subcommand])
            refused.tell(said, BAD_INPUT)
            ctx.exit(BAD_INPUT)
        except UnicodeEncodeError as error:
            refused.tell(
                f"{shown(error.object)} has letters that the locale's encoding "
                f"{error.encoding} lacks; set LC_ALL=C.UTF-8 or PYTHONUTF8=1",
                BAD_INPUT,
            )
            ctx.exit(BAD_INPUT)
        except KeyboardInterrupt:
            refused.tell("interrupted; nothing half-written is left", INTERRUPTED)
            ctx.exit(INTERRUPTED)
        except Exception as error:
            if _is_out_of_memory(error):
                said = f"out of memory: {error}{_elsewhere(error)}"
                refused.tell(_with_notes(error, said), BAD_INPUT)
                ctx.exit(BAD_INPUT)
            click.echo(traceback.format_exc(), err=True, nl=False)
            refused.tell(
                "this is a bug, in nnft_ppl, a plugin or what they build on; "
                "please report it with the lines above",
                BUG,
            )
            ctx.exit(BUG)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the work, not of the alphabet."""
        return list(self.commands)


@dataclass(frozen=True)
class _Refused:
    """Says on stderr why a command ends: a line, or with --json an object."""

    as_json: bool

    def tell(self, message: str, exit_code: int) -> None:
        """Print it."""
        message = readable(message)
        if self.as_json:
            event = {"event": "error", "message": message, "exit_code": exit_code}
            say(json.dumps(plain(event), sort_keys=True))
        else:
            say(f"nnft: {message}")


def _in_options(said: str, command: click.Command) -> str:
    """Arguments of functions, in backticks, as the options of the command they are."""
    for option in command.params:
        if isinstance(option, click.Option):
            said = said.replace(f"`{option.name}`", f"`{max(option.opts, key=len)}`")
    return said


def _with_notes(error: Exception, said: str) -> str:
    """What was refused, and what was noted on the way, in one line."""
    notes = getattr(error, "__notes__", [])
    ours = [note for note in notes if not note.startswith(_OF_JAX)]
    return one_line("; ".join([said, *ours]))


def _elsewhere(error: Exception) -> str:
    """What to do where another program has the memory of an accelerator."""
    import jax

    of_jax = isinstance(error, jax.errors.JaxRuntimeError)
    if not of_jax or jax.default_backend() == "cpu":
        return ""
    return "; another device is chosen by CUDA_VISIBLE_DEVICES"


def _is_out_of_memory(error: Exception) -> bool:
    """Whether the machine, not the program, is at fault."""
    from nnft_ppl.ensemble.out_of_memory import is_out_of_memory

    return is_out_of_memory(error)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
)
@click.version_option(__version__, prog_name="nnft")
def main() -> None:
    """Probabilistic programming for neural-network field theory.

    Random networks in; correlators, couplings of the effective action and a report out.
    Exit codes: 0 good, 1 a check failed, 2 bad input, 70 a bug, 130 interrupted, 141
    nobody reads the output.
    """


for _command in (
    study,
    report,
    architectures,
    sample,
    correlators,
    fit,
    diagnose,
    export,
    check,
    width,
    posterior,
    new_plugin,
    doctor,
):
    if _command not in (architectures, new_plugin) and _command.callback is not None:
        _command.callback = computing(_command.callback)
        _command.params.append(no_cache)
    main.add_command(_command)
