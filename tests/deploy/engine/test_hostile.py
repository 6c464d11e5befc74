"""Files made to break the engine, loaded with no gate before it: the parent lives, and says what happened."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from deploy.engine.client import LlamaEngine
from deploy.engine.load_plan import LoadPlan
from deploy.engine.protocol import ChatMessage, Done, Generate, Sampling, Text
from deploy.errors import EngineFailed
from tests.support.gguf import F32, WIDTH, GgufFile, TensorSpec, number, numbers, text, texts, tiny_model

pytestmark = [pytest.mark.engine, pytest.mark.timeout(120)]

PLAN: Final = LoadPlan(context_tokens=256, threads=1, data_limit_bytes=1 << 30)
QUESTION: Final = Generate(messages=(ChatMessage("user", "a b c"),), max_tokens=3, sampling=Sampling(temperature=0))


def tiny() -> GgufFile:
    """The tiny model with a token for every byte, so that any text can be read."""
    file = tiny_model()
    letters = ("<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "a", "b", "c")
    kinds = [2, 3, 3, *[6] * 256, 1, 1, 1]
    file.settings["tokenizer.ggml.tokens"] = texts(letters)
    file.settings["tokenizer.ggml.token_type"] = numbers("i32", kinds)
    file.settings["tokenizer.ggml.scores"] = numbers("f32", [0.0] * len(letters))
    file.tensors[0].shape = (WIDTH, len(letters))
    return file


def with_setting(key: str, value: bytes) -> Callable[[], bytes]:
    """The tiny model with one setting of its file exchanged."""

    def build() -> bytes:
        file = tiny()
        assert key in file.settings
        file.settings[key] = value
        return file.build()

    return build


def with_file(**changes: object) -> Callable[[], bytes]:
    """The tiny model with another beginning."""

    def build() -> bytes:
        file = tiny()
        for name, value in changes.items():
            setattr(file, name, value)
        return file.build()

    return build


def with_tensor(index: int, **changes: object) -> Callable[[], bytes]:
    """The tiny model with a tensor that is described wrongly."""

    def build() -> bytes:
        file = tiny()
        for name, value in changes.items():
            setattr(file.tensors[index], name, value)
        return file.build()

    return build


def with_bytes(change: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    """The tiny model with its bytes changed."""
    return lambda: change(tiny().build())


def with_template(template: str) -> Callable[[], bytes]:
    """The tiny model with another chat template."""
    return with_setting("tokenizer.chat_template", text(template))


def without(key: str) -> Callable[[], bytes]:
    """The tiny model with a setting left out."""

    def build() -> bytes:
        file = tiny()
        del file.settings[key]
        return file.build()

    return build


def noise(count: int) -> bytes:
    """Bytes without meaning, the same every time."""
    return bytes((n * n * 31 + n * 7) % 251 for n in range(count))


def _with_new(key: str, value: bytes) -> bytes:
    file = tiny()
    file.settings[key] = value
    return file.build()


def _experts(count: int) -> bytes:
    file = tiny()
    file.settings["llama.expert_count"] = number("u32", count)
    file.settings["llama.expert_used_count"] = number("u32", 2)
    return file.build()


def _with_extra_tensor() -> bytes:
    file: GgufFile = tiny()
    file.tensors.append(TensorSpec("blk.99.attn_norm.weight", (32,), F32))
    return file.build()


FILES: Final[dict[str, Callable[[], bytes]]] = {
    "empty": lambda: b"",
    "magic alone": lambda: b"GGUF",
    "wrong magic": with_file(magic=b"GGUG"),
    "version 99": with_file(version=99),
    "big-endian version": with_file(version=3 << 24),
    "cut in the header": with_bytes(lambda whole: whole[:300]),
    "cut in the tensors": with_bytes(lambda whole: whole[: len(whole) - 6000]),
    "one byte short": with_bytes(lambda whole: whole[:-1]),
    "noise": lambda: noise(1 << 16),
    "noise after the version": with_bytes(lambda whole: whole[:8] + noise(1 << 16)),
    "2^63-1 tensors": with_file(tensor_count=(1 << 63) - 1),
    "2^40 tensors": with_file(tensor_count=1 << 40),
    "no tensors": with_file(tensors=[]),
    "2^60 settings": with_file(setting_count=1 << 60),
    "a key of 2^63 bytes": with_bytes(lambda whole: whole[:24] + (1 << 63).to_bytes(8, "little") + whole[32:]),
    "2^62 tokens": with_setting("tokenizer.ggml.tokens", b"\x09\0\0\0\x08\0\0\0" + (1 << 62).to_bytes(8, "little")),
    "a token of 2^40 bytes": with_setting(
        "tokenizer.ggml.tokens",
        b"\x09\0\0\0\x08\0\0\0" + (8).to_bytes(8, "little") + (1 << 40).to_bytes(8, "little"),
    ),
    "a list of an unknown type": with_setting("tokenizer.ggml.token_type", b"\x09\0\0\0\x63\0\0\0" + bytes(8)),
    "a setting of an unknown type": with_setting("general.name", b"\x63\0\0\0"),
    "two tokens for eight": with_setting("tokenizer.ggml.scores", numbers("f32", [0.0, 0.0])),
    "no vocabulary": without("tokenizer.ggml.tokens"),
    "no tokens": with_setting("tokenizer.ggml.tokens", texts([])),
    "an unknown vocabulary": with_setting("tokenizer.ggml.model", text("nonsense")),
    "a number for a text": with_setting("general.architecture", number("u32", 7)),
    "an unknown architecture": with_setting("general.architecture", text("nonsense")),
    "a tensor of 2^42 rows": with_tensor(1, shape=((1 << 42) + 1,)),
    "a tensor of -1 rows": with_tensor(1, shape=((1 << 64) - 1,)),
    "a tensor of no rows": with_tensor(1, shape=(0,)),
    "2^31 dimensions": with_tensor(1, dimensions=1 << 31),
    "a tensor of an unknown type": with_tensor(1, type_id=250),
    "a tensor past the end": with_tensor(1, offset=1 << 45),
    "a tensor between two places": with_tensor(1, offset=3),
    "two tensors of one name": with_tensor(2, name="blk.0.attn_norm.weight"),
    "a tensor that is not text": with_tensor(1, name=b"\xff\xfe"),
    "the wrong tensor": with_tensor(1, name="nonsense"),
    "a tensor too narrow": with_tensor(0, shape=(16, 262)),
    "513 blocks": with_setting("llama.block_count", number("u32", 513)),
    "no blocks": with_setting("llama.block_count", number("u32", 0)),
    "2^32-1 blocks": with_setting("llama.block_count", number("u32", 0xFFFFFFFF)),
    "no heads": with_setting("llama.attention.head_count", number("u32", 0)),
    "7 heads": with_setting("llama.attention.head_count", number("u32", 7)),
    "2^31 heads": with_setting("llama.attention.head_count", number("u32", 1 << 31)),
    "no key heads": with_setting("llama.attention.head_count_kv", number("u32", 0)),
    "3 key heads": with_setting("llama.attention.head_count_kv", number("u32", 3)),
    "a width of 2^31": with_setting("llama.embedding_length", number("u32", 1 << 31)),
    "a width of nothing": with_setting("llama.embedding_length", number("u32", 0)),
    "a context of 2^32-1": with_setting("llama.context_length", number("u32", 0xFFFFFFFF)),
    "a rope of nothing": with_setting("llama.rope.freq_base", number("f32", 0.0)),
    "a first token out of range": with_setting("tokenizer.ggml.bos_token_id", number("u32", 0x7FFFFFFF)),
    "a last token out of range": with_setting("tokenizer.ggml.eos_token_id", number("u32", 0xFFFFFFFF)),
    "weights of noise": with_bytes(lambda whole: whole[: len(whole) - 8000] + noise(8000)),
    "weights that are no numbers": with_bytes(lambda whole: whole[: len(whole) - 8000] + b"\xff" * 8000),
    "1,025 experts": lambda: _experts(1025),
    "an expert of none": lambda: _experts(0),
    "an alignment of nothing": lambda: _with_new("general.alignment", number("u32", 0)),
    "part 1 of 3": lambda: _with_new("split.count", number("u16", 3)),
    "a tensor more": _with_extra_tensor,
}
TEMPLATES: Final = {
    "loops for ever": "{% for i in range(9999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "asks for a long range": "{% for i in range(10**9) %}{% endfor %}",
    "grows without end": (
        "{% set ns = namespace(x='A'*1000) %}{% for i in range(40) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}"
    ),
    "raises to a high power": "{{ 9**(9**9) }}",
    "writes half a character": "{{ '\\ud800' }}",
    "looks for a program to run": (
        "{% for c in ''.__class__.__base__.__subclasses__() %}{% if c.__name__=='Popen' %}"
        "{{ c('touch MARK', shell=True) }}{% endif %}{% endfor %}"
    ),
    "reaches for the system": "{{ cycler.__init__.__globals__.os.popen('touch MARK').read() }}",
    "is no template": "{% if %}{{",
    "nests a thousand times": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "calls itself": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "reads a file": "{% include '/etc/passwd' %}",
    "says nothing": "{{ '' }}",
    "is all control tokens": "{{ '</s>' * 5000 }}",
}


def attempt(path: Path) -> str:
    """Load and ask. Gives what the parent says: an answer, or the sentence of a refusal."""
    try:
        session = LlamaEngine().open([path], PLAN, lambda _: None)
    except EngineFailed as error:
        return f"refused: {error.message}"
    try:
        events = list(session.generate(QUESTION))
    except EngineFailed as error:
        return f"failed: {error.message}"
    finally:
        session.close()
    assert isinstance(events[-1], Done)
    return "answered " + "".join(event.text for event in events if isinstance(event, Text))


def require_named(said: str) -> None:
    """A refusal says why: not that there is no reason, and not with the words of an interpreter."""
    assert re.search(r"\w+ \w+ \w+", said), said
    assert not re.search(r"no reason was given|Traceback|Error|\(\)|: \.$", said), said


@pytest.mark.parametrize("name", FILES)
def test_no_file_takes_the_parent_along(name: str, tmp_path: Path) -> None:
    """The engine refuses it, or answers, or dies; in each case the parent goes on and can say which."""
    path = tmp_path / "hostile.gguf"
    path.write_bytes(FILES[name]())
    said = attempt(path)
    if not said.startswith("answered"):
        require_named(said)


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_takes_the_parent_along(name: str, tmp_path: Path) -> None:
    """Nothing of it runs outside of the sandbox, its time and its memory are bounded, and the cause is named."""
    mark = tmp_path / "mark"
    path = tmp_path / "hostile.gguf"
    path.write_bytes(with_template(TEMPLATES[name].replace("MARK", str(mark)))())
    said = attempt(path)
    assert not mark.exists()
    if not said.startswith("answered"):
        require_named(said)


def test_after_all_that_a_good_model_answers(tmp_path: Path) -> None:
    """The control: without anything hostile in it the same file loads and answers."""
    path = tmp_path / "good.gguf"
    path.write_bytes(tiny().build())
    assert attempt(path).startswith("answered")
