#!/usr/bin/env python
"""Beam's worker pool for task managers that share one machine.

    python deploy/flink/worker_pool.py serve PORT

Beam's own pool (`apache_beam.runners.worker.worker_pool_main`, or a Beam container with `--worker_pool`) is meant to
stand beside one task manager. Two task managers that share it give their workers the same names, and when one of them
stops "1-1" the pool stops the other's. Here a worker ends when the task manager that asked for it hangs up, which
Beam's workers do by themselves. It also listens on loopback alone, and starts its workers as Beam's containers do, with
the pipeline's options and with their log sent to the task manager.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import uuid
from collections.abc import Sequence

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer, kill_process_gracefully
from apache_beam.utils import thread_pool_executor

HOST = "127.0.0.1"


class WorkerPool(BeamFnExternalWorkerPoolServicer):
    """Starts a process for each worker asked for; each ends when its task manager hangs up."""

    def __init__(self):
        super().__init__(use_process=True, container_executable=os.path.abspath(__file__))

    def StartWorker(self, request: beam_fn_api_pb2.StartWorkerRequest, context) -> beam_fn_api_pb2.StartWorkerResponse:
        response = super().StartWorker(request, context)
        # Kept under a name of the pool's own, for the end of the pool.
        process = self._worker_processes.pop(request.worker_id, None)
        self._worker_processes = {key: kept for key, kept in self._worker_processes.items() if kept.poll() is None}
        if process is not None:
            self._worker_processes[uuid.uuid4().hex] = process
        return response

    def StopWorker(self, request: beam_fn_api_pb2.StopWorkerRequest, context) -> beam_fn_api_pb2.StopWorkerResponse:
        return beam_fn_api_pb2.StopWorkerResponse()

    def close(self) -> None:
        """End the workers that are still there."""
        for process in self._worker_processes.values():
            kill_process_gracefully(process)


def serve(port: int) -> None:
    """Serve until a signal ends the process."""
    # Workers are started with this file's first line, which looks for Python on the path.
    os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")
    pool = WorkerPool()
    server = grpc.server(thread_pool_executor.shared_unbounded_instance(), options=[("grpc.so_reuseport", 0)])
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(pool, server)
    server.add_insecure_port(f"{HOST}:{port}")
    server.start()
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()
    pool.close()
    server.stop(0)


def work(args: argparse.Namespace) -> None:
    """Be a worker: what the program `boot` does in Beam's containers, but for fetching packages, which are here."""
    from apache_beam.portability.api import beam_provision_api_pb2, beam_provision_api_pb2_grpc
    from apache_beam.runners.worker import sdk_worker_main
    from google.protobuf import json_format

    with grpc.insecure_channel(args.provision_endpoint) as channel:
        provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel).GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(), metadata=[("worker_id", args.id)], timeout=60
        )
    os.environ.update(
        WORKER_ID=args.id,
        PIPELINE_OPTIONS=json.dumps(json_format.MessageToDict(provision.info.pipeline_options)),
        LOGGING_API_SERVICE_DESCRIPTOR=f'url: "{args.logging_endpoint}"',
        CONTROL_API_SERVICE_DESCRIPTOR=f'url: "{args.control_endpoint}"',
        RUNNER_CAPABILITIES=" ".join(provision.info.runner_capabilities),
    )
    sdk_worker_main.main([])


def main(argv: Sequence[str] | None = None) -> None:
    words = sys.argv[1:] if argv is None else list(argv)
    if words[:1] == ["serve"]:
        serve(int(words[1]))
        return
    parser = argparse.ArgumentParser(description="A worker, with the options of Beam's containers.")
    for name in ("id", "logging_endpoint", "artifact_endpoint", "provision_endpoint", "control_endpoint"):
        parser.add_argument(f"--{name}", required=True)
    work(parser.parse_args(words))


if __name__ == "__main__":
    main()
