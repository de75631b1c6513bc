"""Times for people."""


def clock(seconds: float) -> str:
    """Return a time, `4:05`, or `1:04:05` from an hour on.

    >>> clock(245), clock(3845)
    ('4:05', '1:04:05')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
