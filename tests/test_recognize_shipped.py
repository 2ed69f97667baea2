"""The model that ships: it loads, fits this version, keeps its word about probabilities, and says what it is."""

import numpy as np
import pytest

from realtime_mer import recognize
from realtime_mer.face.regions import SIZE
from realtime_mer.motion.flow import FEATURES


@pytest.fixture(scope="module")
def recognizer():
    return recognize.load("default", device="cpu")


def motion(count, seed=0):
    return np.random.default_rng(seed).normal(0, 0.5, (count, 3, SIZE, SIZE)).astype(np.float32)


def one_place(x, y, dx, dy, width=9.0):
    """Motion of a single place of the face, (1, 3, SIZE, SIZE)."""
    grid = np.arange(SIZE, dtype=np.float32)
    weight = np.exp(-((grid[None] - x) ** 2 + (grid[:, None] - y) ** 2) / (2 * width**2))
    return np.stack([dx * weight, dy * weight, 0 * weight])[None].astype(np.float32)


def test_it_says_what_it_is(recognizer):
    spec = recognizer.spec
    assert spec.feature in FEATURES
    assert spec.input_shape == (3, SIZE, SIZE)
    assert spec.labels == ("negative", "positive", "surprise", "none")
    assert spec.none == "none"
    assert spec.training_data
    assert "research only" in spec.license
    assert "leave one subject out" in spec.protocol
    low, value, high = (spec.scores["UF1"][key] for key in ("low", "value", "high"))
    assert 1 / 3 < low <= value <= high < 1
    assert 0.5 <= spec.abstain_below < 1


def test_probabilities_are_probabilities_and_repeat(recognizer):
    batch = motion(9)
    answer = recognizer.classify(batch)
    assert answer.shape == (9, recognizer.spec.width)
    assert answer.dtype == np.float32
    assert (answer >= 0).all()
    assert np.allclose(answer[:, :4].sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(answer, recognizer.classify(batch))


def test_the_strength_of_a_movement_does_not_change_the_answer_until_it_is_nothing(recognizer):
    smile = one_place(83, 86, 0.5, -1.0) + one_place(45, 86, -0.5, -1.0)
    one, three, nothing = (recognizer.classify(size * smile)[0] for size in (1, 3, 0.01))
    assert np.allclose(one, three, atol=0.02)
    assert recognize.predict(one[:4], recognizer.spec).label == "positive"
    assert recognize.predict(nothing[:4], recognizer.spec).label is None
    assert nothing[3] > 0.9
    some = nothing[:3] / nothing[:3].sum()
    assert np.allclose(some, one[:3] / one[:3].sum(), atol=0.02)


def test_noise_of_little_strength_is_none(recognizer):
    found = recognizer.classify(0.02 * motion(50, seed=1))
    assert (found[:, :4].argmax(axis=1) == 3).all()


def test_a_mirrored_face_gets_the_same_answer(recognizer):
    batch = motion(4, seed=3)
    twin = batch[..., ::-1].copy()
    twin[:, 0] *= -1
    assert np.allclose(recognizer.classify(batch), recognizer.classify(twin), atol=1e-4)


def test_plain_movements_are_told_apart(recognizer):
    """Lip corners up and out (AU12), brows up (AU1+2), brows down and together (AU4): synthetic, and textbook."""
    movements = {
        "positive": one_place(83, 86, 0.6, -1.0) + one_place(45, 86, -0.6, -1.0),
        "surprise": sum(one_place(x, 36, 0, -1.5) for x in (42, 54, 74, 86)),
        "negative": one_place(54, 38, 0.5, 1.0) + one_place(74, 38, -0.5, 1.0),
    }
    found = recognizer.classify(np.concatenate(list(movements.values())))
    assert [recognizer.spec.labels[i] for i in found[:, :4].argmax(axis=1)] == list(movements)


def test_no_motion_is_no_confident_answer(recognizer):
    rest = recognizer.classify(np.zeros((1, 3, SIZE, SIZE), np.float32))[0]
    assert np.isfinite(rest).all()
    assert recognize.predict(rest[:4], recognizer.spec).abstained


def test_predict_abstains_below_the_threshold(recognizer):
    spec = recognizer.spec
    sure = np.array([0.01, 0.97, 0.01, 0.01], np.float32)
    unsure = np.array([0.34, 0.33, 0.32, 0.01], np.float32)
    still = np.array([0.01, 0.01, 0.01, 0.97], np.float32)
    assert recognize.predict(still, spec).abstained
    assert recognize.predict(sure, spec).label == "positive"
    prediction = recognize.predict(unsure, spec)
    assert prediction.label is None
    assert prediction.abstained
    assert list(prediction.probabilities) == list(spec.labels)
    assert sum(prediction.probabilities.values()) == pytest.approx(1)


NAMES = ("default", "efficient-me", "efficient-me-lite", "mobilenet-v3-small")


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_model_says_whom_it_knows_how_good_it_is_and_answers(name):
    opened = recognize.load(name, device="cpu")
    spec = opened.spec
    assert spec.feature in FEATURES
    assert (spec.labels[-1], spec.none) == ("none", "none")
    assert "casme2/sub01" in spec.people
    assert "research only" in spec.license
    assert "temperature and threshold nested" in spec.protocol
    assert spec.temperature != 1
    low, value, high = (spec.scores["UF1"][key] for key in ("low", "value", "high"))
    assert 1 / 3 < low <= value <= high < 1
    assert spec.scores["ECE of a perfect model"]["value"] > 0
    assert [head.name for head in spec.heads] == ["objective", "action_units"]
    assert spec.heads[1].labels == tuple(f"AU{n}" for n in (1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17))
    smile = one_place(83, 86, 0.6, -1.0) + one_place(45, 86, -0.6, -1.0)
    brows_up = sum(one_place(x, 36, 0, -1.5) for x in (42, 54, 74, 86))
    brows_down = one_place(54, 38, 0.5, 1.0) + one_place(74, 38, -0.5, 1.0)
    found = [recognize.answer(row, spec) for row in opened.classify(np.concatenate([smile, brows_up, brows_down]))]
    assert [one.objective.label for one in found] == ["I", "II", "III"]
    assert min(found[1].action_units["AU1"], found[1].action_units["AU2"]) > 0.5 > found[1].action_units["AU4"]
    assert found[2].action_units["AU4"] > 0.5 > found[2].action_units["AU1"]
    nothing = recognize.answer(opened.classify(0.01 * motion(1))[0], spec)
    assert (nothing.prediction.label, nothing.objective, nothing.action_units) == (None, None, None)


def test_all_models_together_stay_small_enough_for_the_package():
    sizes = {item.path.stem: item.path.stat().st_size for item in recognize.catalog() if item.origin == "shipped"}
    assert set(sizes) == set(NAMES)
    assert sum(sizes.values()) < 14e6  # bytes; the wheel stays under 15 MB
