"""A real Flink session cluster of plain processes on this machine: one job manager, two task managers, a worker pool.

    python deploy/flink/local_cluster.py fetch                      # once: Flink and Beam's job server, 390 MB
    python deploy/flink/local_cluster.py start
    python deploy/flink/local_cluster.py submit -- INPUT ... --output DIR      # as for `movie-tags tag`
    python deploy/flink/local_cluster.py status
    python deploy/flink/local_cluster.py kill-taskmanager 1         # as a machine that dies
    python deploy/flink/local_cluster.py stop

Needs Java 17 (JAVA_HOME, or `java` on the path). Everything listens on loopback only, on free ports.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

HERE = Path(__file__).parent
FOLDER = HERE.parents[1] / "build" / "flink"
HOST = "127.0.0.1"
FLINK_VERSION = "1.19"
MAVEN_CENTRAL = "https://repo1.maven.org/maven2"
JAVA_VERSIONS = (11, 17)
TASK_MANAGERS = 2
SLOTS = 2
"""Slots a task manager: the one that is left can take the other's work."""

# What Java 17 must be told before Flink may look into it, from Flink's own default configuration.
ADD_OPENS = (
    "java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "sun.nio.ch", "java.text", "java.time",
    "java.util", "java.util.concurrent", "java.util.concurrent.atomic", "java.util.concurrent.locks",
)  # fmt: skip

FLINK_CONFIG = """\
jobmanager.rpc.address: {host}
jobmanager.rpc.port: {ports[rpc]}
jobmanager.bind-host: {host}
blob.server.port: {ports[blob]}
rest.address: {host}
rest.bind-address: {host}
rest.port: {ports[rest]}
taskmanager.host: {host}
taskmanager.bind-host: {host}
taskmanager.numberOfTaskSlots: {slots}
taskmanager.load-balance.mode: SLOTS
# A task manager knows no size of its own: these are what Flink's scripts would work out. The films are decoded and
# tagged in Beam's workers, outside; Flink itself holds only what is shuffled.
taskmanager.cpu.cores: {slots}
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 384m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.managed.size: 256m
# The job graph has dozens of exchanges, each with buffers of its own, and little passes through any of them. With
# Flink's 512 buffers (16 MB) each, 256m would not do for a parallelism of 4.
taskmanager.network.sort-shuffle.min-buffers: 64
taskmanager.memory.network.min: 192m
taskmanager.memory.network.max: 192m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 128m
taskmanager.memory.jvm-overhead.max: 128m
# A dead task manager is noticed within seconds, and its work done again.
heartbeat.interval: 1000
heartbeat.timeout: 10000
restart-strategy.type: fixed-delay
restart-strategy.fixed-delay.attempts: 5
restart-strategy.fixed-delay.delay: 1 s
cluster.registration.initial-timeout: 200
cluster.registration.error-delay: 1000
cluster.registration.refused-registration-delay: 1000
metrics.fetcher.update-interval: 1000
# Beam's classes lie on the task managers' own class path, and are to be taken from there: only then does Beam keep its
# workers from one stage of a job to the next (--environment_cache_millis). Otherwise each stage starts them again.
classloader.resolve-order: parent-first
io.tmp.dirs: {scratch}/tmp
web.tmpdir: {scratch}/tmp
"""

LOGGING = """\
rootLogger.level = INFO
rootLogger.appenderRef.file.ref = Console
appender.console.name = Console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss,SSS} %-5p %c{1} - %m%n
"""


class ClusterError(RuntimeError):
    """The cluster cannot do what was asked; the message says why and what to do."""


@dataclass
class Cluster:
    """A cluster's processes.

    Attributes:
        folder: where everything lies.
        ports: by what listens there: `rpc`, `blob`, `rest`, `pool`.
        processes: (process id, time of its start) by name.
    """

    folder: Path
    ports: dict[str, int] = field(default_factory=dict)
    processes: dict[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def scratch(self) -> Path:
        return self.folder / "run"

    @property
    def rest(self) -> str:
        """The address of Flink's web pages and REST interface."""
        return f"http://{HOST}:{self.ports['rest']}"

    def log(self, name: str) -> Path:
        return self.scratch / f"{name}.log"

    def save(self) -> None:
        self.scratch.joinpath("cluster.json").write_text(json.dumps(asdict(self), default=str, indent=2))

    @classmethod
    def load(cls, folder: Path) -> Cluster:
        """The cluster that was started in a folder.

        Raises:
            ClusterError: none was.
        """
        try:
            state = json.loads((folder / "run" / "cluster.json").read_text())
        except FileNotFoundError:
            raise ClusterError(f"no cluster was started in {folder}; run `start` first") from None
        return cls(folder, state["ports"], {name: tuple(known) for name, known in state["processes"].items()})


def fetch(folder: Path = FOLDER) -> None:
    """Bring Flink from the Python package index and Beam's job server from Maven Central, and check their hashes."""
    if is_fetched(folder):
        return
    folder.mkdir(parents=True, exist_ok=True)
    print(f"Fetching Flink and Beam's job server into {folder} ...")
    fetch_flink(folder)
    fetch_job_server(folder)


def is_fetched(folder: Path) -> bool:
    """Whether all of the pinned versions is there."""
    version = re.search(r"apache-flink-libraries==(\S+)", (HERE / "requirements.txt").read_text())[1]
    wanted = [folder / "flink" / f"flink-dist-{version}.jar", job_server_jar(folder)]
    return all(path.exists() for path in [*wanted, *(folder / "job-server" / name for name in job_server_parts())])


def missing(folder: Path = FOLDER) -> str | None:
    """What a cluster needs and this machine lacks; None if nothing."""
    if not is_fetched(folder):
        return f"Flink is not in {folder}: run `python deploy/flink/local_cluster.py fetch`, or `make test-flink`"
    try:
        java()
    except ClusterError as error:
        return str(error)
    return None


def fetch_flink(folder: Path) -> None:
    """Only the jars of the server: the tables and the Python interface are of no use here."""
    download = folder / "download"
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--require-hashes", "-r", HERE / "requirements.txt", "-d", download], check=True)
    (archive,) = download.glob("apache*flink*.tar.gz")
    target = folder / "flink"
    shutil.rmtree(target, ignore_errors=True)  # jars of another version
    target.mkdir()
    with tarfile.open(archive) as tar:
        for member in tar:
            if re.search(r"/deps/lib/(flink-dist|log4j-)[^/]*\.jar\Z", member.name):
                with tar.extractfile(member) as source, (target / Path(member.name).name).open("wb") as out:
                    shutil.copyfileobj(source, out)
    shutil.rmtree(download)


def job_server_parts() -> dict[str, tuple[str, str]]:
    """What Beam's job server is made of: (SHA-256, path on Maven Central) by the name of the file."""
    parts = (line.split() for line in (HERE / "job_server.sha256").read_text().splitlines())
    return {Path(path).name: (sha256, path) for sha256, path in parts}


def fetch_job_server(folder: Path) -> None:
    """Every part by its hash, then one jar that names them, for the option --flink_job_server_jar."""
    target = folder / "job-server"
    target.mkdir(exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(fetch_part, target, *part) for part in job_server_parts().values()]:
            done.result()
    names = [f"job-server/{name}" for name in job_server_parts()]
    with zipfile.ZipFile(job_server_jar(folder), "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", manifest("org.apache.beam.runners.flink.FlinkJobServerDriver", names))


def fetch_part(target: Path, sha256: str, path: str) -> None:
    """One file of Maven Central.

    Raises:
        ClusterError: it is not the file it should be.
    """
    local = target / Path(path).name
    if local.exists() and hashlib.sha256(local.read_bytes()).hexdigest() == sha256:
        return
    with urllib.request.urlopen(f"{MAVEN_CENTRAL}/{path}", timeout=60) as stream:
        data = stream.read()
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ClusterError(f"{path}: its SHA-256 is {found}, not {sha256} as in job_server.sha256")
    local.write_bytes(data)


def manifest(main_class: str, class_path: Iterable[str]) -> str:
    """A jar's manifest; its lines may not be longer than 72 bytes and go on after a line break and a blank."""
    lines = ["Manifest-Version: 1.0", f"Main-Class: {main_class}", "Class-Path: " + " ".join(class_path)]
    folded = ["\r\n ".join([line[:70], *(line[at : at + 69] for at in range(70, len(line), 69))]) for line in lines]
    return "\r\n".join(folded) + "\r\n\r\n"


def job_server_jar(folder: Path = FOLDER) -> Path:
    return folder / "beam-flink-job-server.jar"


def java() -> str:
    """The Java to use.

    Raises:
        ClusterError: there is none, or none that this Flink runs on.
    """
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=str(Path(home, "bin"))) if home else shutil.which("java")
    wanted = "Java 17 is needed (Debian: openjdk-17-jre-headless; elsewhere set JAVA_HOME)"
    if not found:
        raise ClusterError(wanted)
    text = subprocess.run([found, "-version"], capture_output=True, text=True, check=True).stderr
    version = re.search(r'version "(\d+)', text)
    if not version or int(version[1]) not in JAVA_VERSIONS:
        raise ClusterError(f"{wanted}; {found} is {text.splitlines()[0]}")
    return found


def start(folder: Path = FOLDER) -> Cluster:
    """Start a cluster and wait until every slot is there.

    Raises:
        ClusterError: something is missing, a cluster is running, or it did not come up.
    """
    lack = missing(folder)
    if lack:
        raise ClusterError(lack)
    if (folder / "run" / "cluster.json").exists() and any(map(process_of, Cluster.load(folder).processes.values())):
        raise ClusterError(f"a cluster is running in {folder}; `stop` ends it")
    cluster = Cluster(folder, free_ports("rpc", "blob", "rest", "pool"))
    shutil.rmtree(cluster.scratch, ignore_errors=True)
    (cluster.scratch / "tmp").mkdir(parents=True)
    (cluster.scratch / "config.yaml").write_text(
        FLINK_CONFIG.format(host=HOST, ports=cluster.ports, slots=SLOTS, scratch=cluster.scratch)
    )
    (cluster.scratch / "log4j.properties").write_text(LOGGING)
    try:
        run(
            cluster,
            "jobmanager",
            java_command(cluster, "runtime.entrypoint.StandaloneSessionClusterEntrypoint", "-Xmx512m"),
        )
        wait_for(lambda: overview(cluster) is not None, cluster, "the job manager's REST interface")
        for number in range(1, TASK_MANAGERS + 1):
            start_task_manager(cluster, number)
        run(cluster, "pool", [sys.executable, str(HERE / "worker_pool.py"), "serve", str(cluster.ports["pool"])])
        wait_until_ready(cluster)
        wait_for(lambda: listens(cluster.ports["pool"]), cluster, "the worker pool")
    except BaseException:
        stop(cluster)
        raise
    return cluster


def start_task_manager(cluster: Cluster, number: int) -> None:
    """Start a task manager, or another in place of one that died."""
    # The heap is the framework's and the tasks' part of FLINK_CONFIG, direct memory the off-heap and network parts.
    command = java_command(
        cluster, "runtime.taskexecutor.TaskManagerRunner", "-Xmx512m", "-XX:MaxDirectMemorySize=384m"
    )
    run(cluster, task_manager(number), [*command, "-D", f"taskmanager.resource-id={task_manager(number)}"])


def task_manager(number: int) -> str:
    return f"taskmanager-{number}"


def java_command(cluster: Cluster, main_class: str, *memory: str) -> list[str]:
    opens = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in ADD_OPENS]
    logging = f"-Dlog4j.configurationFile=file:{cluster.scratch}/log4j.properties"
    # Beam's parts, but for those of Flink, which the distribution holds itself.
    beam = [cluster.folder / "job-server" / name for name in job_server_parts() if not name.startswith("flink-")]
    class_path = os.pathsep.join(map(str, [*sorted(cluster.folder.glob("flink/*.jar")), *beam]))
    return [
        java(), *memory, *opens, logging, "-cp", class_path, f"org.apache.flink.{main_class}",
        "--configDir", str(cluster.scratch),
    ]  # fmt: skip


def run(cluster: Cluster, name: str, command: Sequence[str]) -> None:
    """Start a process of the cluster's in a session of its own, and write it down."""
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "GRPC_VERBOSITY": "NONE", "ABSL_MIN_LOG_LEVEL": "3"}
    with cluster.log(name).open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **quiet},
        )
    cluster.processes[name] = (process.pid, psutil.Process(process.pid).create_time())
    cluster.save()


def process_of(known: tuple[int, float]) -> psutil.Process | None:
    """The process that was written down, if it is still that one and alive."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(known[0])
        if process.create_time() == known[1] and process.status() != psutil.STATUS_ZOMBIE:
            return process
    return None


def wait_for(ready: Callable[[], bool], cluster: Cluster, what: str, seconds: float = 120) -> None:
    """Wait until something is there.

    Raises:
        ClusterError: it is not in time, or one of the cluster's processes has ended.
    """
    until = time.monotonic() + seconds
    while not ready():
        ended = [name for name, known in cluster.processes.items() if not process_of(known)]
        if ended or time.monotonic() > until:
            tail = "\n".join(cluster.log(name).read_text(errors="replace")[-2000:] for name in ended)
            raise ClusterError(f"{what} did not come up; the logs are in {cluster.scratch}\n{tail}")
        time.sleep(0.2)


def free_ports(*names: str) -> dict[str, int]:
    """Ports that were free a moment ago."""
    with contextlib.ExitStack() as stack:
        taken = {name: stack.enter_context(socket.create_server((HOST, 0))) for name in names}
        return {name: server.getsockname()[1] for name, server in taken.items()}


def listens(port: int) -> bool:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def get(cluster: Cluster, path: str) -> dict:
    """What Flink's REST interface answers."""
    with urllib.request.urlopen(f"{cluster.rest}/{path}", timeout=30) as stream:
        return json.load(stream)


def overview(cluster: Cluster) -> dict | None:
    """Task managers, slots and jobs; None while nobody answers."""
    with contextlib.suppress(OSError):
        return get(cluster, "overview")
    return None


def jobs(cluster: Cluster) -> list[dict]:
    """The jobs, the newest first, with what each wrote to its exchanges."""
    return sorted(get(cluster, "jobs/overview")["jobs"], key=lambda job: -job["start-time"])


def shuffled_bytes(cluster: Cluster, job: str) -> int:
    """Bytes that a job's tasks handed to one another through Flink, on the same task manager or across."""
    return sum(vertex["metrics"]["write-bytes"] for vertex in get(cluster, f"jobs/{job}")["vertices"])


def options(cluster: Cluster) -> list[str]:
    """The words that send `movie-tags tag` to the cluster."""
    return [
        "--runner", "FlinkRunner",
        "--flink_master", f"{HOST}:{cluster.ports['rest']}",
        "--flink_version", FLINK_VERSION,
        "--flink_job_server_jar", str(job_server_jar(cluster.folder)),
        "--job_server_java_launcher", java(),
        "--environment_type", "EXTERNAL",
        "--environment_config", f"{HOST}:{cluster.ports['pool']}",
        "--parallelism", str(TASK_MANAGERS),
        "--environment_cache_millis", "60000",
    ]  # fmt: skip


def submit(cluster: Cluster, words: Sequence[str], **how) -> subprocess.Popen:
    """Start `movie-tags tag` with some words and the cluster's options."""
    command = [sys.executable, "-m", "movie_tags", "tag", *words, *options(cluster)]
    return subprocess.Popen(command, **how)


def wait_until_ready(cluster: Cluster) -> None:
    """Wait until every task manager has announced itself with its slots."""

    def ready() -> bool:
        seen = overview(cluster)
        return seen is not None and seen["slots-total"] == TASK_MANAGERS * SLOTS

    wait_for(ready, cluster, "the task managers")


def kill_task_manager(cluster: Cluster, number: int) -> None:
    """End a task manager as a machine's death would: at once."""
    process = process_of(cluster.processes[task_manager(number)])
    if process is None:
        raise ClusterError(f"{task_manager(number)} is not running")
    process.kill()


def job_servers(cluster: Cluster) -> list[psutil.Process]:
    """The job servers of runs; a run that was killed leaves its own behind."""
    jar = str(job_server_jar(cluster.folder))
    return [process for process in psutil.process_iter(["cmdline"]) if jar in (process.info["cmdline"] or ())]


def stop(cluster: Cluster) -> None:
    """End every process of the cluster; its logs stay."""
    own = [process for process in map(process_of, cluster.processes.values()) if process]
    alive = own + job_servers(cluster)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(alive, timeout=20)
    for process in own:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what is left of its session, such as workers of the pool


def print_status(cluster: Cluster) -> None:
    for name, known in cluster.processes.items():
        print(f"{name:16} {'running' if process_of(known) else 'ended':8} process {known[0]}, log {cluster.log(name)}")
    seen = overview(cluster)
    if seen is None:
        print(f"nobody answers at {cluster.rest}")
        return
    print(f"{cluster.rest}: {seen['taskmanagers']} task managers, {seen['slots-available']} of {seen['slots-total']} "
          "slots free")  # fmt: skip
    for job in jobs(cluster):
        print(f"{job['jid']} {job['state']:9} {job['duration'] / 1000:7.1f} s  {shuffled_bytes(cluster, job['jid']):,} "
              "bytes shuffled")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="A real Flink session cluster of plain processes on this machine.")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where all of it lies [build/flink]")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("fetch", "start", "status", "stop"):
        commands.add_parser(name)
    commands.add_parser("submit").add_argument("words", nargs=argparse.REMAINDER, metavar="-- INPUT ... --output DIR")
    commands.add_parser("kill-taskmanager").add_argument("number", type=int, choices=range(1, TASK_MANAGERS + 1))
    args = parser.parse_args(argv)
    folder = args.folder.resolve()
    try:
        if args.command == "fetch":
            fetch(folder)
        elif args.command == "start":
            print_status(start(folder))
        else:
            cluster = Cluster.load(folder)
            if args.command == "submit":
                return submit(cluster, args.words[args.words[:1] == ["--"] :]).wait()
            if args.command == "kill-taskmanager":
                kill_task_manager(cluster, args.number)
            elif args.command == "stop":
                stop(cluster)
            else:
                print_status(cluster)
    except ClusterError as error:
        print(f"local_cluster: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
