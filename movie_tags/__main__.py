"""The console command, also `python -m movie_tags`: what must be settled before any library is imported."""

import atexit
import os
import sys
import threading

QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "GRPC_VERBOSITY": "NONE",
    "ABSL_MIN_LOG_LEVEL": "3",
    "PYTHONWARNINGS": "ignore",
    "OPENCV_LOG_LEVEL": "OFF",
}
"""Start-up remarks of TensorFlow, gRPC and Beam mean nothing to a user; workers inherit this."""


def run() -> None:
    """Run the command line and end the process with its exit status."""
    if "--verbose" not in sys.argv:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        threading.excepthook = lambda _: None  # an interrupted runner's threads have nothing to tell a user
    from movie_tags.pipeline.commands import main

    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Beam's Flink runner ends its job server, a process of Java, in an exit handler.
    if sys.argv[1:2] in (["tag"], ["dataset"]):  # not after tensorflow-transform, which may crash there
        atexit._run_exitfuncs()
    # TensorFlow and Beam may crash while the interpreter takes them down; the status must not depend on that.
    os._exit(status)


if __name__ == "__main__":
    run()
