"""Tables for notebooks."""

from html import escape

__all__ = ["html"]


def html(title, rows):
    """A table as HTML: rows of text, each as long as the others."""
    cells = ("".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows)
    return (f"<table><caption>{escape(title)}</caption>"
            + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>")
