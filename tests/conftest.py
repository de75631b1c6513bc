import os
import shutil

import tfviz  # before TensorFlow: it sets environment variables
import keras
import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner
from support import DATA, ON_GPU, PROFILE, build_toy, short_squeezenet
from tf32 import emulate
from tfviz import _precision
from tfviz.cli.main import main
from tfviz.models import bundled


def pytest_configure(config):
    if "not slow" in config.option.markexpr:
        # TensorFlow spends seconds on optimizing graphs, which does not pay off in the
        # few steps of a fast test. Slow tests run with the defaults, as users do.
        options = {"disable_meta_optimizer": True}
        tf.config.optimizer.set_experimental_options(options)
    if ON_GPU:
        _use_gpu_profile()


def _use_gpu_profile():
    """Prepare for a graphics card, or for a processor that is taken for one.

    Tests compare bytes in all places, which a card repeats only by deterministic
    operations. So all tests run with these, and the processes that they start, too.
    Tests of other numbers have tolerances for TF32 where a network computes them.
    """
    os.environ["TF_DETERMINISTIC_OPS"] = "1"
    tf.config.experimental.enable_op_determinism()
    if PROFILE == "pretended":
        patch = pytest.MonkeyPatch()
        patch.setattr(_precision, "has_gpu", lambda: True)
        emulate(patch)


def pytest_sessionstart():
    if PROFILE == "required" and not ON_GPU:
        pytest.exit("TFVIZ_TEST_GPU=required, and TensorFlow sees no graphics card", 1)


def pytest_collection_modifyitems(items):
    if DATA.is_dir():
        return
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(pytest.mark.skip(reason=f"no sample data at {DATA}"))


@pytest.fixture(autouse=True)
def _seeded():
    """Give networks the same random weights, whichever tests ran before."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def data():
    return DATA


@pytest.fixture(scope="session")
def toy():
    return build_toy()


@pytest.fixture(scope="session")
def toy_adapter(toy):
    return tfviz.adapt(toy, (-1, 1), labels=["ant", "bee", "cat", "dog", "cat"])


@pytest.fixture(scope="session")
def squeezenet():
    with pytest.MonkeyPatch.context() as patch:  # `_short` may be in effect
        patch.setitem(bundled.BUILDERS, "squeezenet", bundled.squeezenet)
        return tfviz.adapt(tfviz.load_model("squeezenet"))


@pytest.fixture(scope="session")
def browser():
    """Chromium; tests that need it are skipped where it is not installed."""
    playwright = pytest.importorskip("playwright.sync_api", reason="no playwright")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("no chromium is installed")
    with playwright.sync_playwright() as p:
        # Chromium has no sandbox for root, the user in most containers.
        options = ("--no-sandbox", "--disable-gpu", "--no-first-run")
        browser = p.chromium.launch(executable_path=chromium, args=options)
        yield browser
        browser.close()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def _short():
    """Let the command line load the short network instead of the bundled one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(bundled.BUILDERS, "squeezenet", short_squeezenet)
        yield


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments, code=0):
        result = CliRunner().invoke(main, [str(a) for a in arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    return call
