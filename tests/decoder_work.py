"""Work for decoder processes, which import it from here."""

import sys


def count(access, number):
    yield from range(number)


def modules(access):
    yield from list(sys.modules)
