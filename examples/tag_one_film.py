"""The tags of one film.

python examples/tag_one_film.py FILM [MODEL]
"""

import sys

import movie_tags


def main(film: str, model: str = "default") -> None:
    tagged = movie_tags.tag(film, model)
    print(f"{tagged.title}: {tagged.duration_s:.0f} s, {tagged.shots} shots")
    for tag in tagged.short_list:
        print(f"  {tag.tag}: {tag.sureness:.0%} sure, {tag.seconds:.0f} s, strength {tag.strength:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
