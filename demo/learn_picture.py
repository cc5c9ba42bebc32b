"""Makes the picture of the page Learn: what a model has learned of the demo's films, and pictures to mark next.

    python demo/learn_picture.py RESULTS PICTURE.png

RESULTS is the folder of results that `make demo` makes; a copy of it is taught.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from browser import opened, why_not
from picture import write_picture

from movie_tags.pipeline.commands.review import guess_of
from movie_tags.report.review.serve import prepare
from movie_tags.results.corrections import APPLIES, REJECTED, Correction, Corrections, Place
from movie_tags.results.folder import ResultsFolder

TAG = "Close-up"
SHOWN = (("cat_and_coffee", 2.0), ("cat_and_coffee", 6.0), ("cat_and_coffee", 10.0), ("space", 9.0))
WIDTH, HEIGHT = 1140, 1150
LONGEST_S = 300


def teach(results: str) -> None:
    """Say that the temple with its water is no beach, and which four pictures are close-ups."""
    films = {film.title.partition(".")[0]: film for film in ResultsFolder(results).read("tags")}
    temple = films["temple"]
    said = [Correction(temple.id, "Beach/Sea", REJECTED, content=temple.content)]
    said += [
        Correction(films[film].id, TAG, APPLIES, Place(time_s, time_s), films[film].content) for film, time_s in SHOWN
    ]
    Corrections(results).append(said)


def main(results: Path, picture: Path) -> None:
    if why_not():
        sys.exit(f"demo/learn_picture.py: no picture was made: {why_not()}")
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(results, Path(scratch) / "results", symlinks=True)
        teach(str(folder))
        page = prepare(str(folder), "Ada", guess=guess_of(str(folder)))
        server = threading.Thread(target=page.run)
        server.start()
        try:
            shoot(page.link, picture)
        finally:
            page.server.should_exit = True
            server.join()


def shoot(link: str, picture: Path) -> None:
    """Let a model learn on the page, look for pictures to mark, and write what is shown then."""
    with opened(WIDTH, HEIGHT, "--hide-scrollbars") as browser:
        browser.get(link)
        browser.get(f"{link.partition('?')[0]}learn#{TAG}")
        browser.find_element("id", "learn").click()
        done = (
            "return document.body.dataset.state === 'learn done' && document.querySelectorAll('#pictures li').length"
            " && [...document.images].every((image) => image.complete && image.naturalWidth)"
        )
        end = time.monotonic() + LONGEST_S
        while not browser.execute_script(done):
            if time.monotonic() > end:
                sys.exit(f"demo/learn_picture.py: {browser.find_element('id', 'state').text or 'nothing was learned'}")
            time.sleep(0.1)
        browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
        write_picture(browser, picture, WIDTH, HEIGHT)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
