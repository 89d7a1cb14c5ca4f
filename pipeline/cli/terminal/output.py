"""What commands print: text as it is, whole where no person reads; and how a process ends whose output is refused."""

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

CLOSED_PIPE = 141  # as a shell reports a process that SIGPIPE ended
_UNBOUNDED = 1 << 16  # columns, where no person reads


def new_console(stderr: bool = False) -> "Console":
    """A console for plain text: square brackets are brackets, and only a terminal has a width, colors and bold."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError  # by default Rich would end the process itself

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else _UNBOUNDED
    return Plain(file=stream, width=width, markup=False, emoji=False, highlight=False)


def new_table(*header: str) -> "Table":
    """A table without lines, whose cells are folded where the terminal is too narrow, and never cut."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in header:
        table.add_column(name, overflow="fold")
    return table


def printable(text: str) -> str:
    r"""Text from outside without control characters, which a terminal would obey.

    >>> print(printable("a\x1b[31mb\n[c]"))
    a\x1b[31mb
    [c]
    """
    return "".join(one if one.isprintable() or one in "\n\t" else ascii(one)[1:-1] for one in text)


def print_error(*lines: str) -> None:
    """Lines on standard error; where that is refused too, there is nobody to tell."""
    with contextlib.suppress(OSError):
        for line in lines:
            print(f"recap: {printable(line)}", file=sys.stderr)
        sys.stderr.flush()


class StandardOutput(io.FileIO):
    """Standard output, which remembers that it was refused: what the error becomes on its way is another's choice."""

    def __init__(self) -> None:
        super().__init__(1, "w", closefd=False)
        self.refused: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.refused = error
            # Nor is the rest tried again when the interpreter ends, which would print a traceback.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.close(nowhere)
            raise

    def status(self) -> int:
        """The exit status of a process whose output was refused, which a line says; 0 if it was not."""
        if self.refused is None:
            return 0
        if isinstance(self.refused, BrokenPipeError):
            return CLOSED_PIPE
        print_error(
            f"standard output: {self.refused.strerror}; make room there, or send the output elsewhere"
        )
        return 1


def open_standard_output() -> StandardOutput:
    """Replace ``sys.stdout``. Characters that its encoding lacks are written as escapes, on standard error too."""
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
