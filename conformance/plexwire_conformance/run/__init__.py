"""One run: cases on trial, their findings and verdicts, and what the run measures meanwhile."""
