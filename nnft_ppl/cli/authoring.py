"""`nnft new-plugin`: where a plugin of one's own begins."""

import shlex
from pathlib import Path

import click

from nnft_ppl.cli.options import as_json, emit


@click.command()
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    show_default="the current folder",
    help="Folder to make the folder NAME in.",
)
@as_json
def new_plugin(name: str, directory: Path, as_json: bool) -> None:
    """Write a new plugin package that supplies the architecture NAME.

    It installs, works and passes its own tests as it is: one hidden layer, for you to
    change into your network. NAME is of lower-case letters, digits and hyphens, such as
    my-net.
    """
    from nnft_ppl.new_plugin import plugin_names, write_plugin

    names = plugin_names(name)
    folder = write_plugin(names, directory)
    commands = [
        f"cd {shlex.quote(str(folder))}",
        'pip install -e ".[dev]"',
        f"nnft check {names.name}",
        "pytest",
    ]
    source = folder / "src" / names.module / "__init__.py"
    text = "\n".join(
        [
            f"Wrote {folder}, the package {names.distribution}. Next:",
            *(f"  {command}" for command in commands),
            f"Then make the network yours: {source}",
        ]
    )
    document = {
        **vars(names),
        "directory": folder,
        "files": sorted(
            path.relative_to(folder).as_posix()
            for path in folder.rglob("*")
            if path.is_file()
        ),
        "next": commands,
    }
    emit(document, text, as_json=as_json)
