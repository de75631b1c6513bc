"""Pictures made again in Python, from their files."""

from dataclasses import replace

import numpy as np
import pytest
import tfviz
from support import build_toy
from tfviz import images, params, priors, stops, transforms
from tfviz.optimize.job import Job
from tfviz.optimize.options import Diversity, Options
from tfviz.optimize.render import render_job

SMALL = params.fourier(48, 40)


def saved(result, folder, place=0):
    """Save all pictures of a result, and return the file of one."""
    return result.save(folder)[place]


@pytest.mark.parametrize(
    "options",
    [
        {"steps": 6},
        {"steps": 6, "candidates": 3, "restarts": 2, "seed": 4, "alpha": True},
        {"steps": 40, "stop": [stops.plateau(window=16)], "optimizer": "normalized"},
    ],
)
def test_the_bytes_are_the_same(toy_adapter, tmp_path, options):
    whole = tfviz.render(
        toy_adapter, "conv_b:0-4", SMALL, transforms.gentle(), batch_size=3, **options
    )
    again = tfviz.render_again(saved(whole, tmp_path, place=4), toy_adapter)

    np.testing.assert_array_equal(again.images[0], whole.images[4])
    assert again.names == (whole.names[4],)
    assert again.picture_spec(0) == whole.picture_spec(4)
    if whole.alpha is not None:
        np.testing.assert_array_equal(again.alpha[0], whole.alpha[4])


def test_penalties_and_diversity_are_part_of_it(toy_adapter, tmp_path):
    options = Options(
        steps=6, penalties={"total_variation": 0.5}, diversity=Diversity(2, 1.5)
    )
    whole = render_job(
        Job(toy_adapter, ["conv_b:1", "conv_b:2"], SMALL, options=options)
    )
    again = tfviz.render_again(saved(whole, tmp_path, place=3), toy_adapter)

    np.testing.assert_array_equal(again.images, whole.images[2:])
    assert again.spec["penalties"] == {"total_variation": 0.5}
    assert again.spec["diversity"] == {"n": 2, "weight": 1.5, "layer": None}
    assert (again.distances == whole.distances[2:]).all()


@pytest.mark.slow
def test_the_bundled_model_and_a_prior_are_found_by_their_names(tmp_path):
    model = tfviz.load_model("squeezenet")
    prior = priors.load("autoencoder", size=64)
    whole = tfviz.render(model, "fire5:3", prior, steps=4)
    again = tfviz.render_again(saved(whole, tmp_path))

    np.testing.assert_array_equal(again.images, whole.images)


def test_callbacks_are_called(toy_adapter, tmp_path):
    file = saved(tfviz.render(toy_adapter, "conv_b:1", SMALL, steps=20), tmp_path)
    steps = []
    tfviz.render_again(file, toy_adapter, callbacks=[lambda p: steps.append(p.step)])

    assert steps == [16, 20]


def test_what_a_file_cannot_hold_is_said(toy_adapter, tmp_path):
    def save(name, **options):
        picture = tfviz.render(toy_adapter, "conv_b:3", SMALL, steps=1, **options)
        return saved(picture, tmp_path / name)

    images.save(images.to_pil(np.zeros((8, 8, 3))), tmp_path / "plain.png")
    with pytest.raises(ValueError, match="no description of a single picture"):
        tfviz.render_again(tmp_path / "plain.png", toy_adapter)
    photo = np.random.default_rng(0).random((48, 40, 3))
    dream = tfviz.dream(toy_adapter, photo, "conv_b:3", octaves=1, steps=1)
    dream.save(tmp_path / "dream.png")
    with pytest.raises(ValueError, match="is a dream of conv_b:3, .* `tfviz dream`"):
        tfviz.render_again(tmp_path / "dream.png", toy_adapter)
    with pytest.raises(ValueError, match="made from a start image"):
        tfviz.render_again(save("start", start=np.full((48, 40, 3), 0.5)), toy_adapter)
    with pytest.raises(ValueError, match="model 'toy', .* Give it as `model`"):
        tfviz.render_again(save("toy"))


def test_another_network_is_warned_of(toy_adapter, tmp_path):
    file = saved(tfviz.render(toy_adapter, "conv_b:3", SMALL, steps=1), tmp_path)
    other = build_toy()
    other.get_layer("conv_b").bias.assign([0.5] * 12)
    with pytest.warns(UserWarning, match="weights are not those"):
        tfviz.render_again(file, tfviz.adapt(other, (-1, 1)))


def test_another_prior_is_warned_of(toy_adapter, tmp_path):
    file = saved(tfviz.render(toy_adapter, "conv_b:3", SMALL, steps=1), tmp_path)
    prior = priors.load("autoencoder", size=32)
    spec = images.read_spec(file) | {"param": {**prior.spec, "digest": "another"}}
    images.save(images.to_pil(np.zeros((32, 32, 3))), file, spec)
    with pytest.warns(UserWarning, match="is not what the picture was made with"):
        tfviz.render_again(file, toy_adapter)


def test_the_job_has_the_slot_of_the_file(toy_adapter):
    whole = tfviz.render(toy_adapter, ["conv_b:5", "conv_b:1", "conv_b:5"], SMALL,
                         steps=2)  # fmt: skip
    job = Job.from_spec(toy_adapter, whole.picture_spec(2), SMALL)

    assert job.pictures[0] == replace(job.pictures[0], repeat=1, slot=2, batch_size=3)
