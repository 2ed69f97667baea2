"""The detector on the public-domain portrait in scikit-image, turned, cut, shrunk and doubled (all made here)."""

import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage import data

from realtime_mer.errors import ConfigError, ModelError
from realtime_mer.face import FaceDetector
from realtime_mer.face.detect import head_pose, overlap
from realtime_mer.face.quiet import native_log_dropped
from realtime_mer.records import Face, Frame

PORTRAIT = np.ascontiguousarray(data.astronaut()[:, :, ::-1])
FACE = (225.0, 125.0)  # px, middle of the face in it, by eye
HEAD = PORTRAIT[0:300, 80:380]


@pytest.fixture(scope="module")
def detector():
    with FaceDetector(max_faces=3) as detector:
        yield detector


def frame(image):
    return Frame(0, 0.0, cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), lambda: image)


def one(detector, image) -> Face:
    (found,) = detector.detect(frame(image))
    return found


def on_gray(width, height, *pasted):
    """A gray picture with (patch, x, y) pasted."""
    image = np.full((height, width, 3), 90, np.uint8)
    for patch, x, y in pasted:
        image[y : y + patch.shape[0], x : x + patch.shape[1]] = patch
    return image


def rotated(image, clockwise):
    turn = cv2.getRotationMatrix2D(FACE, -clockwise, 1)
    return cv2.warpAffine(image, turn, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def turned(image, yaw):
    """The face as if painted on an upright cylinder that turns to the picture's right (the subject's left)."""
    radius = 70.0  # px
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float32)
    across = x - FACE[0]
    angle = np.arcsin(np.clip(across / radius, -1, 1)) - np.radians(yaw)
    source = radius * np.sin(np.clip(angle, -np.pi / 2, np.pi / 2))
    return cv2.remap(
        image, np.where(np.abs(across) < radius, source, across).astype(np.float32) + FACE[0], y, cv2.INTER_LINEAR
    )


def error(found: Face, points) -> float:
    """Median distance of the landmarks, in distances between the eyes' outer corners."""
    return float(np.median(np.linalg.norm(found.points - points, axis=1)) / np.linalg.norm(points[263] - points[33]))


def test_one_face(detector):
    found = one(detector, PORTRAIT)
    x0, y0, x1, y1 = found.box
    assert 0.3 < (FACE[0] - x0) / (x1 - x0) < 0.7
    assert 0.3 < (FACE[1] - y0) / (y1 - y0) < 0.7
    assert 70 < x1 - x0 < 120
    assert found.points.shape == (478, 2)
    assert found.points.dtype == np.float32
    assert not found.points.flags.writeable
    assert found.score == 1.0
    assert found.points[33, 0] < found.points[263, 0]  # the subject's right eye is on the picture's left
    assert found.points[10, 1] < found.points[1, 1] < found.points[152, 1]  # forehead, nose, chin


def test_two_faces_and_the_limit(detector):
    image = on_gray(640, 300, (HEAD, 0, 0), (HEAD, 330, 0))
    boxes = sorted(found.box for found in detector.detect(frame(image)))
    assert len(boxes) == 2
    assert boxes[0][2] < 320 < boxes[1][0]
    with FaceDetector(max_faces=1) as single:
        assert len(single.detect(frame(image))) == 1


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(on_gray(640, 480), id="gray"),
        pytest.param(np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8), id="noise"),
        pytest.param(np.repeat(data.coins()[:, :, None], 3, axis=2), id="coins"),
        pytest.param(np.ascontiguousarray(data.coffee()), id="coffee"),
    ],
)
def test_no_face(detector, image):
    assert detector.detect(frame(image)) == ()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 3000), (3000, 2), (17, 16)])
def test_odd_sizes(detector, shape):
    assert detector.detect(frame(np.zeros((*shape, 3), np.uint8))) == ()


def test_mirroring_flips_yaw_and_roll(detector):
    image = rotated(turned(PORTRAIT, 20), 8)
    yaw, pitch, roll = one(detector, image).pose
    mirrored = one(detector, np.ascontiguousarray(image[:, ::-1])).pose
    assert yaw > 4
    assert roll > 6
    assert mirrored == pytest.approx((-yaw, pitch, -roll), abs=3)


@pytest.mark.parametrize("degrees", [-30, -15, 15, 30])
def test_roll_is_clockwise_in_the_picture(detector, degrees):
    upright, tilted = one(detector, PORTRAIT).pose, one(detector, rotated(PORTRAIT, degrees)).pose
    assert tilted[2] - upright[2] == pytest.approx(degrees, abs=3)


def test_yaw_grows_to_the_subjects_left(detector):
    yaws = [one(detector, turned(PORTRAIT, degrees)).pose[0] for degrees in (-30, -15, 0, 15, 30)]
    assert yaws == sorted(yaws)
    assert yaws[0] < -8
    assert yaws[-1] > 8


def test_pitch_grows_upwards():
    """A tilt in depth cannot be painted onto a photograph, so the geometry is turned instead of the picture."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(478, 3)).astype(np.float32)
    points[[33, 263, 10, 152]] = [(-45, 0, 0), (45, 0, 0), (0, -50, 0), (0, 60, 0)]  # y down, z away from the camera
    level = head_pose(points)
    back = np.radians(20)  # looking up brings the chin forward and the forehead back
    tilt = np.array([[1, 0, 0], [0, np.cos(back), np.sin(back)], [0, -np.sin(back), np.cos(back)]], np.float32)
    assert (points @ tilt.T)[10, 2] > 0 > (points @ tilt.T)[152, 2]
    assert np.subtract(head_pose(points @ tilt.T), level) == pytest.approx((0, 20, 0), abs=0.01)


def test_pose_does_not_depend_on_the_place_in_the_picture(detector):
    poses = [one(detector, on_gray(640, 480, (HEAD, x, y))).pose for x in (0, 340) for y in (0, 180)]
    assert np.ptp(poses, axis=0) == pytest.approx((0, 0, 0), abs=3)


def test_a_face_cut_by_the_edge(detector):
    whole = one(detector, PORTRAIT)
    cut = 195  # px, through the subject's right eye
    found = one(detector, np.ascontiguousarray(PORTRAIT[:, cut:]))
    assert found.box[0] == 0.0
    assert found.score < 1.0
    assert error(found, whole.points - np.array([cut, 0])) < 0.1
    assert found.points[:, 0].min() < 0  # the points go on where the picture ends


def test_a_face_that_fills_the_picture(detector):
    """A fifth of the face cut off on every side: MediaPipe alone finds nothing."""
    whole = one(detector, PORTRAIT)
    x0, y0, x1, y1 = (int(v) for v in whole.box)
    x, y = x0 + (x1 - x0) // 5, y0 + (y1 - y0) // 5
    tight = np.ascontiguousarray(PORTRAIT[y : y1 - (y1 - y0) // 5, x : x1 - (x1 - x0) // 5])
    tight = cv2.resize(tight, None, fx=9, fy=9, interpolation=cv2.INTER_CUBIC)
    assert detector._landmarks(cv2.cvtColor(tight, cv2.COLOR_BGR2RGB)) == []
    assert error(one(detector, tight), (whole.points - np.array([x, y])) * 9) < 0.05


@pytest.mark.parametrize(("x", "y"), [(0, 0), (420, 200), (520, 210), (980, 420)])
def test_a_small_face_in_a_large_picture(detector, x, y):
    image = on_gray(1280, 720, (HEAD, x, y))
    assert detector._landmarks(cv2.cvtColor(image, cv2.COLOR_BGR2RGB)) == []
    assert error(one(detector, image), one(detector, HEAD).points + np.array([x, y])) < 0.03


def test_the_same_picture_gives_the_same_answer_in_any_thread(detector):
    first = one(detector, PORTRAIT)
    detector.detect(frame(on_gray(640, 480, (HEAD, 340, 100))))  # nothing is carried over
    results = []
    thread = threading.Thread(target=lambda: results.append(one(detector, PORTRAIT)))
    thread.start()
    thread.join()
    assert np.array_equal(results[0].points, first.points)
    assert (results[0].box, results[0].pose) == (first.box, first.pose)


def test_start_is_silent_and_lazy():
    script = (
        "import sys, numpy as np\n"
        "from realtime_mer.face import FaceDetector\n"
        "from realtime_mer.records import Frame\n"
        "assert 'mediapipe' not in sys.modules\n"
        "detector = FaceDetector()\n"
        "detector.detect(Frame(0, 0.0, np.zeros((48, 64), np.uint8)))\n"
        "assert 'sounddevice' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "detector.close()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_only_chatter_is_dropped(capfd):
    with native_log_dropped():
        os.write(2, b"W0000 00:00:1795328042.340307    9457 graph.cc:174] chatter\n")
        os.write(2, b"E0000 00:00:1795328042.340307    9457 graph.cc:174] trouble\nplain words\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "E0000 00:00:1795328042.340307    9457 graph.cc:174] trouble\nplain words\nafter\n"


def test_stderr_comes_back_after_an_error(capfd):
    with pytest.raises(RuntimeError), native_log_dropped():
        raise RuntimeError
    os.write(2, b"back\n")
    assert capfd.readouterr().err == "back\n"


def test_after_close():
    detector = FaceDetector()
    detector.close()
    detector.close()
    with pytest.raises(ValueError, match="close"):
        detector.detect(frame(PORTRAIT))


@pytest.mark.parametrize("wrong", [{"max_faces": 0}, {"max_faces": 99}, {"min_score": 1.5}])
def test_values_out_of_range(wrong):
    with pytest.raises(ConfigError, match="choose"):
        FaceDetector(**wrong)


def test_a_file_that_is_no_model(tmp_path):
    (tmp_path / "face.task").write_bytes(b"PK nothing of use")
    with pytest.raises(ModelError, match=r"face\.task is damaged"):
        FaceDetector(tmp_path / "face.task")


boxes = st.tuples(*[st.floats(0, 100)] * 2, *[st.floats(1, 100)] * 2).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(boxes, boxes)
def test_overlap_is_symmetric_and_a_share(a, b):
    assert overlap(a, b) == pytest.approx(overlap(b, a))
    assert 0 <= overlap(a, b) <= 1 + 1e-9
    assert overlap(a, a) == pytest.approx(1)
