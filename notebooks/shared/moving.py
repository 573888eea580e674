"""Pictures that move: controls above a picture, which is drawn again when a control is moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .folders import STATIC
from .tables import Page


def move(draw: Callable[..., Any], **controls: Any) -> None:
    """Show `draw(**values)` under a control for each value, and draw it again when a control is moved.

    A control is `(values, start)`, a slider over a list or range, or a text, a field to type in. The first picture is
    an output like any other, so that a page that does not run shows it. In tests the controls are left out.
    """
    from IPython.display import display

    values = {name: each if isinstance(each, str) else each[1] for name, each in controls.items()}
    if STATIC:
        display(draw(**values))  # type: ignore[no-untyped-call]
        return

    import ipywidgets

    def changed(change: dict[str, Any]) -> None:
        values[change["owner"].description] = change["new"]
        try:
            picture.update(draw(**values))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            picture.update(Page(f"<p>{text}</p>", text))

    rows = []
    for name, each in controls.items():
        layout = ipywidgets.Layout(width="80%")
        if isinstance(each, str):
            row = ipywidgets.Text(value=each, description=name, layout=layout)
        else:
            row = ipywidgets.SelectionSlider(options=list(each[0]), value=each[1], description=name, layout=layout)
        row.observe(changed, "value")
        rows.append(row)
    display(ipywidgets.VBox(rows))  # type: ignore[no-untyped-call]
    picture: Any = display(draw(**values), display_id=True)  # type: ignore[no-untyped-call]
