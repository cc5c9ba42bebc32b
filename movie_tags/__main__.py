"""The console command, also `python -m movie_tags`: what must be settled before any library is imported."""

import atexit
import contextlib
import os
import sys
import threading

from movie_tags.quiet import set_quiet


def run() -> None:
    """Run the command line and end the process with its exit status."""
    prepare_streams()
    if "--verbose" not in sys.argv:
        set_quiet()
        threading.excepthook = lambda _: None  # an interrupted runner's threads have nothing to tell a user
    try:
        from movie_tags.pipeline.commands import main

        status = main()
        sys.stdout.flush()
    except OSError as error:  # what is printed cannot be written, as to a full disk
        status = 1
        with contextlib.suppress(OSError):
            print(f"movie-tags: the output cannot be written: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:  # before a command could say what it means to it
        status = 1
        print("movie-tags: interrupted; nothing was done", file=sys.stderr)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # Beam's Flink runner ends its job server, a process of Java, in an exit handler.
    if sys.argv[1:2] in (["tag"], ["dataset"]):  # not after tensorflow-transform, which may crash there
        atexit._run_exitfuncs()
    # TensorFlow and Beam may crash while the interpreter takes them down; the status must not depend on that.
    os._exit(status)


def prepare_streams() -> None:
    """Have whatever is printed come out: a character that the terminal's encoding lacks as a replacement character."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by whoever started us
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    run()
