"""Exports opened by readers too large to be installed with everything else, each in an environment of its own.

python -m venv fiftyone && fiftyone/bin/pip install fiftyone==1.22.1
python -m venv labelstudio && labelstudio/bin/pip install label-studio-sdk==2.1.2
export MOVIE_TAGS_FIFTYONE=$PWD/fiftyone/bin/python MOVIE_TAGS_LABELSTUDIO=$PWD/labelstudio/bin/python
pytest tests/report/test_readers.py
"""

import json
import os
import subprocess

import pytest
from exported import export, films, write_film  # noqa: F401
from result_folders import film, span, tag, write_tables

from movie_tags.pipeline.commands import main

FIFTYONE = """
import json, sys
from fiftyone.utils.data.importers import FiftyOneTemporalDetectionDatasetImporter
folder, found = sys.argv[1], {}
reader = FiftyOneTemporalDetectionDatasetImporter(data_path=f"{folder}/data.json", labels_path=f"{folder}/labels.json")
with reader:
    for path, _, label, _ in reader:
        found[path] = [[t.label, list(t.support), t.confidence] for t in label.detections]
json.dump(found, sys.stdout)
"""
LABEL_STUDIO = """
import json, sys
from label_studio_sdk.label_interface import LabelInterface
folder = sys.argv[1]
interface = LabelInterface(open(f"{folder}/config.xml", encoding="utf-8").read())
interface.validate()
wrong = []
for task in json.load(open(f"{folder}/tasks.json", encoding="utf-8")):
    for prediction in task["predictions"]:
        wrong += interface.validate_prediction(prediction, return_errors=True)
json.dump({"wrong": wrong, "labels": interface.get_control("tags").labels}, sys.stdout)
"""


def read_by(variable, code, folder):
    python = os.environ.get(variable)
    if not python:
        pytest.skip(f"{variable} names no Python that has the reader")
    done = subprocess.run([python, "-c", code, str(folder)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_fiftyone_reads_its_labels(films, tmp_path):  # noqa: F811
    export(films, "fiftyone", tmp_path, status=3)
    found = read_by("MOVIE_TAGS_FIFTYONE", FIFTYONE, tmp_path)
    assert found[str(films / "pal.mp4")][0] == ["Beach/Sea", [51, 175], 0.8]


def test_fiftyone_finds_films_whose_names_have_dots(tmp_path):
    path = tmp_path / "films" / "Show.S01E02.720p.mp4"
    path.parent.mkdir()
    write_film(path, 25, 2)
    rows = {"tags": [film(str(path), [tag("Animal", 1.0)], duration_s=2.0)], "spans": [span(str(path), "Animal", 0, 2)]}
    results = write_tables(tmp_path / "results", **rows)
    assert main(["export", str(results), "--to", "fiftyone", "--output", str(tmp_path)]) == 0
    found = read_by("MOVIE_TAGS_FIFTYONE", FIFTYONE, tmp_path)
    assert found == {str(path): [["Animal", [1, 50], 0.5]]}


def test_label_studio_takes_the_configuration_and_the_predictions(films, tmp_path):  # noqa: F811
    export(films, "labelstudio", tmp_path, status=3)
    found = read_by("MOVIE_TAGS_LABELSTUDIO", LABEL_STUDIO, tmp_path)
    assert found["wrong"] == []
    assert found["labels"][:2] == ["Beach/Sea", "Children"]
