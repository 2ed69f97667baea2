# Two commands on a fresh machine: `make demo` and `make test`. Both make their own virtual environment first.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test check docs fuzz kills wheels rooms test-gpu system clean

demo: $(VENV)/.demo
	$(BIN)/realtime-mer demo

# Tests that compute run beside each other, each with one thread; those that watch the clock have the machine alone.
WORKERS ?= auto
test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist loadfile -m "not realtime"
	$(BIN)/python -m pytest -q -m realtime

# Formatting, lint, types, and the direction of imports.
check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Kills `analyze` at 60 random moments and compares what the next run leaves with an undisturbed one.
kills: $(VENV)/.dev
	REALTIME_MER_KILLS=60 $(BIN)/python -m pytest -q tests/test_cli_kills.py

# The wheel in an empty environment of each Python that is on the path.
PYTHONS ?= $(foreach name,python3.11 python3.12 python3.13,$(shell command -v $(name)))
wheels: $(VENV)/.dev
	REALTIME_MER_PYTHONS="$(PYTHONS)" $(BIN)/python -m pytest -q tests/test_deploy.py

# INPUTS inputs that nobody would send on purpose, drawn again each time: docs/reliability.md says what they have found.
INPUTS ?= 100000
fuzz: $(VENV)/.dev
	REALTIME_MER_FUZZ=$(INPUTS) $(BIN)/python -m pytest -q -s --timeout=0 --tb=short tests/test_fuzz.py

# The site, in build/site. Warnings are errors.
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

# Draws the rooms of the runtime and their imports: docs/images/rooms.svg and docs/architecture.md.
rooms: $(VENV)/.dev
	$(BIN)/python docs/rooms.py

# On a machine with an NVIDIA GPU: the contract tests of the GPU back ends, with their figures, and each device at work.
test-gpu: $(VENV)/.dev
	$(BIN)/python -m pytest -m gpu -s -ra
	$(BIN)/realtime-mer bench devices

# What the tests use of Debian or Ubuntu: a browser, an RTSP server, an MQTT broker, a camera ... Without them those tests
# are skipped.
system:
	apt-get update -qq
	apt-get install -y --no-install-recommends libgl1 libglib2.0-0 libegl1 libgles2 chromium caddy mosquitto aravis-tools strace systemd python3-gi \
		gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad \
		gstreamer1.0-plugins-ugly

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	$(BIN)/realtime-mer setup
	touch $@

$(VENV)/.dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	$(BIN)/realtime-mer setup
	touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) demo build *.egg-info
