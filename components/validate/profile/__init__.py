"""One pass over the log's files: a mergeable profile, file faults, sampled rows."""
