"""The oldest versions that pyproject.toml allows, as pip's constraints, on stdout.

`make test-lowest` installs them: a lower bound that does not work is no promise. Where
there is no bound, pip takes the newest that fits.
"""

import re
import sys
import tomllib
from itertools import chain
from pathlib import Path

text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
project = tomllib.loads(text)["project"]
extras = project["optional-dependencies"].values()
for requirement in sorted({*project["dependencies"], *chain(*extras)}):
    bound = re.match(r"([\w-]+)(?:\[.*\])?>=([\d.]+)", requirement)
    if bound is not None:
        sys.stdout.write(f"{bound[1]}=={bound[2]}\n")
