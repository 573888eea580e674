"""The commands, one file for each family.

Importing this package imports every file in it, and each file enters its commands into the table of
`engine/command.py`. A new family is a new file here, and nothing else.
"""

from importlib import import_module
from pkgutil import iter_modules

from .command_info import enter_help

for _module in iter_modules(__path__):
    import_module(f"{__name__}.{_module.name}")
enter_help()
