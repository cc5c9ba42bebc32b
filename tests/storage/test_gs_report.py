"""The report and the summary of results on gs://."""

import json
from pathlib import Path

from films import picture, write_video
from results import small_results

from movie_tags.pipeline.commands import main


def names_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_report_of_results_on_gs_is_that_of_local_ones(gs, tmp_path, capsys):
    local = small_results(tmp_path / "results")
    uri = gs.put(local, "results")
    assert main(["report", str(local), "--output", str(tmp_path / "here")]) == 0
    assert main(["report", uri]) == 0
    assert capsys.readouterr().out.splitlines()[1] == f"{uri}/report/index.html"
    here = names_below(tmp_path / "here")
    assert {name.removeprefix("results/report/") for name in gs.names("results/report/")} == here and len(here) == 5
    assert gs.text("results/report/index.html") == (tmp_path / "here" / "index.html").read_text()
    assert main(["report", uri, "--output", str(tmp_path / "there")]) == 0
    for name in here:
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_a_summary_of_results_on_gs(gs, tmp_path, capsys):
    uri = gs.put(small_results(tmp_path / "results"), "summed")
    assert main(["summary", uri, "a.mp4", "--pictures", "3"]) == 0
    sheet, listing = capsys.readouterr().out.splitlines()
    assert sheet.startswith(f"{uri}/summaries/a-mp4-") and sheet.endswith(".jpg")
    listed = json.loads(gs.text(listing.removeprefix("gs://").partition("/")[2]))
    assert len(listed["pictures"]) == 3
    assert main(["summary", f"{uri}-none", "a.mp4"]) == 2
    assert "holds no results" in capsys.readouterr().err


def test_a_run_ends_with_its_report(gs, tmp_path, capsys, small_bundle):
    write_video(tmp_path / "a.mp4", [picture(k // 50) for k in range(200)])
    uri = gs.put(tmp_path / "a.mp4", "ends/a.mp4").removesuffix("a.mp4")
    command = ["tag", str(tmp_path / "a.mp4"), "--model", small_bundle, "--report", "--direct_num_workers", "1"]
    assert main([*command, "--output", f"{uri}out"]) == 0
    assert f"Look at {uri}out/report/index.html" in capsys.readouterr().out
    assert "a.mp4" in gs.text("ends/out/report/index.html") and len(gs.names("ends/out/report/films/")) == 1
