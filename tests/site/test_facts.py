import json

import pytest
from atlas_parts import network_facts

from tfviz.site.facts import NetworkFacts, load


def test_facts_are_the_same_after_saving(tmp_path):
    facts = network_facts()
    facts.save(tmp_path / "network.json")

    assert load(tmp_path / "network.json") == facts


def test_facts_without_classes_and_weights_are_the_same_too(tmp_path):
    facts = NetworkFacts("a", None, "0", network_facts().layers)
    facts.save(tmp_path / "network.json")

    assert load(tmp_path / "network.json") == facts


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": "a", "readout": 3}'])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "network.json").write_text(text)
    with pytest.raises(ValueError, match="is cut off, or does not describe a network"):
        load(tmp_path / "network.json")


def test_a_layer_without_its_parts_is_refused(tmp_path):
    network_facts().save(tmp_path / "network.json")
    data = json.loads((tmp_path / "network.json").read_text())
    del data["layers"][0]["shape"]
    (tmp_path / "network.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match="KeyError"):
        load(tmp_path / "network.json")
