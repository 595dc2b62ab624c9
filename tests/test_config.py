"""What a training is asked for follows the data set where nobody says it."""

from dataclasses import replace

import pytest

from qsnn.model import experiment
from qsnn.model.config import Config, Recipe, TrainingError, config_for, recipe_for
from qsnn.model.data import Dataset, find
from qsnn.model.reading import Reading


def own(count, shape=(8, 8, 1)):
    return Dataset("mine.csv", shape, ("a", "b"), None, count)


@pytest.mark.parametrize("count, batch, epochs, warmup", [
    (8, 8, 300, 30), (40, 16, 300, 60), (500, 16, 180, 200), (1437, 32, 62, 200),
    (4000, 64, 40, 200), (10_000, 128, 40, 200), (60_000, 256, 40, 200)])
def test_the_way_follows_the_size(count, batch, epochs, warmup):
    assert recipe_for(own(count)) == Recipe(
        dataset="mine.csv", batch_size=batch, epochs=epochs, warmup=warmup, shift=1,
        whole_norms=True)


def test_what_is_given_stays():
    given = dict(epochs=3, batch_size=100, warmup=7, shift=2, lr=0.1, seed=4, whole_norms=False)
    assert recipe_for(own(1437), **given) == Recipe(dataset="mine.csv", **given)
    # the rest follows it: 14 steps an epoch, 140 in all
    assert recipe_for(own(1437), batch_size=100, epochs=10, seed=None) == Recipe(
        dataset="mine.csv", batch_size=100, epochs=10, warmup=14, shift=1, whole_norms=True)
    assert recipe_for(own(1437), epochs=1, draws=640).warmup == 2
    # held out, they are not trained on
    assert recipe_for(own(9, (4,)), validation=9).shift == 0  # which the training refuses
    assert recipe_for(own(1437), validation=937) == replace(recipe_for(own(500)), validation=937)


@pytest.mark.parametrize("shape", [(64,), (10, 4)])
def test_rows_and_streams_are_not_moved(shape):
    assert recipe_for(own(1437, shape)).shift == 0


def test_sets_that_have_a_name():
    assert recipe_for(find("mnist"), seed=3) == Recipe(dataset="mnist", seed=3)
    assert recipe_for(find("pendigits")) == Recipe(dataset="pendigits")
    digits = recipe_for(find("digits"))
    assert (digits.batch_size, digits.epochs, digits.warmup, digits.shift) == (32, 62, 200, 1)
    assert digits.whole_norms


def test_config_of_an_own_set():
    def of(shape, **options):
        return config_for(own(100, shape), **options)
    assert of((64,)) == Config(inputs=64, classes=2)
    assert of((8, 8, 1)) == Config(inputs=64, classes=2)  # square ones are known by their size
    assert of((4, 6, 1)) == Config(inputs=24, classes=2, image=(4, 6, 1))
    assert of((8, 8, 1), arch="c4k3-fc8").image == (8, 8, 1)
    stream = of((20, 6), arch="fc8t2")
    assert stream.stream and (stream.inputs, stream.time_steps, stream.input_bits) == (6, 20, 1)
    with pytest.raises(ValueError, match="mine.csv has streams of spikes: leave out --time-steps"):
        of((20, 6), time_steps=4)


@pytest.mark.parametrize("shape, config, changes, sentence", [
    ((64,), {}, dict(shift=1), "mine.csv has rows, and shift changes images: leave out --shift"),
    ((64,), {}, dict(flip=True), "mine.csv has rows, and flip changes images: leave out --flip"),
    ((9, 4), dict(arch="fc4"), dict(warp=0.1), "mine.csv has streams, and warp changes images"),
    ((64,), {}, dict(drop=0.1), "drop leaves out spikes, and mine.csv has none: leave out --drop"),
])
def test_ways_that_do_not_fit(tmp_path, shape, config, changes, sentence):
    found = own(100, shape)
    with pytest.raises(TrainingError, match=sentence):
        experiment.run(config_for(found, **config), recipe_for(found, **changes), tmp_path,
                       found=found)


def test_another_set_than_the_network_takes(tmp_path):
    config = config_for(own(100))
    for found, sentence in ((own(100, (65,)), "images of mine.csv have 65 pixels, the network 64"),
                            (own(100, (8, 8)), "mine.csv has streams of spikes, the network takes"),
                            (replace(own(100), classes=("a", "b", "c")),
                             "mine.csv has 3 classes, the network 2")):
        with pytest.raises(TrainingError, match=sentence):
            experiment.run(config, Recipe(dataset="mine.csv"), tmp_path, found=found)


def test_the_command_of_an_own_set():
    recipe = Recipe(dataset="my rows.csv", reading=Reading(label="kind", split=3))
    assert experiment.command(Config(inputs=6, hidden=(4,)), recipe) == (
        "qsnn train --dataset 'my rows.csv' --hidden 4 --bits 2 --epochs 40 --seed 0 "
        "--batch-size 256 --warmup 200 --shift 1 --running-norms --label=kind --split 3")
    whole = replace(recipe, whole_norms=True)
    assert "norms" not in experiment.command(Config(inputs=6, hidden=(4,)), whole)
    named = replace(Recipe(), whole_norms=True)
    assert experiment.command(Config(inputs=784), named).endswith("--seed 0 --whole-norms")
