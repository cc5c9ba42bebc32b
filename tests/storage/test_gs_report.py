"""Search and exports of results on gs://."""

import json

from exported import export, films  # noqa: F401

from movie_tags.pipeline.commands import main


def test_results_on_gs_are_searched_and_exported_there(gs, films, capsys):  # noqa: F811
    folder = gs.put(films / "results", "results")
    assert main(["search", folder, "beach and children", "--scenes", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["start_s"], row["end_s"]) for row in found] == [(5.0, 7.0)] * 4
    assert main(["export", folder, "--to", "csv"]) == 0
    assert gs.names("results/exports/") == [f"results/exports/csv/{name}.csv" for name in ("films", "spans", "tags")]
    assert main(["export", folder, "--to", "ffmetadata", "--output", folder + "-chapters"]) == 0
    assert len(gs.names("results-chapters/")) == 4
    assert main(["search", folder + "-nowhere", "beach"]) == 2
    assert "holds no results" in capsys.readouterr().err
