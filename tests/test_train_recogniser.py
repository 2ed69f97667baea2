"""The making of the shipped recogniser on made-up motion: it learns, it cannot leak, it repeats, its file equals it."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch

from realtime_mer.errors import DataError
from realtime_mer.face.regions import SIZE
from realtime_mer.recognise.spec import KEY, ModelSpec
from realtime_mer.records import Face
from train import metrics
from train.protocols import loso
from train.recogniser import card, data, default, onnx_file, scoring
from train.recogniser.network import CELLS, Fitting, FlowNet, cell_means, describe, fit, mirrored, mirrored_description
from train.records import THREE, Clip

QUICK = Fitting(members=1, hidden=12, steps=30, rate=0.03)
SUBJECTS, EACH = 6, 6


def clip(dataset, subject, number, label):
    return Clip(dataset, subject, f"clip{number}", (Path("none"),), 0, 0, 0, 200.0, (), label)


def motions(dataset="casme2", seed=0, own=True, noise=1.0):
    """Made-up samples: each class moves a place of its own, and every subject adds a bias of its own."""
    random = np.random.default_rng(seed)
    means = np.random.default_rng(99).normal(size=(3, 2, CELLS, CELLS))
    clips, blocks, y = [], [], []
    for s in range(SUBJECTS):
        bias = random.normal(0, 0.5, (2, CELLS, CELLS))
        for i in range(EACH):
            label = (i + s) % 3
            clips.append(clip(dataset, f"s{s}", i, THREE[label]))
            blocks.append(means[label] + bias + random.normal(0, noise, (len(data.VIEWS), 2, CELLS, CELLS)))
            y.append(label)
    return data.Motions(np.float32(blocks), np.array(y), tuple(clips), np.full(len(y), own))


@pytest.fixture(scope="module")
def both():
    return data.join([motions(), motions("smic", seed=1, own=False)])


@pytest.fixture(scope="module")
def tested(both):
    return scoring.leave_one_subject_out(both, QUICK)


def test_it_learns_what_can_be_learned(both, tested):
    assert metrics.score(both.y, tested.probabilities, THREE).uar > 0.8
    assert np.allclose(tested.probabilities.sum(axis=1), 1)
    assert tested.answered.any()


def test_every_sample_is_tested_once_by_strangers(both):
    folds = loso(both.clips)
    assert sorted(i for fold in folds for i in fold.test) == list(range(len(both)))
    for fold in folds:
        known = set(both.groups[list(fold.train)])
        assert known.isdisjoint(both.groups[list(fold.test)])


def test_the_tested_subject_cannot_reach_its_own_network(both, tested):
    """Whatever the first subject's other samples and labels are, its tested sample gets the same answer."""
    first = np.flatnonzero(both.groups == both.groups[0])
    views, y = both.views.copy(), both.y.copy()
    views[first[1:]] = 100 * np.random.default_rng(5).normal(size=views[first[1:]].shape)
    y[first] = (y[first] + 1) % 3
    changed = scoring.leave_one_subject_out(data.Motions(views, y, both.clips, both.own), QUICK)
    assert np.array_equal(changed.probabilities[0], tested.probabilities[0])
    assert not np.array_equal(changed.probabilities[-1], tested.probabilities[-1])


def test_permuted_labels_fall_to_chance():
    made = motions(noise=0.3)
    uars = []
    for seed in range(3):
        shuffled = scoring.permuted(made, seed)
        assert sorted(shuffled.y) == sorted(made.y)
        uars.append(metrics.score(shuffled.y, scoring.plain_loso(shuffled, QUICK).argmax(1), THREE).uar)
    assert 0.2 < np.mean(uars) < 0.47


def test_the_same_samples_give_the_same_network(both):
    one, two = (scoring.train(both, QUICK) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))


def test_inner_parts_keep_subjects_whole(both):
    part = scoring._parts(both.groups, scoring.INNER, 0)
    assert set(part) == set(range(scoring.INNER))
    for name in set(both.groups):
        assert len(set(part[both.groups == name])) == 1


def test_a_mirrored_face_gets_the_same_logits(both):
    net = scoring.train(both, QUICK)
    cells = both.views[:, 0].copy()
    twin = mirrored(torch.from_numpy(cells)).numpy()
    assert np.allclose(net.logits(cells), net.logits(twin), atol=1e-4)


def test_the_description_has_length_and_side_and_mirrors_as_the_face_does():
    cells = torch.from_numpy(np.random.default_rng(3).normal(size=(4, 2, CELLS, CELLS)).astype(np.float32))
    inputs = describe(cells)
    assert torch.allclose(inputs, describe(7 * cells), atol=1e-4)  # where and which way, not how far
    assert not torch.allclose(inputs, describe(-cells), atol=1e-1)
    assert torch.allclose(describe(mirrored(cells)), mirrored_description(inputs), atol=1e-6)
    assert not describe(torch.zeros_like(cells)).any()
    opposite = torch.zeros(1, 2, CELLS, CELLS)
    opposite[0, 0, 4, 4:6] = torch.tensor([1.0, -1.0])  # cancels in the mean of its block, not in the sides
    assert torch.count_nonzero(describe(opposite)) == 2


def test_a_missing_class_does_not_break_the_fit():
    made = motions()
    some = made.take(made.y != 2)
    net = fit(some.views, some.y, np.ones(len(some), np.float32), QUICK)
    assert (net.logits(some.views[:, 0]).argmax(1) != 2).all()


def test_what_the_network_sees_is_what_training_keeps():
    feature = np.random.default_rng(0).normal(size=(5, 3, SIZE, SIZE)).astype(np.float32)
    net = FlowNet(8).eval()
    with torch.no_grad():
        direct = net(torch.from_numpy(feature)).numpy()
    assert np.allclose(direct, net.logits(cell_means(feature)), atol=1e-5)


def test_the_file_computes_what_the_network_computes(both, tmp_path):
    net = scoring.train(both, QUICK)
    spec = ModelSpec("made-up", "0", THREE, default.FEATURE, (3, SIZE, SIZE), temperature=1.7)
    onnx_file.write(net, spec, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    feature = np.random.default_rng(1).normal(size=(6, 3, SIZE, SIZE)).astype(np.float32)
    with torch.no_grad():
        expected = torch.softmax(net(torch.from_numpy(feature)) / 1.7, dim=1).numpy()
    assert np.allclose(session.run(["probabilities"], {"input": feature})[0], expected, atol=1e-5)
    assert ModelSpec.from_json(session.get_modelmeta().custom_metadata_map[KEY]) == spec


def test_own_flow_finds_the_movement_and_leaves_out_what_is_incomplete(tmp_path):
    """A made-up clip: textured frames in which a lip corner rises towards the apex."""
    face = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8), (0, 0), 2)
    x, y = np.meshgrid(np.arange(200, dtype=np.float32), np.arange(200, dtype=np.float32))
    rise = 2.5 * np.exp(-((x - 120) ** 2 + (y - 150) ** 2) / 400)
    paths = []
    for i in range(11):
        shift = (rise * np.sin(np.pi * i / 10)).astype(np.float32)
        paths.append(tmp_path / f"{i:03}.png")
        cv2.imwrite(str(paths[-1]), cv2.remap(face, x, y + shift, cv2.INTER_CUBIC))

    class Detector:
        def detect(self, _):
            points = np.zeros((478, 2), np.float32)
            points[[33, 133]], points[[263, 362]] = (80, 90), (124, 90)
            return (Face(0, (0, 0, 200, 200), points, 1.0, (0, 0, 0)),)

    class Blind:
        def detect(self, _):
            return ()

    whole = Clip("casme2", "s1", "whole", tuple(paths), 0, 5, 10, 200.0, (), "happiness")
    part = Clip("casme2", "s1", "part", tuple(paths), 0, 5, None, 200.0, (), "happiness")
    found, skipped = data.own_flow([whole, part], Detector())
    assert [c.clip for c in found.clips] == ["whole"]
    assert found.y.tolist() == [1]
    assert found.views.shape == (1, len(data.VIEWS), 2, CELLS, CELLS)
    assert len(skipped) == 1
    assert "part" in skipped[0]
    vertical = found.views[0, 0, 1]
    row, column = np.unravel_index(np.abs(vertical).argmax(), vertical.shape)
    assert vertical[row, column] < -0.5  # up
    assert abs(row - 12.5) + abs(column - 10.5) <= 3
    assert data.own_flow([whole], Blind())[1] == [f"{whole.key}: no face found at the onset"]


def test_maps_are_read_with_the_median_as_rest(tmp_path):
    rgb = np.full((28, 28, 3), 128, np.uint8)
    rgb[20:22, 4:6, 1] = 28  # v: up, in one cell
    path = tmp_path / "map.png"
    cv2.imwrite(str(path), rgb[..., ::-1])
    found = data.from_maps([Clip("smic", "s1", "a", (path,), None, 0, None, 0.0, (), "positive")])
    cells = found.views[0, 0]
    assert np.unravel_index(np.abs(cells).argmax(), cells.shape) == (1, 10, 2)
    assert cells[1, 10, 2] == -100
    assert np.count_nonzero(cells) == 1
    assert not found.own.any()


def test_the_map_of_a_clip_is_one_of_its_views_and_never_the_tested_one(tmp_path):
    own = motions()
    path = tmp_path / "map.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (28, 28, 3), np.uint8))
    listed = [replace(own.clips[3], frames=(path,))]
    found = data.with_maps(own, listed)
    assert np.array_equal(found.views[:, : len(data.VIEWS)], own.views)
    more = found.views[:, len(data.VIEWS) :]
    assert np.array_equal(more[3], data.from_maps(listed).views[0, : data.MAP_VIEWS])
    assert np.array_equal(more[4, 0], own.views[4, 0])  # no map: the annotated view again
    assert data.join([found, data.from_maps(listed)]).views.shape[1] == len(data.VIEWS) + data.MAP_VIEWS


def test_the_whole_run_writes_its_card_from_its_own_numbers(both):
    moved = [both.take(both.own)] * len(default._MOVES)
    quick = Fitting(members=1, hidden=4, steps=4)
    findings, net, spec = default.make(both, moved, ["casme2/s9/x: no face"], "the command", quick)
    text = card.render(findings, spec)
    own = findings.rows[0]
    assert own.clips == SUBJECTS * EACH
    assert spec.scores["UF1"]["value"] == round(own.uf1.value, 4)
    assert spec.scores["parameters"]["value"] == sum(p.numel() for p in net.parameters())
    for expected in (f"{own.uf1.value:.3f}", "casme2/s9/x: no face", "the command", "permuted labels", "research only"):
        assert expected in text


def test_the_ece_of_a_perfect_model_is_zero_when_it_is_certain_and_falls_with_fewer_bins():
    assert not card.perfect_ece(np.eye(3)[[0, 1, 2, 1]]).any()
    spread = np.random.default_rng(0).dirichlet((1, 1, 1), 60)
    many, few = card.perfect_ece(spread, 15).mean(), card.perfect_ece(spread, 5).mean()
    assert many > few > 0.02


def test_wrong_paths_are_one_line(tmp_path, capsys):
    code = default.main(["--casme2", str(tmp_path / "no"), "--sheet", str(tmp_path / "no.xlsx")])
    shown = capsys.readouterr().err
    assert code == DataError.exit_code
    assert shown.count("\n") == 1
    assert "no" in shown
