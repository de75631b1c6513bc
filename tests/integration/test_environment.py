import os
import subprocess
import sys

import pytest


def python(code, **environment):
    kept = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_another_backend_gets_one_clear_line():
    for use in ("tfviz.render", "tfviz.objectives", "from tfviz import params"):
        code = use if use.startswith("from") else f"import tfviz; {use}"
        result = python(code, KERAS_BACKEND="jax")

        assert result.returncode == 1
        assert result.stderr.splitlines()[-1] == (
            "RuntimeError: tfviz needs Keras on TensorFlow, but its backend is 'jax'. "
            "Set KERAS_BACKEND=tensorflow before Python starts."
        )


@pytest.mark.parametrize("value", [None, "0", "1"])
def test_onednn_is_turned_on_unless_the_user_decided(value):
    code = "import tfviz, os; print(os.environ.get('TF_ENABLE_ONEDNN_OPTS'))"
    environment = {} if value is None else {"TF_ENABLE_ONEDNN_OPTS": value}

    assert python(code, **environment).stdout.strip() == (value or "1")


@pytest.mark.slow
def test_a_tensorflow_without_onednn_imported_before_is_warned_of():
    code = (
        "import tensorflow as tf\n"
        "from tensorflow.python.util import _pywrap_util_port as port\n"
        "class Off:\n"
        "    IsMklEnabled = staticmethod(lambda: {on})\n"
        "import sys; from tensorflow.python import util\n"
        "util._pywrap_util_port = Off\n"
        "sys.modules['tensorflow.python.util._pywrap_util_port'] = Off\n"
        "import tfviz"
    )
    warned = python(code.format(on=False)).stderr
    assert warned.count("UserWarning: TensorFlow was imported before tfviz") == 1
    assert "1.8 times as long. Import tfviz first" in warned
    assert "UserWarning" not in python(code.format(on=True)).stderr
    decided = python(code.format(on=False), TF_ENABLE_ONEDNN_OPTS="0").stderr
    assert "UserWarning" not in decided


def test_importing_tfviz_imports_nothing_heavy():
    code = (
        "import sys, tfviz\n"
        "assert not {'tensorflow', 'keras', 'numpy', 'PIL'} & set(sys.modules)\n"
        "tfviz.render\n"
        "assert 'tensorflow' in sys.modules\n"
        "assert 'tensorflow_hub' not in sys.modules and 'tf_keras' not in sys.modules"
    )
    result = python(code)

    assert result.returncode == 0, result.stderr


def test_tensorflow_hub_can_be_imported_where_it_is_installed():
    """It needs `pkg_resources`, which setuptools 81 and new environments lack."""
    result = python("import tensorflow_hub; print(tensorflow_hub.__version__)")

    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_all_parts_are_importable_from_the_checkout():
    code = "import tfviz.priors, tfviz.cli.main; print(tfviz.priors.__name__)"

    assert python(code).stdout.strip() == "tfviz.priors"


@pytest.mark.parametrize(
    "module",
    [
        *("images", "measures", "statistics", "models.sources", "models.labels"),
        *("report.rows", "site.build", "stops", "optimize.options"),
    ],
)
def test_modules_that_need_no_tensorflow_do_not_import_it(module):
    result = python(
        f"import sys, tfviz.{module}\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )

    assert result.returncode == 0, result.stderr
