# Everything from nothing: `make install` builds .venv, `make demo` shows it at work, `make test` tests it.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo table test torture lint benchmark clean

install: .venv/installed

# Rebuilt only when what it is made from has changed.
.venv/installed: setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else \
	  f"faceprobe needs Python 3.10 to 3.13, {sys.executable} is {v[0]}.{v[1]}: run `make install PYTHON=python3.12`")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	VIRTUAL_ENV=$(CURDIR)/.venv $(BIN)/uv pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# Everything on drawn faces; FETCH=1 downloads the pretrained weights of ArcFace and Facenet, ARGS="--images DIR" takes others.
demo: install
	$(BIN)/python run_pipeline.py demo $(if $(FETCH),--fetch) $(ARGS)

# The README's table, on part 1 of UTKFace: make table UTKFACE=DIR ONNX=FILE, which needs its sidecar FILE.json.
UTKFACE ?= ../shared/utkface
ONNX ?= ../shared/weights/mobilefacenet_arcface.onnx
TABLE = --backbone $(ONNX) --backbone runs/utkface/before_last.onnx,crop=118 --backbone Dlib
table: install
	mkdir -p runs/utkface
	test -e runs/utkface/before_last.onnx || $(BIN)/faceprobe weights cut $(ONNX) -o runs/utkface/before_last.onnx
	$(BIN)/faceprobe index $(UTKFACE) --dataset utkface -o runs/utkface/manifest.csv
	$(BIN)/faceprobe extract runs/utkface/manifest.csv --store runs/utkface/store $(TABLE)
	$(BIN)/faceprobe compare runs/utkface/manifest.csv --store runs/utkface/store -o runs/utkface $(TABLE) \
	  --head dense --head dense:weight_decay=2,input_dropout=0.5 --head linear --task age --task gender --task ethnicity --seeds 3

test: install
	$(BIN)/python -m pytest

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Faults at length: hundreds of crash points in the store, hundreds of killed jobs and commands.
torture: install
	FACEPROBE_TORTURE=20 $(BIN)/python -m pytest tests/test_store_faults.py tests/test_extract_jobs.py \
	  tests/test_score_cli.py tests/heads/score/test_job.py

benchmark: install
	$(BIN)/python -m benchmarks.speed --images 512 --rounds 3
	$(BIN)/python -m benchmarks.jobs
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.compare

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
