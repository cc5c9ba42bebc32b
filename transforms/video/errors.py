"""Why a video cannot be processed."""

from __future__ import annotations


class VideoError(Exception):
    """A video that cannot be processed.

    Attributes:
        reason: what is wrong and what may help, in words for the user; the caller adds the video's name.
        retryable: whether trying again can help.
    """

    def __init__(self, reason: str, retryable: bool = False):
        super().__init__(reason)
        self.reason = reason
        self.retryable = retryable
