"""The commands, a file for each family.

Importing this package imports every file in it, and each file registers its commands in the table of
`engine/command.py`. So to add a family, add a file here.
"""

from importlib import import_module
from pkgutil import iter_modules

from .command_help import enter_help

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
enter_help()
