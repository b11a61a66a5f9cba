"""Running `nnft` in this process."""

import json

from click.testing import CliRunner, Result

from nnft_ppl.cli import main


def run(*arguments: object, code: int = 0) -> Result:
    """Run a command and require its exit code."""
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def document(*arguments: object, code: int = 0):
    """What a command prints on stdout with --json, and its events on stderr."""
    result = run(*arguments, "--json", code=code)
    return json.loads(result.stdout), list(map(json.loads, result.stderr.splitlines()))
