"""Safetensors files of any origin, mapped onto blocks; and what is said of files that are wrong."""

from __future__ import annotations

import json
import struct
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

import cudagraph as cg
from cudagraph.blocks.models import Part, SafetensorsModel, Split, Transposed
from cudagraph.blocks.models.checkpoint import Checkpoint


class Two(cg.Block):
    """y = first @ second, as two weights inside of a child."""

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.inner = Pair(dtype)
            b.child(self.inner)


class Pair(cg.Block):
    def __init__(self, dtype: str) -> None:
        super().__init__()
        with cg.BlockBuilder(self) as b:
            self.first = b.weight("first", (4, 6), dtype)
            self.second = b.weight("second", (6,), dtype)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return {"inner.first": random.normal(size=(4, 6)).astype("f4"), "inner.second": random.normal(size=6).astype("f4")}


def written(folder, arrays, name="model.safetensors"):
    save_file({key: np.ascontiguousarray(value) for key, value in arrays.items()}, folder / name)
    return folder / name


def loaded(path, keys, wanted, strict=True):
    block = Two()
    report = SafetensorsModel(path, keys).load(block, strict=strict)
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value, wanted[name])
    return report


def test_names_that_fit_need_no_table(tmp_path, arrays):
    assert loaded(written(tmp_path, arrays), None, arrays).complete


def test_patterns_rename_transpose_and_leave_out(tmp_path, arrays):
    file = {"net.7.a": arrays["inner.first"].T, "net.7.b": arrays["inner.second"], "net.7.mask": np.ones(3, "f4")}
    keys = {"**.mask": None, "net.*.a": Transposed("inner.first"), "net.7.*": "inner.second"}
    assert loaded(written(tmp_path, file), keys, arrays).complete


def test_stars_carry_over_in_order(tmp_path, arrays):
    file = {f"x.inner.{name.split('.')[1]}.deep": value for name, value in arrays.items()}
    assert loaded(written(tmp_path, file), {"x.*.*.deep": "*.*"}, arrays).complete


def test_parts_are_joined_and_packs_are_split(tmp_path, arrays):
    first, second = arrays["inner.first"], arrays["inner.second"]
    file = {"q": first[:, :2].T, "k": first[:, 2:4].T, "v": first[:, 4:].T, "bias": second}
    keys = {name: Part("inner.first", index, of=3, axis=1, transpose=True) for index, name in enumerate("qkv")}
    assert loaded(written(tmp_path, file), {**keys, "bias": "inner.second"}, arrays).complete
    packed = {"all": np.concatenate([first, second[None]]).astype("f4")[:, None]}
    keys = {"all": Split(("inner.first", "inner.second"), sizes=(4, 1))}
    report = loaded(written(tmp_path, packed), keys, Two().state_dict(), strict=False)
    assert [line.split(":")[0] for line in report.mismatched] == ["inner.first", "inner.second"]
    equal = {"w": np.concatenate([first.T, first.T]), "inner.second": second}
    keys = {"w": Split(("inner.first", "other"), transpose=True)}
    assert loaded(written(tmp_path, equal), keys, arrays, strict=False).unexpected == ("other",)


def test_the_report_names_what_is_missing_unexpected_and_mismatched(tmp_path, arrays):
    path = written(tmp_path, {"inner.first": arrays["inner.second"], "more": np.zeros(2, "f4")})
    report = SafetensorsModel(path).load(Two(), strict=False)
    assert (report.missing, report.unexpected, report.loaded) == (("inner.second",), ("more",), ())
    assert "[4, 6]" in report.mismatched[0] and "[6]" in report.mismatched[0]
    with pytest.raises(cg.DescriptionError, match=r"1 missing: inner\.second; 1 unexpected: more; 1 mismatched"):
        SafetensorsModel(path).load(Two())


def test_a_part_that_the_file_lacks_is_named(tmp_path, arrays):
    path = written(tmp_path, {"q": arrays["inner.first"][:2], "inner.second": arrays["inner.second"]})
    report = SafetensorsModel(path, {"q": Part("inner.first", 0, of=2)}).load(Two(), strict=False)
    assert "number 1 is not in the file" in report.mismatched[0]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"inner.*": "x"}, "would be made of both"),
        ({"inner.first": "a.*"}, "more stars"),
        ({"inner.first": Part("x", 2, of=2)}, "contradicts itself"),
    ],
)
def test_a_table_that_contradicts_itself(tmp_path, arrays, keys, message):
    with pytest.raises(cg.DescriptionError, match=message):
        SafetensorsModel(written(tmp_path, arrays), keys)


@pytest.mark.parametrize("stored", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_values_are_rounded_to_the_blocks_type(tmp_path, arrays, stored, dtype):
    numpy = {"bfloat16": ml_dtypes.bfloat16}
    file = {name: value.astype(numpy.get(stored, stored)) for name, value in arrays.items()}
    block = Two(dtype)
    SafetensorsModel(written(tmp_path, file)).load(block)
    for name, value in block.state_dict().items():
        np.testing.assert_array_equal(value, file[name].astype(numpy.get(dtype, dtype)))


def sharded(folder, arrays, table=None):
    for name, value in arrays.items():
        written(folder, {name: value}, f"{name}.safetensors")
    index = {"weight_map": table or {name: f"{name}.safetensors" for name in arrays}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def test_a_folder_of_shards_is_one_model(tmp_path, arrays):
    assert loaded(sharded(tmp_path, arrays), None, arrays).complete
    assert loaded(tmp_path / "model.safetensors.index.json", None, arrays).complete


@pytest.mark.parametrize("file", ["../x.safetensors", "/etc/passwd", "a/b", "a\\b", "..", "", "."])
def test_an_index_cannot_point_out_of_its_folder(tmp_path, arrays, file):
    (tmp_path / "inside").mkdir()
    written(tmp_path, arrays, "x.safetensors")
    with pytest.raises(cg.DescriptionError, match="is not the name of a file beside it"):
        Checkpoint(sharded(tmp_path / "inside", {}, {"inner.first": file}))


def test_an_index_that_is_wrong_says_so(tmp_path, arrays):
    sharded(tmp_path, arrays, {"inner.third": "inner.first.safetensors"})
    with pytest.raises(cg.DescriptionError, match=r"says that inner\.first\.safetensors holds inner\.third"):
        Checkpoint(tmp_path)
    sharded(tmp_path, arrays, {"inner.first": "gone.safetensors"})
    with pytest.raises(cg.DescriptionError, match=r"there is no file .*gone"):
        Checkpoint(tmp_path)
    for text in ("{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "[" * 100_000):
        (tmp_path / "model.safetensors.index.json").write_text(text)
        with pytest.raises(cg.DescriptionError, match=r"index\.json is malformed"):
            Checkpoint(tmp_path)


def header(table: object, data: bytes = b"") -> bytes:
    text = json.dumps(table).encode()
    return struct.pack("<Q", len(text)) + text + data


MALFORMED = {
    "empty": b"",
    "short": b"\x05\0\0",
    "huge header": struct.pack("<Q", 1 << 60) + b"{}",
    "truncated": header({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
    "wrong size": header({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}, b"12345678"),
    "overlap": header({n: {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} for n in "ab"}, b"12345678"),
    "unknown type": header({"a": {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]}}, b"12345678"),
    "no json": struct.pack("<Q", 4) + b"abcd",
    "pickle": b"\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94.",
}


@pytest.mark.parametrize("content", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_file_is_named_with_the_reason(tmp_path, content):
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(cg.DescriptionError, match=r"model\.safetensors is malformed: .+"):
        SafetensorsModel(tmp_path)


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(cg.DescriptionError, match=r"holds neither model\.safetensors nor"):
        Checkpoint(tmp_path)
    with pytest.raises(cg.DescriptionError, match="there is no file"):
        Checkpoint(tmp_path / "gone.safetensors")


def test_nothing_of_torch_is_imported(tmp_path, arrays, repository):
    path = written(tmp_path, arrays)
    script = (
        "import sys; from cudagraph.blocks.models.checkpoint import Checkpoint\n"
        f"dict(Checkpoint({str(path)!r})); print({{'torch', 'transformers'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=repository, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
