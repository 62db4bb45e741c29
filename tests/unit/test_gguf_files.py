"""The embedded model's GGUF file as an ordinary checkpoint: its tokens are those of llama.cpp."""

import pytest
from bias_inheritance.models import base, gguf_files
from bias_inheritance.plumbing.errors import UserError

# ids by llama.cpp's own tokenizer (xllamacpp 2026.10.11549, POST /tokenize without special tokens)
IDS_OF_LLAMA_CPP = {
    "Dear all,\n\n1. Rent  2. Food\n\n\n3. Travel": [
        35097,
        511,
        28,
        1116,
        33,
        30,
        428,
        293,
        256,
        34,
        30,
        5098,
        16506,
        35,
        30,
        15179,
    ],
    "| name | age |\n|------|-----|\n| Ana  |  34 |\n| Li   | 101 |": [
        108,
        1462,
        2504,
        1850,
        2504,
        198,
        108,
        21771,
        108,
        17318,
        108,
        198,
        108,
        27699,
        216,
        2504,
        256,
        35,
        36,
        2504,
        198,
        108,
        9679,
        256,
        2504,
        216,
        33,
        32,
        33,
        2504,
    ],
    "How much do you agree?\n  1 = not at all\n  10 = fully\nAnswer:   7": [
        2020,
        1083,
        536,
        346,
        3387,
        47,
        11181,
        33,
        446,
        441,
        418,
        511,
        11181,
        33,
        32,
        446,
        4090,
        198,
        21350,
        42,
        333,
        39,
    ],
    "Her salary was $64,500.75 in 2019-2021.": [
        13860,
        14260,
        436,
        1885,
        38,
        36,
        28,
        37,
        32,
        32,
        30,
        39,
        37,
        281,
        216,
        34,
        32,
        33,
        41,
        29,
        34,
        32,
        34,
        33,
        30,
    ],
    "a\t12\n\n  b 3": [81, 197, 33, 34, 8866, 278, 216, 35],
    "She's 30; they'll arrive at 07:45.  ٣ ½ 二〇二四": [
        8113,
        506,
        216,
        35,
        32,
        43,
        502,
        3060,
        11296,
        418,
        216,
        32,
        39,
        42,
        36,
        37,
        30,
        256,
        164,
        113,
        216,
        16738,
        216,
        16736,
        230,
        12109,
        225,
        16736,
        230,
        23022,
        245,
    ],
    "   \n 5": [333, 3805, 37],
}


@pytest.fixture(scope="module")
def source():
    folder = base.STORE / "smollm2-135m-instruct" / "source"
    if not list(folder.glob("*.gguf")):
        pytest.skip("the embedded model is not fetched yet (make study does)")
    return folder


@pytest.mark.parametrize(
    "text", IDS_OF_LLAMA_CPP, ids=["list", "table", "scale", "amounts", "tab", "scripts", "blanks"]
)
def test_tokens_are_those_of_llama_cpp(source, text):
    """Runs of spaces and blank lines before a digit are where GPT-2's pre-tokeniser cuts otherwise."""
    tokenizer = base.load_tokenizer(gguf_files.checkpoint(source))
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == IDS_OF_LLAMA_CPP[text]


def test_a_file_is_converted_once(source):
    folder = gguf_files.checkpoint(source)
    before = (folder / "model.safetensors").stat()
    assert gguf_files.checkpoint(source) == folder
    assert (folder / "model.safetensors").stat().st_ino == before.st_ino


def test_a_checkpoint_without_a_gguf_file_is_used_as_it_is(tmp_path):
    assert gguf_files.checkpoint(tmp_path) == tmp_path


def test_an_unknown_pre_tokeniser_is_refused(tmp_path):
    from gguf import GGUFWriter

    path = tmp_path / "model.gguf"
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_pre("qwen35")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(
        UserError, match=r"^model.gguf: pre-tokeniser 'qwen35' .* is not among gpt-2, smollm; use .*source.hub"
    ):
        gguf_files.pre_tokenizer(path)
