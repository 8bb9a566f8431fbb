"""config.json."""

import json
import re
import reprlib

import numpy as np
import pytest

from pointlib.config import Config, TrainConfig, explain, find_function, load_config
from pointlib.errors import InputError
from pointlib.heatmaps import HEATMAPS, draw_classes
from pointlib.losses import LOSSES, mse

NINE = {
    "train": {
        "dataset_path": "images",
        "num_epochs": 3,
        "learning_rate": 0.001,
        "batch_size": 4,
        "val_split": 0.25,
        "num_channels": 1,
        "gaussian_sigma": 2.5,
    },
    "infer": {"image_path": "images/a.png"},
    "annotate": {"dataset_path": "images"},
}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a config.json and returns its path."""

    def put(data):
        path = tmp_path / "config.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return path

    return put


def test_nine_keys_alone_are_enough(write, tmp_path):
    """The nine keys are read, all others have defaults, paths are relative to the file."""
    config = load_config(write(NINE))
    assert config.train.dataset_path == str(tmp_path / "images")
    assert config.train.gaussian_sigma == 2.5
    assert config.train.output == config.infer.model == str(tmp_path / "model")
    assert config.infer.output == str(tmp_path / "predictions")
    assert config.annotate.dataset_path == str(tmp_path / "images")
    assert config.annotate.model is None
    with_model = load_config(write({"annotate": {"model": "model"}}))
    assert with_model.annotate.model == str(tmp_path / "model")


def test_overrides_win(write):
    """--set replaces a value, read as JSON where that is possible."""
    config = load_config(write(NINE), overrides=["train.num_epochs=7", "train.encoder=resnet18"])
    assert config.train.num_epochs == 7
    assert config.train.encoder == "resnet18"
    assert load_config(None, overrides=["train.radius=null"]).train.radius is None


@pytest.mark.parametrize(("data", "words"), [
    ({"train": {"num_epoch": 3}}, "unknown key 'train.num_epoch'. Did you mean 'num_epochs'"),
    ({"trian": {}}, "unknown key 'trian'. Did you mean 'train'"),
    ({"train": {"num_epochs": 0}}, "train.num_epochs is 0; expected null or a whole number of at least 1 and"),
    ({"train": {"val_split": 1.5}}, "train.val_split is 1.5"),
    ({"train": {"gaussian_sigma": "wide"}}, "train.gaussian_sigma.* is 'wide'"),
    ({"train": {"gaussian_sigma": -1}}, "train.gaussian_sigma.* is -1"),
    ({"train": 3}, "train is 3"),
    ("{", "line 1: not JSON"),
    ("[]", "is a list; expected"),
])  # fmt: skip
def test_load_config_says_what_is_wrong(write, data, words):
    """Unknown keys name the nearest one; wrong values are named with what is allowed."""
    with pytest.raises(InputError, match=words):
        load_config(write(data))


WRONG = [
    None,
    "",
    "many",
    -1,
    1.5,
    10**30,
    np.inf,
    np.nan,
    True,
    [],
    [1],
    ["a", "a"],
    {},
    {"a": "x"},
]
JARGON = r"Input should|[Vv]alue error|instance|valid |greater|less|got|after|[a-z]_[a-z]+=|type="


@pytest.mark.parametrize(
    ("section", "key"),
    [(name, key) for name, part in Config() for key in type(part).model_fields],
)
def test_every_wrong_value_is_a_sentence_of_our_own(write, section, key):
    """It names the file, the key and the value, and what is expected, in words of this kit."""
    n_refused = 0
    for value in WRONG:
        path = write({section: {key: value}})
        try:
            load_config(path)
        except InputError as error:
            words = str(error)
        else:
            continue
        n_refused += 1
        inner = {repr(value), *(repr(v) for v in (value if isinstance(value, list) else ()))}
        inner |= {repr(v) for v in (value.values() if isinstance(value, dict) else ())}
        start, _, wanted = words.partition("; expected ")
        place, _, said = start.partition(" is ")
        assert re.fullmatch(rf"{path}: {section}\.{key}(\.0|\.a)?", place), words
        assert said in inner or said == reprlib.repr(value), words
        assert re.fullmatch(r"[^.].*\w\W?\.", wanted), words
        assert not re.search(JARGON, wanted), words
        assert not re.search(r"\b(\w+) \1\b", wanted), words
    assert n_refused >= 7


@pytest.mark.parametrize(("key", "value", "words"), [
    ("num_epochs", 0, "null or a whole number of at least 1 and at most 1,000,000"),
    ("minutes", np.inf, "null or a finite number above 0"),
    ("gaussian_sigma", "wide", "'auto' or a number above 0 and at most 256"),
    ("augment", 3, "'strong' or true or false"),
    ("precision", 16, "'auto', '32' or 'bf16'"),
    ("output", None, "a string"),
    ("classes", "cell", "null or a list of strings"),
    ("loss_options", 5, "keys and values"),
])  # fmt: skip
def test_a_sentence_tells_all_that_would_be_right(write, key, value, words):
    """Not only the limit that was passed: kind, lowest, highest and words that may stand there."""
    with pytest.raises(InputError, match=rf"train\.{key} is {value!r}; expected {words}\.$"):
        load_config(write({"train": {key: value}}))


def test_an_unknown_kind_of_error_is_a_sentence_too():
    """What a later pydantic may refuse is explained by what the key allows."""

    class Later:
        def errors(self):
            return [
                {"type": "odd", "loc": ("radius",), "input": 3.0, "msg": "Input should be even"}
            ]

    schema = TrainConfig.model_json_schema()
    said = "here: radius is 3.0; expected null or keys and values or a number of at least 0.1."
    assert explain(Later(), "here", schema) == said


def test_load_config_refuses_bad_overrides(write, tmp_path):
    """An override without a section or value, and a missing file, are sentences."""
    with pytest.raises(InputError, match="expected section.key=value"):
        load_config(write(NINE), overrides=["num_epochs=5"])
    with pytest.raises(InputError, match="config file .* does not exist"):
        load_config(tmp_path / "other" / "config.json")


def test_find_function_takes_names_modules_and_files(tmp_path):
    """A built-in's name, package.module:function, file.py:function and a function itself."""
    (tmp_path / "mine.py").write_text("def loss(logits, target):\n    return 0\n")
    assert find_function("mse", LOSSES) is mse
    assert find_function("pointlib.losses:mse", LOSSES) is mse
    assert find_function(mse, LOSSES) is mse
    assert find_function(f"{tmp_path / 'mine.py'}:loss", LOSSES)(1, 2) == 0


def test_find_function_refuses_unknown_names(tmp_path):
    """A wrong built-in, module, file and function are sentences."""
    with pytest.raises(InputError, match="loss 'msee': Did you mean 'mse'"):
        find_function("msee", LOSSES, what="loss")
    with pytest.raises(InputError, match="cannot be imported"):
        find_function("no_such_module:f", LOSSES)
    with pytest.raises(InputError, match="Python file .* does not exist"):
        find_function(f"{tmp_path / 'no.py'}:f", LOSSES)
    with pytest.raises(InputError, match="no function mze. Did you mean 'mse'"):
        find_function("pointlib.losses:mze", LOSSES)


def test_config_file_paths_of_functions_are_relative_to_it(write, tmp_path):
    """A file.py:function in config.json is looked for beside config.json."""
    config = load_config(
        write({"train": {"loss": "mine.py:loss"}, "infer": {"thresholding": "m.py:f"}})
    )
    assert config.train.loss == f"{tmp_path / 'mine.py'}:loss"
    assert config.infer.thresholding == f"{tmp_path / 'm.py'}:f"


def test_train_config_takes_functions_by_their_names():
    """In Python a function itself may stand where its name can; it is kept as the name."""
    config = TrainConfig(loss=mse, heatmap=HEATMAPS["gaussian_max"])
    assert (config.loss, config.heatmap) == ("mse", "gaussian_max")
    config.heatmap = draw_classes
    assert find_function(config.heatmap, {}) is draw_classes
    config.loss = "focal"
    assert config.loss == "focal"
    with pytest.raises(ValueError, match="one that can be found by name: define it with def"):
        config.loss = lambda logits, target: logits


def test_true_and_false_stand_where_they_have_a_meaning(tmp_path):
    """A switch may be false in a file; a number may not be true, in the options of a loss neither."""
    (tmp_path / "config.json").write_text('{"train": {"augment": false}}')
    assert load_config(tmp_path / "config.json").train.augment is False
    assert TrainConfig(loss_options={"weight": 3}).loss_options == {"weight": 3.0}
    for wrong in ({"batch_size": True}, {"loss_options": {"weight": True}}):
        with pytest.raises(ValueError, match="true or false|valid number"):
            TrainConfig(**wrong)


def test_train_config_checks_assignments():
    """A wrong value is refused when it is set, too."""
    config = TrainConfig()
    with pytest.raises(ValueError, match="greater than or equal to 1"):
        config.num_epochs = 0
