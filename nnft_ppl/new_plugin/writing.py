"""The files of a new plugin package, all of them or none.

In: names and a folder. Out: the package's folder. Every file of `template/` is rendered
with the names; its `.jinja` ending is dropped, and the folder `module` gets the name of
the module.
"""

import os
import shutil
from pathlib import Path

import jinja2

from nnft_ppl._errors import SpecError
from nnft_ppl._version import __version__
from nnft_ppl.new_plugin.names import PluginNames

_TEMPLATE = Path(__file__).parent / "template"
_ENDING = ".jinja"


def write_plugin(names: PluginNames, folder: Path) -> Path:
    """Write the package into `folder / names.name`, which must be empty or absent.

    Returns:
        The folder of the package.

    Raises:
        SpecError: `folder` is no folder, the package's folder is not empty, or the
            system refuses to write there. Nothing is left then.
    """
    if not folder.is_dir():
        raise SpecError(f"`{folder}` is no folder; make it, or give another")
    target = folder / names.name
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise SpecError(f"`{target}` is no folder; remove it, or choose another place")
    if target.is_dir() and any(target.iterdir()):
        raise SpecError(
            f"`{target}` is not empty, and nothing of it is overwritten; choose "
            "another name or place, or remove it"
        )
    # Beside the target, so that the last step is one rename on one disk.
    unfinished = folder / f".{names.name}.{os.getpid()}.tmp"
    try:
        for path, text in _rendered(names).items():
            file = unfinished / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        if target.exists():
            target.rmdir()  # it is empty; not every system renames over a folder
        unfinished.rename(target)
    except OSError as error:
        raise SpecError(
            f"cannot write `{target}`: {error.strerror or error}; choose another place"
        ) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _rendered(names: PluginNames) -> dict[Path, str]:
    """Path in the package -> text, of every file."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE),
        autoescape=False,  # Python and TOML; the names are checked
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    return {
        _place(template, names): environment.get_template(template).render(
            name=names.name,
            module=names.module,
            distribution=names.distribution,
            nnft_ppl_version=__version__,
        )
        for template in environment.list_templates(extensions=[_ENDING[1:]])
    }


def _place(template: str, names: PluginNames) -> Path:
    """Where the file of a template stands in the package."""
    path = template.removesuffix(_ENDING).replace("/module/", f"/{names.module}/")
    return Path("." + path if path == "gitignore" else path)
