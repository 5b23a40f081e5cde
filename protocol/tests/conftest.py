"""How Hypothesis runs here: no deadlines, as a busy machine is no bug; `--hypothesis-profile=thorough` for a long look."""

from hypothesis import settings

settings.register_profile("core", deadline=None, max_examples=60, stateful_step_count=40)
settings.register_profile("thorough", deadline=None, max_examples=1000, stateful_step_count=80)
settings.load_profile("core")
