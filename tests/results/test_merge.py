"""Which pictures a film's new rows leave behind: as those of the rows taken apart."""

import io
import json

from hypothesis import given
from hypothesis import strategies as st

from movie_tags.results.merge import write_replaced

NAMES = ["thumbnails/a/1.jpg", 'b"2.jpg', "c\\3", "é\u2028ü.jpg", ""]
TEXTS = st.sampled_from([*NAMES, '"thumbnail": "x.jpg"', '", "thumbnail": "y.jpg', "thumbnail", "\\"])
ROWS = st.lists(
    st.fixed_dictionaries(
        {"id": TEXTS, "title": TEXTS, "tags": st.lists(st.fixed_dictionaries({"tag": TEXTS}), max_size=2)},
        optional={"thumbnail": st.sampled_from([*NAMES, None]), "kind": TEXTS},
    ),
    max_size=5,
)


@given(ROWS, ROWS)
def test_pictures_that_are_replaced_are_told_by_their_rows(before, now):
    out = io.BytesIO()
    lines = ([json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows] for rows in (before, now))
    write_replaced(out, *lines)
    pictures = [{row.get("thumbnail") for row in rows} - {None} for rows in (before, now)]
    assert out.getvalue().decode() == "".join(f"{name}\n" for name in sorted(pictures[0] - pictures[1]))
