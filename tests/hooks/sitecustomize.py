"""Fault injection: decoder processes do harm at films whose names say so.

Python imports it at the start of every process that has this folder on its path; only decoder processes heed it.

A film named `HARM-WHERE….mp4` does the harm when it is opened, or when its third sample is converted.
"""

import ctypes
import os
import sys
import time


def segfault():
    ctypes.string_at(0)


def abort():
    ctypes.CDLL(None).fputs(b"double free or corruption\n", ctypes.c_void_p.in_dll(ctypes.CDLL(None), "stderr"))
    os.abort()


def spin():
    while True:
        pass


def sleep():
    time.sleep(10**6)


def sleep_inside():
    ctypes.PyDLL(None).sleep(10**6)  # holds the interpreter's lock, as a library that never returns


def swallow():
    held = []
    while True:
        held.append(bytes(100 * 10**6))  # whose pages are not touched, which would take CPU


def swallow_at_once():
    bytearray(50 * 10**9)


def overrun():
    """As C code that does not look at what malloc gives."""
    malloc = ctypes.CDLL(None).malloc
    malloc.restype, malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    ctypes.memset(malloc(50 * 10**9), 1, 1)


def leave():
    os._exit(7)


HARMS = {
    harm.__name__: harm
    for harm in (segfault, abort, spin, sleep, sleep_inside, swallow, swallow_at_once, overrun, leave)
}


def install() -> None:
    from movie_tags.transforms.video import samples, segments

    open_video, to_rgb = samples.open_video, samples.to_rgb
    film = {"harm": None, "samples": 0}

    def opened(uri, access):
        harm, _, rest = os.path.basename(uri).partition("-")
        film.update(harm=HARMS.get(harm), samples=0)
        if film["harm"] and rest.startswith("opening"):
            film["harm"]()
        return open_video(uri, access)

    def converted(frame, pixel_aspect):
        film["samples"] += 1
        if film["harm"] and film["samples"] == 3:
            film["harm"]()
        return to_rgb(frame, pixel_aspect)

    samples.open_video = segments.open_video = opened
    samples.to_rgb = converted


if any("decoder_process import serve" in word for word in sys.orig_argv):
    install()
