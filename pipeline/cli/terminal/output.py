"""What commands print: text as it is, whole where no person reads; and how a process ends whose output is refused."""

import contextlib
import io
import os
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CLOSED_PIPE = 141  # a shell's exit status for a process ended by SIGPIPE
_UNBOUNDED = 1 << 16  # columns, if the output is not a terminal
_NARROW = 60  # columns


def new_console(stderr: bool = False) -> "Console":
    """A console for plain text: no markup; width, colors and bold only on a terminal."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # by default Rich would end the process itself

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBOUNDED
    return Plain(file=stream, width=width, markup=False, emoji=False, highlight=False)


def new_table(*header: str) -> "Table":
    """A borderless table whose cells wrap on a narrow terminal and are never truncated."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    return table


def wrap_field(label: str, text: str, width: int) -> list[str]:
    """Lines of a label and its text, which wraps between words.

    On a narrow terminal the text begins under its label.

    >>> wrap_field("Why:", "one two three", 20)
    ['Why:', '  one two three']
    """
    if len(label) + 1 + len(text) <= width and width >= _NARROW:
        return [f"{label:<9} {text}"]
    indent = " " * (10 if width >= _NARROW else 2)
    lines = textwrap.wrap(text, max(width - len(indent), 20), break_long_words=False, break_on_hyphens=False)
    if width < _NARROW:
        return [label, *(f"{indent}{line}" for line in lines)]
    return [f"{label:<9} {lines[0]}", *(f"{indent}{line}" for line in lines[1:])] if lines else [label]


def printable(text: str) -> str:
    r"""Escape control characters, which a terminal would interpret.

    >>> print(printable("a\x1b[31mb\n[c]"))
    a\x1b[31mb
    [c]
    """
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def print_error(*lines: str) -> None:
    """Print lines on standard error; ignore a failure of that, which cannot be reported."""
    with contextlib.suppress(OSError):
        for line in lines:
            print(f"recap: {printable(line)}", file=sys.stderr)
        sys.stderr.flush()


class StandardOutput(io.FileIO):
    """Standard output that records its first write error, since libraries may swallow the exception."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self.refused: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.refused = error
            # Discard the rest: another write at the interpreter's exit would print a traceback.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
            raise

    def status(self) -> int:
        """The exit status after a write error, which is printed; 0 if there was none."""
        if self.refused is None:
            return 0
        if isinstance(self.refused, BrokenPipeError):
            return CLOSED_PIPE
        print_error(
            f"standard output: {self.refused.strerror}; free space there, or redirect the output elsewhere"
        )
        return 1


def open_standard_output() -> StandardOutput:
    """Replace ``sys.stdout``. Characters missing from the encoding are escaped, also on standard error."""
    if (
        sys.stdout is None or sys.stderr is None
    ):  # closed by the caller, and free for the next file that is opened
        sys.exit("recap: standard output or standard error is closed; open both")
    output = StandardOutput()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(output),
        sys.stdout.encoding,
        errors="backslashreplace",
        line_buffering=output.isatty(),
    )
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    return output
