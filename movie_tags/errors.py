"""What a user can mend."""


class UserError(ValueError):
    """A mistake of a user's, or a thing that is not there; the message names it and says what to do."""


class UnreachableError(UserError):
    """A storage that cannot be reached now: nothing was wrong with what was asked for."""
