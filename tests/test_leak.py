import pytest

from qsnn.model.config import Config
from qsnn.model.leak import is_leak, leak_of, leak_text


@pytest.mark.parametrize("text, leak", [
    ("1/2", (1, 1)), ("1", (1, 0)), ("none", (1, 0)), ("2/4", (1, 1)), ("15/16", (15, 4)),
    (" 255/256 ", (255, 8)), ("1/256", (1, 8)), ("4/4", (1, 0))])
def test_texts(text, leak):
    assert leak_of(text) == leak and is_leak(leak)
    assert leak_of(leak_text(leak)) == leak


@pytest.mark.parametrize("text", ["", "0", "2/3", "3/2", "1/512", "0/2", "-1/2", "0.5", "1/0", "1/",
                                  "/2", "1/2/2", "٣/٤", "9" * 5000, "1/" + "2" * 5000])
def test_no_leaks(text):
    with pytest.raises(ValueError, match="^a leak of .*: what stays of a membrane is 1 "):
        leak_of(text)


@pytest.mark.parametrize("fields, leaks, currents", [
    (dict(leak="none,3/4"), ((1, 0), (3, 2)), (None, None)),
    (dict(current="7/8,none"), ((1, 1), (1, 1)), ((7, 3), None)),
    (dict(leak="15/16", current="1/2"), ((15, 4),) * 2, ((1, 1),) * 2)])
def test_of_each_layer(fields, leaks, currents):
    config = Config(hidden=(4, 3), **fields)
    assert (config.leaks, config.currents) == (leaks, currents)


@pytest.mark.parametrize("fields, sentence", [
    (dict(leak="1/2,1/2,1/2"), "leak must be one for all hidden layers or one for each of the 2"),
    (dict(leak="2/3"), "a leak of '2/3'"), (dict(current="2/3"), "a leak of '2/3'"),
    (dict(current=""), "a leak of ''"), (dict(leak=""), "a leak of ''"),
    (dict(current="1/2", membrane_bits=0), "a current needs membranes with 2 to 8 bits"),
    (dict(reset="soft"), "reset must be zero or subtract, not 'soft'"),
    (dict(steps=(1, -8)), "steps must be a number of -7 to 24"),
    (dict(leak="255/256", steps=(1, -1)), "steps must be a number of 0 to 24")])
def test_wrong_configs(fields, sentence):
    with pytest.raises(ValueError, match=f"^{sentence}"):
        Config(hidden=(4, 3), **fields)
