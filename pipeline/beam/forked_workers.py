"""Beam's worker processes on this machine, forked from a warm parent that has our libraries loaded already.

Written against private parts of Beam's local runner: `local_workers` checks its version before this is imported.
A worker that Beam starts itself is a new Python, which takes seconds of CPU to import Beam and FFmpeg. Here the
standard library's fork server imports them once; each worker is a fork of it, for any pipeline of this process. And
they share work in small bundles, so that none is idle while another has a long film to itself.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import grpc
from apache_beam.metrics import monitoring_infos
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc, endpoints_pb2
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import FnApiRunner, execution, fn_runner, worker_handlers
from apache_beam.runners.worker import bundle_processor
from apache_beam.transforms import environments
from apache_beam.utils import thread_pool_executor
from google.protobuf import json_format, text_format

from movie_tags.pipeline.beam.local_workers import deaths


class WorkerDied(RuntimeError):
    """A worker process ended without having been told to."""


_running: set[multiprocessing.process.BaseProcess] = set()

URN = "movie-tags:env:forked:v1"
PRELOADED = ["apache_beam.runners.worker.sdk_worker_main", "ai_edge_litert.interpreter", "movie_tags.pipeline.graph"]


@environments.Environment.register_urn(URN, bytes)
class ForkedEnvironment(environments.Environment):
    """Workers are forks of this process' fork server."""

    def to_runner_api_parameter(self, context: Any) -> tuple[str, bytes]:
        return URN, b""

    @staticmethod
    def from_runner_api_parameter(
        payload: bytes, capabilities: Any, artifacts: Any, resource_hints: Any, context: Any
    ) -> ForkedEnvironment:
        return ForkedEnvironment(capabilities, artifacts, resource_hints)


@worker_handlers.WorkerHandler.register_environment(URN, bytes)
class _ForkedWorkerHandler(worker_handlers.SubprocessSdkWorkerHandler):
    def start_worker(self) -> None:
        self.worker = _ForkedWorker(b"", self.control_address, self.provision_info, self.worker_id)
        self.worker_thread = threading.Thread(target=self._watch, name="run_worker", daemon=True)
        self.worker_thread.start()

    def _watch(self) -> None:
        try:
            self.worker.run()
        except WorkerDied as error:
            deaths.append(str(error))
            # The runner would wait for its answers for ever, and for the other workers to end their work.
            self.control_conn.push = _answer_for_the_dead(self.control_conn, str(error))
            end_workers()


def _answer_for_the_dead(connection: worker_handlers.ControlConnection, error: str) -> Callable:
    """Replacement of a connection's `push` once its worker is dead: each request, pending or new, fails at once."""
    push = connection.push

    def fail(future: worker_handlers.ControlFuture) -> worker_handlers.ControlFuture:
        future.set(beam_fn_api_pb2.InstructionResponse(instruction_id=future.instruction_id, error=error))
        return future

    def answer(request: Any) -> worker_handlers.ControlFuture | None:
        if not hasattr(request, "instruction_id"):  # the mark of the end
            return push(request)
        return fail(worker_handlers.ControlFuture(request.instruction_id))

    for future in list(connection._futures_by_id.values()):
        if not future.is_done():
            fail(future)
    return answer


def how_it_ended(status: int) -> str:
    """Exit status of a process in words."""
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-status).name}"
    return f"ended with status {status}"


class _ForkedWorker(local_job_service.SubprocessSdkWorker):
    """One worker process; its log comes to the same logger as that of Beam's own subprocesses."""

    def run(self) -> None:
        log = grpc.server(thread_pool_executor.shared_unbounded_instance())
        port = log.add_insecure_port("localhost:0")
        beam_fn_api_pb2_grpc.add_BeamFnLoggingServicer_to_server(local_job_service.BeamFnLoggingServicer(), log)
        log.start()
        descriptors = {
            "CONTROL_API_SERVICE_DESCRIPTOR": self._control_address,
            "LOGGING_API_SERVICE_DESCRIPTOR": f"localhost:{port}",
        }
        environment = {
            name: text_format.MessageToString(endpoints_pb2.ApiServiceDescriptor(url=url))
            for name, url in descriptors.items()
        }
        options = json_format.MessageToJson(self._provision_info.provision_info.pipeline_options)
        # The fork server has the environment of the moment it began; a worker shall have today's.
        environment = {**os.environ, **environment, "PIPELINE_OPTIONS": options, "WORKER_ID": self._worker_id or ""}
        quiet = not logging.getLogger().isEnabledFor(logging.ERROR)
        process = fork_server().Process(target=work, args=(environment, quiet), name=f"worker {self._worker_id}")
        try:
            process.start()
        except (OSError, EOFError) as error:
            raise WorkerDied(f"a worker process could not be started ({error})") from error
        _running.add(process)
        try:
            process.join()
            if process.exitcode:
                raise WorkerDied(f"a worker process {how_it_ended(process.exitcode)}")
        finally:
            _running.discard(process)
            if process.is_alive():
                process.kill()
            log.stop(0)


def end_workers() -> None:
    """Kill every worker process at once, whatever it is doing: pipelines that need them fail."""
    for process in list(_running):
        process.kill()


def fork_server() -> multiprocessing.context.ForkServerContext:
    """The context whose processes are forks of one with our libraries loaded; it is started with the first of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


def warm_up() -> None:
    """Start the fork server, so that it imports while this process goes on."""
    from multiprocessing import forkserver, resource_tracker

    fork_server()
    resource_tracker.ensure_running()  # which, started from within, would unblock what is blocked here
    # A terminal sends its signals to all processes; only this one says what they mean. What is blocked stays so there.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def work(environment: Mapping[str, str], quiet: bool = False) -> None:
    """Entry point of a worker process.

    Args:
        environment: the whole of it, which says where its runner is.
        quiet: Beam prints the traceback of every error, which comes to the driver, too: not here.
    """
    os.environ.clear()
    os.environ.update(environment)
    if quiet:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for number in (signal.SIGINT, signal.SIGTERM):  # a terminal sends them to all; the driver says what they mean
        signal.signal(number, signal.SIG_IGN)
    from apache_beam.runners.worker import sdk_worker_main

    threading.Thread(target=_end_with_the_driver, daemon=True).start()
    sdk_worker_main.main([])


def _end_with_the_driver() -> None:
    driver = multiprocessing.parent_process()
    if driver is not None:
        multiprocessing.connection.wait([driver.sentinel])
    os._exit(1)


SPREAD = "Spread"
"""The prefix of the names of reshuffles whose elements are large pieces of work, some far larger than others."""
BUNDLES_A_WORKER = 16
"""Of such work. Beam's own runner makes one bundle for each worker, and waits for the slowest."""


def forking_runner(options: PipelineOptions) -> FnApiRunner:
    """Beam's local runner, with workers that are forks, and that take the next small bundle when they have done one.

    Args:
        options: of the pipeline; its running mode would have the runner start processes of its own.
    """
    options.view_as(DirectOptions).direct_running_mode = "in_memory"
    environment = ForkedEnvironment(environments.python_sdk_capabilities())
    return _ForkingRunner(default_environment=environment)


class _ForkingRunner(FnApiRunner):
    def _get_bundle_manager(self, bundle_context_manager: execution.BundleContextManager) -> fn_runner.BundleManager:
        manager = super()._get_bundle_manager(bundle_context_manager)
        steps = bundle_context_manager.process_bundle_descriptor.transforms.values()
        read = [step.unique_name for step in steps if step.spec.urn == bundle_processor.DATA_INPUT_URN]
        uneven = any(part.startswith(SPREAD) for name in read for part in name.split("/"))
        if uneven and isinstance(manager, fn_runner.ParallelBundleManager):
            return _SmallBundles(manager.bundle_context_manager, cache_token_generator=manager._cache_token_generator)
        return manager


class _OneWorker:
    """A stage's context as one of its workers sees it."""

    def __init__(self, stage: execution.BundleContextManager, handler: worker_handlers.WorkerHandler):
        self._stage = stage
        self.worker_handlers = [handler]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stage, name)


class _SmallBundles(fn_runner.ParallelBundleManager):
    """Work queue: many small bundles of a stage's input, each taken by the next idle worker."""

    def process_bundle(
        self,
        inputs: Mapping[str, execution.PartitionableBuffer],
        expected_outputs: dict,
        fired_timers: Mapping,
        expected_output_timers: dict,
        dry_run: bool = False,
    ) -> tuple:
        stage = self.bundle_context_manager
        number = BUNDLES_A_WORKER * self._num_workers
        parts = zip(*(data.partition(number) for data in inputs.values()), strict=True)
        full = [part for part in parts if any(map(any, part))] or [tuple([] for _ in inputs)]
        # As of Beam's own, timers are the first bundle's. The workers share the iterator: each takes what comes next.
        waiting = iter(
            [(dict(zip(inputs, part, strict=True)), {} if i else fired_timers) for i, part in enumerate(full)]
        )

        def work(handler: worker_handlers.WorkerHandler) -> list[tuple]:
            done: list[tuple] = []
            for bundle, timers in waiting:
                manager = fn_runner.BundleManager(
                    cast(Any, _OneWorker(stage, handler)), cache_token_generator=self._cache_token_generator
                )
                try:
                    done.append(
                        manager.process_bundle(bundle, expected_outputs, timers, expected_output_timers, dry_run)
                    )
                except BaseException:
                    collections.deque(waiting, maxlen=0)  # none is left for the others to begin
                    raise
            return done

        with ThreadPoolExecutor(self._num_workers) as executor:
            results = [one for done in executor.map(work, stage.worker_handlers) for one in done]
        infos = [info for result, _ in results for info in result.process_bundle.monitoring_infos]
        merged = beam_fn_api_pb2.InstructionResponse(
            process_bundle=beam_fn_api_pb2.ProcessBundleResponse(
                monitoring_infos=monitoring_infos.consolidate(infos),
            )
        )
        return merged, [split for _, splits in results for split in splits]
