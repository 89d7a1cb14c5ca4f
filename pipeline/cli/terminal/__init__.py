"""What commands print: plain text, tables, progress and errors; and the arguments they refuse."""
