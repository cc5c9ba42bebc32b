"""The manifests for Kubernetes: well formed, of one mind among themselves, and of the versions pinned elsewhere."""

import copy
import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml

jsonschema = pytest.importorskip("jsonschema")

from movie_tags.pipeline.commands import RUN_FAILED, parse  # noqa: E402

ROOT = Path(__file__).parents[2]
FLINK = ROOT / "deploy" / "flink"
MANIFESTS = sorted((FLINK / "kubernetes").glob("*.yaml"))
SCHEMA = json.loads((FLINK / "kubernetes" / "schema.json").read_text())
PINS = (ROOT / "constraints.txt").read_text()


def read(name):
    return yaml.safe_load((FLINK / "kubernetes" / name).read_text())


def check(manifest):
    jsonschema.Draft202012Validator(SCHEMA).validate(manifest)


def nightly():
    """The pod that submits, and its container."""
    pod = read("nightly.yaml")["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return pod, next(container for container in pod["containers"] if container["name"] == "submit")


def task_managers():
    """What the session cluster says of its task managers, and of the worker pool beside each."""
    spec = read("session-cluster.yaml")["spec"]
    containers = spec["taskManager"]["podTemplate"]["spec"]["containers"]
    return spec, next(container for container in containers if container["name"] == "worker-pool")


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_manifests_are_as_the_schema_says(path):
    (manifest,) = yaml.safe_load_all(path.read_text())
    check(manifest)


@pytest.mark.parametrize(
    "name,where,value",
    [
        ("session-cluster.yaml", ["spec", "flinkVersion"], "1.19"),
        ("session-cluster.yaml", ["spec", "taskManager", "podTemplate", "spec", "containres"], []),
        ("session-cluster.yaml", ["spec", "flinkConfiguration", "restart-strategy.fixed-delay.attempts"], 5),
        ("data.yaml", ["spec", "accessModes"], ["ReadWriteOnce"]),
        ("nightly.yaml", ["spec", "schedule"], "nightly"),
        ("nightly.yaml", ["spec", "jobTemplate", "spec", "template", "spec", "restartPolicy"], "Always"),
        ("nightly.yaml", ["apiVersion"], "batch/v1beta1"),
    ],
)
def test_the_schema_refuses(name, where, value):
    manifest = copy.deepcopy(read(name))
    part = manifest
    for key in where[:-1]:
        part = part[key]
    part[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(manifest)


def test_images_are_of_the_versions_pinned_elsewhere():
    spec, pool = task_managers()
    pod, submit = nightly()
    flink = re.search(r"apache-flink-libraries==(\S+)", (FLINK / "requirements.txt").read_text())[1]
    minor = ".".join(flink.split(".")[:2])
    beam = re.search(r"^apache-beam==(\S+)$", PINS, re.MULTILINE)[1]
    stated = re.search(r'version="([^"]+)"', (ROOT / "setup.py").read_text())[1]
    assert spec["image"].startswith(f"flink:{flink}-")
    assert spec["flinkVersion"] == "v" + minor.replace(".", "_")
    assert pod["initContainers"][0]["image"] == f"apache/beam_flink{minor}_job_server:{beam}"
    assert pool["image"] == submit["image"]
    assert pool["image"].endswith(f"/movie-tags:{stated}")
    assert version("apache-beam") == beam


def test_what_is_fetched_is_what_the_pom_says():
    pom = (FLINK / "pom.xml").read_text()
    artifact, stated = re.search(r"<artifactId>(beam-\S+)</artifactId>\s*<version>(\S+)</version>", pom).groups()
    flink = re.search(r"apache-flink-libraries==(\d+\.\d+)", (FLINK / "requirements.txt").read_text())[1]
    assert artifact == f"beam-runners-flink-{flink}"
    paths = [line.split()[1] for line in (FLINK / "job_server.sha256").read_text().splitlines()]
    assert f"org/apache/beam/{artifact}/{stated}/{artifact}-{stated}.jar" in paths


def test_the_command_is_one_that_movie_tags_understands():
    _, submit = nightly()
    assert submit["command"] == ["movie-tags"]
    args, beam = parse(submit["args"])
    assert args.inputs == ["/data/films"]
    assert not args.break_lock  # a job that was started by hand may hold it
    options = dict(word.removeprefix("--").split("=") for word in beam)
    spec, pool = task_managers()
    assert options["environment_config"] == f"localhost:{pool['ports'][0]['containerPort']}"
    slots = int(spec["flinkConfiguration"]["taskmanager.numberOfTaskSlots"])
    assert int(options["parallelism"]) == slots * spec["taskManager"]["replicas"]
    assert int(options["sdk_worker_parallelism"]) == slots, "one process of Python a slot"


def test_every_pod_sees_the_same_files_in_the_same_place():
    claim = read("data.yaml")["metadata"]["name"]
    pod, submit = nightly()
    spec, _ = task_managers()
    template = spec["taskManager"]["podTemplate"]["spec"]
    for volumes in (pod["volumes"], template["volumes"]):
        assert [volume["persistentVolumeClaim"]["claimName"] for volume in volumes] == [claim]
    for container in (*pod["initContainers"], submit, *template["containers"]):
        assert container["volumeMounts"] == [{"name": "data", "mountPath": "/data"}], container["name"]


def test_only_a_failed_run_is_tried_again():
    policy = read("nightly.yaml")["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]
    (rule,) = policy["rules"]
    assert rule["action"] == "FailJob" and RUN_FAILED not in rule["onExitCodes"]["values"]


def test_flink_names_its_service_after_the_cluster():
    pod, _ = nightly()
    name = read("session-cluster.yaml")["metadata"]["name"]
    assert f"--flink-master={name}-rest:8081" in pod["initContainers"][0]["args"]
