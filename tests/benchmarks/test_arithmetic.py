"""Tests of what the benchmarks count and add up, against sums done by hand."""

import numpy as np
import pytest
import tensorflow as tf
from support import load_script

arithmetic = load_script("arithmetic", "benchmarks")
profiling = load_script("profiling", "benchmarks")
MILLISECOND = 10**9


def counted(function, *shapes):
    """Count the arithmetic of a function of float32 tensors of these shapes."""
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    graph = tf.function(function).get_concrete_function(*specs).graph
    return sum(map(arithmetic.count, arithmetic.needed(graph)))


class TestCount:
    def test_a_convolution_has_a_product_and_a_sum_for_each_tap_and_output(self):
        def convolve(images, kernel):
            return tf.nn.conv2d(images, kernel, 2, "VALID")

        outputs = 2 * 4 * 3 * 7  # batch, height, width, channels
        assert counted(convolve, (2, 9, 7, 5), (3, 3, 5, 7)) == 2 * outputs * 9 * 5

    def test_the_gradient_of_its_input_has_as_many(self):
        def gradient(images, kernel):
            return tf.gradients(tf.nn.conv2d(images, kernel, 2, "VALID"), images)[0]

        outputs = 2 * 4 * 3 * 7
        assert counted(gradient, (2, 9, 7, 5), (3, 3, 5, 7)) == 2 * outputs * 9 * 5

    def test_a_depthwise_convolution_sums_over_its_window_only(self):
        def convolve(images, kernel):
            return tf.nn.depthwise_conv2d(images, kernel, [1] * 4, "SAME")

        outputs = 2 * 6 * 6 * 5
        assert counted(convolve, (2, 6, 6, 5), (3, 3, 5, 1)) == 2 * outputs * 9

    @pytest.mark.parametrize("turned", [False, True])
    def test_a_product_of_matrices(self, turned):
        shape = (4, 3) if turned else (3, 4)

        def multiply(a, b):
            return tf.matmul(a, b, transpose_a=turned)

        assert counted(multiply, shape, (4, 5)) == 2 * 3 * 4 * 5

    def test_a_fourier_transform(self):
        expected = 2.5 * 3 * 16 * 8 * np.log2(16 * 8)
        assert counted(tf.signal.rfft2d, (3, 16, 8)) == pytest.approx(expected)

    def test_operations_that_nothing_depends_on_do_not_count(self):
        def half(a):
            tf.matmul(a, a)
            return a + 1

        assert counted(half, (4, 4)) == 0


class TestAddUp:
    def event(self, name, start, end, kind="Add"):
        return profiling.Event(name, kind, start * MILLISECOND, end * MILLISECOND)

    def test_time_is_divided_among_operations_that_run_at_once(self):
        events = [self.event("a", 0, 4), self.event("b", 2, 8), self.event("c", 3, 4)]
        found = {o.name: (o.share, o.duration) for o in profiling.add_up(events, 1)}
        # From 2 to 3 two of them run, from 3 to 4 all three.
        assert found["a"] == pytest.approx((2 + 1 / 2 + 1 / 3, 4))
        assert found["b"] == pytest.approx((1 / 2 + 1 / 3 + 4, 6))
        assert found["c"] == pytest.approx((1 / 3, 1))

    def test_shares_add_up_to_the_time_in_which_anything_ran(self):
        rng = np.random.default_rng(1)
        starts, lengths = rng.integers(0, 50, 30), rng.integers(1, 9, 30)
        events = [
            self.event(str(k % 7), int(s), int(s + n))
            for k, (s, n) in enumerate(zip(starts, lengths))
        ]
        busy = np.zeros(60, bool)
        for start, length in zip(starts, lengths):
            busy[start : start + length] = True
        shares = [o.share for o in profiling.add_up(events, 2)]
        assert sum(shares) == pytest.approx(busy.sum() / 2)
        assert shares == sorted(shares, reverse=True)

    def test_repeated_operations_are_averaged_over_the_steps(self):
        events = [self.event("a", 0, 1), self.event("a", 2, 5)]
        (only,) = profiling.add_up(events, 2)
        assert (only.calls, only.share, only.duration) == (1, 2, 2)

    def test_types_add_up_their_operations(self):
        events = [
            self.event("a", 0, 1),
            self.event("b", 1, 4, "Mul"),
            self.event("c", 4, 7),
        ]
        types = profiling.by_type(profiling.add_up(events, 1))
        shares = [(o.type, o.name, o.share) for o in types]
        assert shares == [("Add", "2 operations", 4), ("Mul", "1 operations", 3)]


def test_operations_add_up_by_what_they_are_for():
    operations = [
        profiling.Operation(name, kind, 1, share, share)
        for name, kind, share in [
            ("net_1/conv1/Relu", "_MklNativeFusedConv2D", 1.0),
            ("net_1/conv2/convolution", "_MklNativeConv2DWithBias", 2.0),
            ("decoder/conv/convolution", "_MklNativeConv2DWithBias", 4.0),
            ("g/net_1/conv1_grad/x", "_MklNativeConv2DBackpropInput", 8.0),
            ("g/net_1/pool_grad/x", "_MklNativeMaxPoolGrad", 16.0),
            ("net_1/mean_1/Sub", "Sub", 32.0),
            ("irfft2d", "IRFFT2D", 64.0),
            ("g/net_1/fire2/concat_grad/Slice", "Slice", 128.0),
            ("PartitionedCall", profiling.XLA, 256.0),
            ("ResourceApplyAdam", "ResourceApplyAdam", 512.0),
            ("Mean", "Mean", 1024.0),
        ]
    ]
    assert profiling.by_category(operations, "net") == {
        "convolutions": 3,
        "gradients of convolutions": 8,
        "rectifiers, pools, and their gradients": 16,
        "joining and slicing branches": 128,
        "preprocessing": 32,
        "decoding: Fourier transforms, a prior": 68,
        "colours, and resampling by transforms": 256,
        "Adam": 512,
        "other operations": 1024,
    }


def test_the_profiler_names_the_operations_of_a_function():
    @tf.function(jit_compile=False)
    def product(a):
        return tf.reduce_sum(tf.matmul(a, a, name="square"))

    def run(steps):
        for _ in range(steps):
            product(tf.ones((128, 128))).numpy()

    operations, whole, idle = profiling.profile(run, 4)
    (square,) = [o for o in operations if o.name.endswith("square")]
    assert "MatMul" in square.type
    assert square.calls == 1
    assert 0 < square.share <= square.duration < whole
    assert sum(o.share for o in operations) + idle == pytest.approx(whole)
