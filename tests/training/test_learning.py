"""Examples from corrections, and what is decided by what was learned: known answers and properties."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from movie_tags.models.heads import LinearHead
from movie_tags.models.quantised import quantise, restore
from movie_tags.progress import LOGGER, PREFIX
from movie_tags.records import TITLE_CARD, KeyFrame, TagProbability
from movie_tags.results import overlay
from movie_tags.results.corrections import Correction, Held, Place
from movie_tags.results.listing import THRESHOLD
from movie_tags.training.corrected import SUREST, Corrected, draw, labels_of, rows_of
from movie_tags.training.heads.adapt import Examples
from movie_tags.training.learning import cut, film_offset, learn
from movie_tags.transforms.evidence import FilmConfidence

TAGS = ("Food", "War", "Temple")
places = st.one_of(
    st.just(Place()), st.tuples(st.integers(0, 9), st.integers(0, 4)).map(lambda pair: Place(pair[0], sum(pair)))
)
said = st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(("applies", "rejected", "withdrawn")), places))


@given(said)
def test_labels_are_what_the_pages_show(corrections):
    """Against the key frames as they are shown with the corrections laid over them."""
    verdicts = Held(Correction("a", tag, verdict, place) for tag, verdict, place in corrections).of("a")
    labels, weights = labels_of(range(10), verdicts, TAGS)
    assert np.array_equal(np.isfinite(labels), weights > 0)
    for time in range(10):
        before = KeyFrame(time, time, time + 1, tags=tuple(TagProbability(tag, 0.5) for tag in TAGS))
        shown = {tag.tag: tag.probability for tag in overlay.key_frame(before, verdicts).tags}
        known = [{1.0: 1.0, 0.5: np.nan}.get(shown.get(tag, 0), 0.0) for tag in TAGS]
        assert np.array_equal(labels[time], known, equal_nan=True)


def test_what_is_said_of_a_film_is_said_of_its_most_probable_key_frame():
    found = np.array([[0.1, 0.9], [0.8, 0.2], [0.6, 0.3]])
    film = Correction("a", "Food", "applies")
    frame = [Correction("a", "Food", verdict, Place(at, at)) for verdict, at in (("rejected", 1), ("applies", 0))]
    for corrections, expected in (
        ([film], [np.nan, 1, np.nan]),
        ([film, frame[0]], [np.nan, 0, 1]),
        ([film, frame[1]], [1, np.nan, np.nan]),
    ):
        labels, _ = labels_of(range(3), Held(corrections).of("a"), TAGS, found)
        assert np.array_equal(labels[:, 0], expected, equal_nan=True) and np.isnan(labels[:, 1:]).all()
    own = Held([Correction("a", "Temple", "applies")]).of("a")  # which the model does not know
    assert np.isnan(labels_of(range(3), own, TAGS, found)[0]).all()


def test_a_rejected_film_weighs_little():
    verdicts = Held([Correction("a", "War", "rejected")]).of("a")
    for frames in (1, 2, 50):
        _, weights = labels_of(range(frames), verdicts, TAGS)
        assert weights.sum() == pytest.approx(0.5)


def test_of_a_long_film_a_few_key_frames_are_taken():
    """Evenly spread ones, those of which something is said, and those that showed the most of what is said of all."""
    random = np.random.default_rng(0)
    frames = [(float(time), quantise(random.random(4, np.float32))) for time in range(1500)]
    head = LinearHead(random.normal(size=(4, 2)).astype(np.float32), np.zeros(2, np.float32), (4,))
    probable = head(np.stack([restore(data) for _, data in frames]))
    said = [
        Correction("a", "War", "rejected"),
        Correction("a", "Food", "applies"),
        Correction("a", "Temple", "applies"),
    ]
    placed = [Correction("a", "Temple", "applies", Place(7, 7)), Correction("a", "Food", "rejected", Place(100, 103))]
    verdicts = Held([*said, *placed]).of("a")
    rows = rows_of("a", frames, verdicts, ("Food", "War", "Temple"), head, 20)
    assert len(rows) <= 20 + 4 + 2 * SUREST and {id for id, *_ in rows} == {"a"}
    time_of = {data: time for time, data in frames}
    times = np.array([time_of[quantise(vector)] for _, vector, *_ in rows])
    labels, weights = (np.stack([row[part] for row in rows]) for part in (2, 3))
    assert {0.0, 7.0, 100.0, 101.0, 102.0, 1499.0} <= set(times) and times[[row[4] for row in rows]] == pytest.approx(
        np.linspace(0, 1499, 20), abs=0.5
    )
    for tag in range(2):
        assert set(np.argsort(-probable[:, tag])[:SUREST].astype(float)) <= set(times)
    assert times[labels[:, 0] == 1] == [probable[:, 0].argmax()] and set(times[labels[:, 0] == 0]) == {100, 101, 102}
    assert (labels[:, 1] == 0).all() and weights[:, 1].sum() == pytest.approx(0.5)
    assert set(times[labels[:, 2] == 1]) == {7.0}


def test_films_are_drawn_from_parts_that_are_read_anyhow():
    parts = {f"film{i}": f"part{i // 10}" for i in range(40)}
    drawn = draw(parts, ["film25", "film21"], 8)
    assert len(set(drawn)) == 8 and {parts[id] for id in drawn} == {"part2"} and not {"film25", "film21"} & set(drawn)
    more = draw(parts, ["film25", "film21"], 12)
    assert more[:8] == drawn and len({parts[id] for id in more}) == 2
    assert set(draw(parts, ["film25"], 1000)) == parts.keys() - {"film25"}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.booleans(), st.integers(1, 999)), min_size=2, max_size=12, unique_by=lambda pair: pair[1]))
def test_no_cut_parts_better(pairs):
    labels, p = np.array([float(label) for label, _ in pairs]), np.array([place / 1000 for _, place in pairs])
    if labels.any():
        best = max(f1_score(labels, p >= threshold) for threshold in p)
        assert f1_score(labels, p >= cut(labels, p)) == pytest.approx(best)


def examples_of(films=12, frames=5, seed=0):
    """Films of which every third shows something in its first frames, and features that tell it."""
    random = np.random.default_rng(seed)
    names = np.repeat([f"film{i:02}" for i in range(films)], frames)
    shows = np.array([i % 3 == 0 and frame < 3 for i in range(films) for frame in range(frames)])
    features = random.random((len(names), 6), np.float32)
    features[:, 0] += shows * 2
    return Examples(features, shows[:, None].astype(float), np.ones((len(names), 1)), names), shows


def corrected(examples, known):
    tags = tuple(f"tag{i}" for i in range(examples.labels.shape[1]))
    return Corrected(tags, examples, {}, known, np.ones(len(examples.films), bool))


def test_films_with_a_new_tag_come_on_the_short_list_and_others_do_not():
    examples, shows = examples_of()
    found = np.where(shows, 0.4, 0.05).astype(np.float32)[:, None]
    model = FilmConfidence(-0.7, (0.87, 0.41, 0.0), {"other": 2.0})
    own = replace(model, tags={"new": film_offset(model, examples, found, 0)})
    for name in np.unique(examples.films):
        best, mean = np.sort(found[examples.films == name, 0])[-3:].mean(), found[examples.films == name].mean()
        sure = own.confidence("new", [*(np.log(p / (1 - p)) for p in (best, mean)), 0.0])
        assert (sure >= THRESHOLD) == (int(name[4:]) % 3 == 0)


def test_learning_says_how_many_steps_it_has_and_does_them(caplog):
    examples, _ = examples_of()
    head = LinearHead(np.zeros((6, 0), np.float32), np.zeros(0, np.float32), (6,))
    for films, due in ((examples.films, 7), (np.full(60, "one"), 7), (np.repeat(["one", "two"], 30), 4)):
        caplog.clear()
        with caplog.at_level("INFO", LOGGER):
            learn(head, [], None, corrected(replace(examples, films=films), 0))
        reports = [json.loads(text.removeprefix(PREFIX)) for text in caplog.messages]
        assert reports[0] == {"steps_due": due} and reports[1:] == [{"steps": 1}] * due


def test_a_new_tag_is_learned_beside_those_that_stay():
    examples, shows = examples_of()
    wide = np.column_stack([np.full(len(shows), np.nan), examples.labels[:, 0]])
    examples = replace(examples, labels=wide, weights=np.ones(wide.shape))
    head = LinearHead(np.ones((6, 1), np.float32), np.zeros(1, np.float32), (6,))
    learned = learn(head, [0.3], FilmConfidence(0, (1, 1, 0)), corrected(examples, 1))
    assert (learned.head.kernel[:, 0] == head.kernel[:, 0]).all() and learned.head.bias[0] == head.bias[0]
    assert learned.thresholds[0] == 0.3 and learned.touched == (1,) and learned.confidence.alone == {"tag1"}
    believed = learned.head(examples.features)[:, 1] >= learned.thresholds[1]
    assert (believed == shows).mean() > 0.95 and not learned.worse


@pytest.mark.parametrize(("right", "listed"), [(12, True), (3, False)])
def test_a_tag_that_was_kept_off_the_list_comes_on_it_once_people_find_it_right(right, listed):
    """Its head tells it from others; it was seldom right before, so that a ceiling kept it off."""
    examples, _ = examples_of(films=60)
    spoken = np.isin(examples.films, [f"film{3 * i:02}" for i in range(right)])
    labels = np.where(spoken[:, None], examples.labels, np.nan)
    head = LinearHead(np.array([[2], [0], [0], [0], [0], [0]], np.float32), np.full(1, -3, np.float32), (6,))
    film = FilmConfidence(1.0, (1.0, 0.3, 0.0), {"tag0": 0.5}, {"tag0": 0.15, "other": 0.1})
    learned = learn(head, [0.4], film, corrected(replace(examples, labels=labels), 1))
    assert learned.confidence.ceilings == ({"other": 0.1} if listed else film.ceilings)
    assert bool(learned.films.after.any()) == listed and not learned.films.before.any()


def test_title_cards_are_no_tags_of_films():
    examples, _ = examples_of()
    head = LinearHead(np.ones((6, 1), np.float32), np.full(1, -3, np.float32), (6,))
    said = Corrected((TITLE_CARD,), examples, {}, 1, np.ones(len(examples.films), bool))
    assert learn(head, [0.5], FilmConfidence(1.0, (1.0, 0.3, 0.0)), said).confidence.tags == {}


def test_of_a_single_film_nothing_is_known_of_how_often_tags_are_believed():
    examples, _ = examples_of(films=1)
    head = LinearHead(np.ones((6, 1), np.float32), np.full(1, -3, np.float32), (6,))
    examples = replace(examples, weights=np.full(examples.weights.shape, 1e-9))
    learned = learn(head, [0.5], None, corrected(examples, 1))
    assert learned.head.bias == pytest.approx(head.bias, abs=1e-6)


def test_a_film_that_is_rejected_as_a_whole_counts_once():
    films = np.array(["a"] * 5 + ["b"] * 3)
    labels = np.array([0, 0, 0, 0, 0, 0, 1, np.nan])[:, None]
    weights = np.array([0.1] * 5 + [1, 1, 0])[:, None]
    examples = Examples(np.zeros((8, 1), np.float32), labels, weights, films)
    assert Corrected(("War",), examples, {}, 1, np.ones(8, bool)).counts(0) == (1, 2)


def test_what_contradicts_itself_makes_a_model_worse():
    """What tells the tag in some films tells the opposite in the others; the model went by something else, rightly."""
    names = np.repeat([f"film{i}" for i in range(4)], 10)
    labels = np.tile([1.0, 0.0], 20)
    features = np.zeros((40, 3), np.float32)
    features[:, 0] = np.where(np.isin(names, ["film0", "film1"]), labels, 1 - labels)
    features[:, 1] = 0.1 * labels
    head = LinearHead(np.array([[0], [5], [0]], np.float32), np.zeros(1, np.float32), (3,))
    examples = Examples(features, labels[:, None], np.ones((40, 1)), names)
    learned = learn(head, [0.5], None, corrected(examples, 1))
    assert learned.worse and learned.mean_average_precision[0] == 1
