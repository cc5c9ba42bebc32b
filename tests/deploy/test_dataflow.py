"""What can be known of a run on Dataflow without an account there."""

import argparse
import importlib.metadata
import importlib.util
import json
import re
import runpy
from pathlib import Path

import pytest
import setuptools
import yaml
from films import picture, write_video
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytest.importorskip("gcp_storage_emulator")

from emulator import running
from google.cloud.dataflow_v1beta3.types import ContainerSpec, LaunchFlexTemplateRequest, TemplateMetadata
from google.cloud.devtools.cloudbuild_v1.types import Build
from google.protobuf import json_format

from movie_tags.models import COMPACT, DEFAULT
from movie_tags.pipeline import table_files as results
from movie_tags.pipeline.beam.options import beam_option_actions
from movie_tags.pipeline.commands import command_parser, main, parse
from movie_tags.pipeline.publish import publish_part

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy" / "dataflow"
HERE = ["--runner=FnApiRunner", "--direct_num_workers=1"]
HINT = "type:nvidia-tesla-t4;count:1;install-nvidia-driver"
IMAGE = "europe-west1-docker.pkg.dev/some-project/movie-tags/movie-tags:0.2.0-gpu"


def load(name):
    spec = importlib.util.spec_from_file_location(f"dataflow_{name}", DEPLOY / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


launch, metadata = load("launch"), load("metadata")


def strictly(message, content):
    """Read an object as a message of Google's API; fields that the message does not have are errors."""
    return json_format.ParseDict(content, message.pb(message()))


# The template and the options


def committed():
    return json.loads((DEPLOY / "template_metadata.json").read_text())


def tag_options():
    return command_parser("tag")


def test_the_templates_metadata_are_those_of_the_options():
    assert committed() == metadata.metadata(), "run: python deploy/dataflow/metadata.py > …/template_metadata.json"
    options = {metadata.name_of(action) for action in tag_options()._actions if action.dest not in metadata.LEFT_OUT}
    assert {entry["name"] for entry in committed()["parameters"]} == options | set(metadata.BEAM)
    assert all(f"--{name}" in beam_option_actions() for name in metadata.BEAM)
    helps = {entry["name"]: entry["helpText"] for entry in committed()["parameters"]}
    assert "printed" not in helps["output"] and "again" not in helps["model"] and "[default]" in helps["model"]


@pytest.mark.parametrize("kind", [{"type": metadata.count}, {"type": str}, {"action": "store_true"}])
def test_a_new_option_is_noticed(monkeypatch, kind):
    parser = command_parser("tag")
    parser.add_argument("--novel", help="something new", **kind)
    monkeypatch.setattr(metadata, "command_parser", lambda name: parser)
    if kind.get("type") is str:
        with pytest.raises(KeyError):  # what it takes must be said first
            metadata.metadata()
    else:
        assert committed() != metadata.metadata()


def test_metadata_and_specification_are_of_googles_form():
    assert len(strictly(TemplateMetadata, committed()).parameters) == len(committed()["parameters"])
    specification = strictly(ContainerSpec, metadata.specification(IMAGE))
    assert specification.image == IMAGE and specification.sdk_info.language == 2  # Python
    for entry in committed()["parameters"]:
        for regex in entry["regexes"]:
            assert re.compile(regex) and "(?" not in regex  # the service knows no look-ahead
            assert regex.startswith("^") and regex.endswith("$")


SAMPLES = {
    "inputs": "gs://films/a.mp4 gs://films/nightly/ gs://films/list.csv",
    "output": "gs://films/tags",
    "all_videos": "true",
    "shot_detector": "content",
    "exact_cuts": "true",
    "model": "gs://films/models/big",
    "force": "true",
    "retry": "all",
    "max_attempts": "5",
    "limit": "100",
    "break_lock": "true",
    "part_size": "7",
    "format": "parquet",
    "preset": "paper",
    "sampling": "codec-key-frames",
    "max_key_frame_gap": "2.5",
    "min_draft_length": "120",
    "thumbnails": "true",
    "features": "true",
    "fps": "0.5",
    "shot_threshold": "0.4",
    "min_entropy": "1.5",
    "top_k": "4",
    "min_probability": "0.05",
    "min_relative_strength": "0.25",
    "min_confidence": "0.35",
    "span_gap": "4.5",
    "min_span": "2",
    "batch_size": "64",
    "segment_length": "90",
    "accelerator": HINT,
    "decoder_memory": "2.5",
    "decoder_cpu": "90",
    "decoder_wait": "600",
    "in_process": "true",
    "number_of_worker_harness_threads": "2",
    "sdk_container_image": IMAGE,
}
# What Google's launcher adds.
ADDED = [
    "--runner=DataflowRunner",
    "--project=some-project",
    "--region=europe-west1",
    "--job_name=nightly",
    "--max_num_workers=3",
    "--machine_type=n1-standard-4",
    "--service_account_email=tags@some-project.iam.gserviceaccount.com",
]


def test_every_parameter_reaches_its_option():
    entries = {entry["name"]: entry for entry in committed()["parameters"]}
    assert SAMPLES.keys() == entries.keys()
    assert all(re.search(entries[name]["regexes"][0], value) for name, value in SAMPLES.items())
    words = [f"--{name}={value}" for name, value in SAMPLES.items()]
    args, beam_words = parse(launch.command_line([*words, *ADDED]))
    for name, value in SAMPLES.items():
        if name in metadata.BEAM:
            assert f"--{name}={value}" in beam_words
        elif name == "inputs":
            assert args.inputs == value.split()
        elif name == "model":
            assert args.model == [value]
        elif name in ("all_videos", "force", "break_lock", "thumbnails", "features", "in_process", "exact_cuts"):
            assert getattr(args, name) is True
        else:
            option = tag_options()._option_string_actions["--" + name.replace("_", "-")]
            assert getattr(args, option.dest) == (option.type or str)(value) != option.default
    assert set(ADDED) <= set(beam_words)
    assert parse(launch.command_line(["--inputs=gs://b/x", "--output=o", "--force=false"]))[0].force is False


NUMBERS = "0 1 0.0 0.5 1.0 1.5 2 007 0.001 23.9 24 24.5 25 -1 1e3 nan inf .5 5. abc 12,5"


@pytest.mark.parametrize("text", NUMBERS.split())
def test_no_expression_lets_through_what_the_option_refuses(text):
    for action in tag_options()._actions:
        kind = metadata.KINDS.get(action.type)
        if kind and re.search(kind[1], text):
            action.type(text)  # raises where the command would


@pytest.mark.parametrize(
    "read,good",
    [
        (metadata.positive, "1 0.2 60 60.0 2.5"),
        (metadata.count, "1 16"),
        (metadata.share, "0 1 0.1 1.0"),
        (metadata.bits, "0 0.2 9 19.5 24 24.0"),
    ],
)
def test_ordinary_numbers_are_let_through(read, good):
    assert all(re.search(metadata.KINDS[read][1], text) and read(text) is not None for text in good.split())
    with pytest.raises((ValueError, argparse.ArgumentTypeError)):
        read("-1")


# The job


@pytest.fixture(scope="module")
def gs(tmp_path_factory):
    with running(tmp_path_factory.mktemp("credentials")) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "a.mp4", [picture(k // 30) for k in range(120)])
    return folder / "a.mp4"


@pytest.fixture
def words(gs, film):
    """What the launcher calls with, the film and all folders being on the emulator."""
    uri = gs.put(film, "a.mp4")
    bucket = uri.removesuffix("/a.mp4")
    places = [f"--output={bucket}/out", f"--temp_location={bucket}/temp", f"--staging_location={bucket}/staging"]
    yield [f"--inputs={uri}", f"--sdk_container_image={IMAGE}", *places, *ADDED]
    for name in gs.names("out/"):  # the lock of a job that was never run
        gs.remove(name)


def hints(proto):
    """The resource hints of each step of a job that does work."""
    environments = proto.components.environments
    return {
        step.unique_name: dict(environments[step.environment_id].resource_hints)
        for step in proto.components.transforms.values()
        if step.environment_id and not step.subtransforms
    }


@pytest.mark.parametrize("accelerator", [None, HINT])
def test_only_the_inference_asks_for_a_gpu(words, accelerator):
    words = [*words, *([f"--accelerator={accelerator}"] if accelerator else [])]
    found = hints(launch.build([*words, "--dry_run=True"]).launch().job.proto_pipeline)
    hinted = {name for name, hint in found.items() if hint}
    inference = {name for name in found if "/RunInference/" in name}
    assert {name.split("/")[1] for name in inference} == {"TagInside", "TagCrossing"}
    assert any(name.endswith("BeamML_RunInference") for name in inference)
    assert any("FindShots" in name for name in found.keys() - inference)
    assert hinted == (inference if accelerator else set())
    assert all(found[name] == {"beam:resources:accelerator:v1": HINT.encode()} for name in hinted)


def test_the_template_makes_a_whole_job_and_waits_for_nothing(gs, words):
    job_object = next(word for word in words if "staging" in word).partition("=")[2] + "/launches/job_object"
    assert launch.main([*words, f"--accelerator={HINT}", f"--template_location={job_object}"]) == 0
    job = json.loads(gs.text("staging/launches/job_object"))
    assert (job["name"], job["type"]) == ("nightly", "JOB_TYPE_BATCH")
    (pool,) = job["environment"]["workerPools"]
    assert pool["machineType"] == "n1-standard-4"
    # The steps with a GPU and those without run the same image.
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE, IMAGE]
    # No code of the launcher travels; the workers have the package.
    assert not [name for name in gs.names("staging/") if "session" in name]
    assert "out/.lock" in gs.names("out/") and "out/latest.json" not in gs.names(
        "out/"
    )  # held for the job, which gives it back


def test_wrong_usage_is_refused_by_the_launcher(gs, words, capsys):
    assert launch.main([word for word in words if "sdk_container_image" not in word]) == 2
    assert "sdk_container_image" in capsys.readouterr().err
    assert launch.main([word.replace("a.mp4", "none.mp4") for word in words]) == 2
    assert launch.main([*words, "--model=gs://films-of-tests/none"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_the_job_itself_publishes_what_a_run_that_is_waited_for_does(film, tmp_path):
    bad = film.parent / "bad.mp4"
    bad.write_bytes(b"no film")
    waited, itself = tmp_path / "waited", tmp_path / "itself"
    assert main(["tag", str(film), str(bad), "--output", str(waited), *HERE]) == 3
    words = [f"--inputs={film} {bad}", f"--output={itself}", *HERE]
    assert launch.main(words) == 0
    assert sorted(path.name for path in itself.iterdir()) == sorted(path.name for path in waited.iterdir())
    for name in results.TABLES:
        assert (itself / f"{name}.jsonl").read_bytes() == (waited / f"{name}.jsonl").read_bytes()
    said, expected = (json.loads((folder / "run.json").read_text()) for folder in (itself, waited))
    # One schema for both; only who waited can ask the runner for its counters.
    assert said.keys() == expected.keys()
    same = ("counts", "method_key", "method", "model", "versions", "inputs")
    assert [said[name] for name in same] == [expected[name] for name in same]
    counts = ("inputs_read", "videos_tagged", "videos_failed", "key_frames_tagged")
    assert [said["counts"][name] for name in counts] == [2, 1, 1, 4]
    before = (itself / "tags.jsonl").read_bytes()
    assert launch.main(words) == 0  # nothing is due
    assert json.loads((itself / "run.json").read_text())["counts"]["videos_tagged"] == 0
    assert (itself / "tags.jsonl").read_bytes() == before


def test_a_job_that_publishes_twice_publishes_once(film, tmp_path):
    out = tmp_path / "out"
    run = launch.build([f"--inputs={film}", f"--output={out}", *HERE])
    run.launch()
    before = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}
    assert not (out / ".lock").exists()
    part = run.folder.part("part-00000")
    publish_part(run.results, run.record, part, "gone.jsonl", 3, [])
    assert {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()} == before


# The image


def stages():
    """The Dockerfile's base images, by their stages, and its lines as one text."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    return {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M)}, text


def pins(path):
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    named = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate()]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in named}


@pytest.fixture(scope="module")
def setup():
    kept = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setuptools, "setup", kept.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return kept


def test_the_images_versions_are_the_projects(setup):
    bases, _ = stages()
    constraints = pins(ROOT / "constraints.txt")
    assert bases["beam"] == f"apache/beam_python3.11_sdk:{constraints['apache-beam']}"
    assert re.fullmatch(r"python:3\.11\.\d+-slim-bookworm", bases["cpu"]) and bases["gpu"] == "cpu"
    assert all(":" in base and not base.endswith(":latest") for base in bases.values() if "/" in base)
    for requirement in map(Requirement, setup["install_requires"]):
        assert constraints[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_gpu_variant_has_what_tensorflow_asks_for():
    asked = [Requirement(line) for line in importlib.metadata.requires("tensorflow") if "and-cuda" in line]
    given = pins(DEPLOY / "gpu-requirements.txt")
    assert asked and {canonicalize_name(requirement.name) for requirement in asked} == given.keys()
    assert all(given[canonicalize_name(requirement.name)] in requirement.specifier for requirement in asked)
    assert not given.keys() & pins(ROOT / "constraints.txt").keys()


def test_the_image_holds_the_package_the_launcher_and_beams_entry_point(setup):
    bases, text = stages()
    assert set(bases) == {"beam", "launcher", "cpu", "gpu", "image"} and bases["image"] == "${VARIANT}"
    assert re.search(r"^ARG VARIANT=cpu$", text, re.M)
    assert 'ENTRYPOINT ["/opt/apache/beam/boot"]' in text
    sources = [s for line in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M) for s in line.split()]
    assert all((ROOT / source).exists() for source in sources)
    rooms = {package.removeprefix("movie_tags.").partition(".")[0] for package in setup["packages"]}
    assert rooms == {source for source in sources if (ROOT / source).is_dir()}
    assert {"setup.py", "pyproject.toml", "constraints.txt", "deploy/dataflow/launch.py"} <= set(sources)
    assert "FLEX_TEMPLATE_PYTHON_PY_FILE=/template/launch.py" in text
    seen = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    assert {word.removeprefix("!") for word in seen if word.startswith("!")} == set(sources)
    # Workers build no model: both are in the image, where a worker looks for them.
    assert {DEFAULT, COMPACT} <= set(re.findall(r"movie-tags model build (\w+)", text))
    assert re.search(r"^ENV MOVIE_TAGS_CACHE=/", text, re.M)


def test_the_build_is_of_googles_form():
    build = yaml.safe_load((DEPLOY / "cloudbuild.yaml").read_text())
    (step,) = strictly(Build, build).steps
    assert "--file=deploy/dataflow/Dockerfile" in step.args
    bases, _ = stages()
    assert build["substitutions"]["_VARIANT"] in bases


# The nightly run


def test_the_nightly_workflow_launches_the_template_as_it_is():
    steps = yaml.safe_load((DEPLOY / "nightly.workflow.yaml").read_text())["main"]["steps"]
    names = [name for step in steps for name in step]
    named = {name: body for step in steps for name, body in step.items()}
    assert len(set(names)) == len(names)
    ways = [way.get("next") for body in named.values() for way in [body, *body.get("switch", [])]]
    assert {way for way in ways if way} <= named.keys()
    body = named["launch"]["args"]["body"]
    arguments = json.loads((DEPLOY / "nightly.json").read_text())
    assert set(re.findall(r"args\.(\w+)", json.dumps(steps))) == arguments.keys()

    def filled(value):
        if isinstance(value, dict):
            return {key: filled(inner) for key, inner in value.items()}
        name = re.fullmatch(r"\$\{args\.(\w+)(?: \+ .*)?\}", str(value))
        return arguments[name[1]] if name else value

    launched = strictly(LaunchFlexTemplateRequest, filled(body)).launch_parameter
    regexes = {entry["name"]: entry["regexes"][0] for entry in committed()["parameters"]}
    assert set(metadata.REQUIRED) <= set(launched.parameters) <= regexes.keys()
    places = {"PROJECT": "some-project", "REGION": "europe-west1", "BUCKET": "films"}
    for name, value in launched.parameters.items():
        for word, place in places.items():
            value = value.replace(word, place)
        assert re.search(regexes[name], value), (name, value)


def test_the_page_names_only_what_there_is():
    page = (DEPLOY / "README.md").read_text()
    parameters = set(re.findall(r"--parameters \"?(\w+)=", page))
    assert parameters and parameters <= {entry["name"] for entry in committed()["parameters"]}
    for file in re.findall(r"deploy/dataflow/([\w.-]+\w)", page):
        assert (DEPLOY / file).exists(), file
    command = page.partition("## Without the template")[2].split("```")[1]
    options = set(re.findall(r"^ +(--[a-z_-]+)", command, re.M))
    assert len(options) > 10
    assert options <= tag_options()._option_string_actions.keys() | beam_option_actions().keys()
