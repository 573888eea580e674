"""Cuts Python files into their definitions, as the tables in the stages' READMEs name them.

Names are qualified. `Reader` alone means the lines of the class outside its methods, and `<module>` all lines outside
functions and classes. So every line of a file belongs to exactly one name, and every change has a name.
"""

from __future__ import annotations

import ast

from stages.desk.manifest import first_line, functions

MODULE = "<module>"


def definitions(source: str) -> dict[str, str]:
    """Cut a file into its definitions; return qualified name -> text.

    >>> definitions("import os\\n\\nclass A:\\n    x = 1\\n\\n    def f(self):\\n        pass\\n")
    {'<module>': 'import os', 'A': 'class A:\\n    x = 1', 'A.f': '    def f(self):\\n        pass'}
    """
    lines = source.splitlines()
    owner = [MODULE] * len(lines)
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    written = dict(functions(source))
    for name, node in [*((each.name, each) for each in classes), *functions(source)]:
        for number in range(first_line(node) - 1, node.end_lineno or 0):
            owner[number] = name
    texts: dict[str, list[str]] = {}
    for name, line in zip(owner, lines, strict=True):
        if line.strip() or name in written:  # empty lines between definitions belong to none
            texts.setdefault(name, []).append(line)
    return {name: "\n".join(text) for name, text in texts.items()}
