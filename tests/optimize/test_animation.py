import pytest
from PIL import Image

import tfviz
from tfviz import params, transforms


@pytest.mark.parametrize("suffix", ["webp", "gif"])
def test_each_batch_gets_its_own_animation(suffix, toy_adapter, tmp_path):
    animation = tfviz.Animation(tmp_path / f"movie.{suffix}", duration=40)
    tfviz.render(
        toy_adapter,
        "conv_b:0-2",
        params.fourier(32, 32),
        transforms.none(),
        steps=48,
        batch_size=2,
        callbacks=[animation],
    )

    assert [f.name for f in animation.files] == [f"movie.{suffix}", f"movie-2.{suffix}"]
    assert sorted(tmp_path.iterdir()) == sorted(animation.files)
    with Image.open(animation.files[0]) as movie:
        assert movie.n_frames == 3


def test_batches_that_are_stopped_are_written_too(toy_adapter, tmp_path):
    with tfviz.Animation(tmp_path / "movie.webp") as animation:
        tfviz.render(
            toy_adapter,
            "conv_b:0-1",
            params.fourier(32, 32),
            transforms.none(),
            steps=64,
            batch_size=1,
            callbacks=[animation, lambda progress: progress.step == 32],
        )

    assert [f.name for f in animation.files] == ["movie.webp", "movie-2.webp"]
    with Image.open(animation.files[0]) as movie:
        assert movie.n_frames == 2


def test_other_formats_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"end in .webp or .gif. Received: .*movie.mp4"
    ):
        tfviz.Animation(tmp_path / "movie.mp4")
