"""What a nursery wraps is taken out again."""


def first_of(group: BaseException) -> BaseException:
    """Return the first exception in *group* that is no group itself."""
    first = group
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    return first
