"""Files from outside, altered by chance: what reads them works, or says in one line what is wrong."""
