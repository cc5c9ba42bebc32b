"""A model of your own: a head for your tags on a frozen backbone, from folders of pictures, and a film tagged with it.

    python examples/your_own_model.py PICTURES FILM

PICTURES holds a folder of .jpg files for each tag, named SOURCE__NAME.jpg, and `_none` for pictures that show none of
them; needs `pip install '.[train]'`.
"""

import sys
import tempfile

import movie_tags
from movie_tags.pipeline.commands import main as command


def main(pictures: str, film: str, *options: str) -> None:
    with tempfile.TemporaryDirectory() as bundle:
        if command(["train", "--dataset", pictures, "--output", bundle, *options]):
            sys.exit("no model was learned")
        for tag in movie_tags.tag(film, bundle).tags:
            print(f"{tag.tag}: {tag.seconds:.0f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
