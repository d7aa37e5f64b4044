"""Chat templates as published models have them, each with the tokens that it needs.

The files in `templates/` are written for these tests.  They render the same turns, marks and line breaks as
the published templates, but the long fixed texts (default system prompts, instructions about tools) are cut
short.  `templates/models.toml` names the models that a template stands for, and where its facts were read.

`tokenizer(published)` trains a small tokenizer of the right kind and adds the tokens.  With `base=True` it is
what a base model of the family ships: the same template, but only the end of a text as eos.
"""

import functools
import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).with_name("templates")
CORPUS = (
    "The sky is blue and the grass is green. What is the color of the sky?",
    "A small fox published a lantern in the garden. Tell me a story about a fox.",
    "What is 3 plus 4? 3 plus 4 is 7. Please say it again. It is seven.",
    "system user assistant tool model System: User: Assistant: You are a helpful assistant. Today Date: 26",
    '{"name": "weather", "arguments": {"city": "Paris"}} [INST] [/INST] <think>\n\n</think>\n\n',
)
Kind: TypeAlias = Literal[
    "byte level",
    "byte level, GPT-2",
    "byte level, space in front",
    "sentence pieces",
    "sentence pieces, legacy",
    "unigram",
    "unigram, single spaces",
]

# How Llama 3, Qwen and others cut text into words.  Line breaks stay together, whatever follows them.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class Published:
    """One template, and the tokens of the models that ship it."""

    name: str  # the row of the matrix
    file: str  # name in templates/, without .jinja
    models: str  # names on the Hub
    source: str  # where the facts were read
    kind: Kind = "byte level"
    bos: str | None = None
    eos: str  # eos_token of the chat model
    base_eos: str  # eos_token of the base model of the same family
    stops: tuple[str, ...] = ()  # what generation_config.json names besides eos
    special: tuple[str, ...] = ()  # further added tokens that are marked as special
    plain: tuple[str, ...] = ()  # added tokens that are not marked: <think>, <tool_call>
    rstrip: tuple[str, ...] = ()  # special tokens that take the white space after them

    @property
    def template(self) -> str:
        return (FOLDER / f"{self.file}.jinja").read_text(encoding="utf-8")


def _published() -> tuple[Published, ...]:
    tables: list[dict[str, Any]] = tomllib.loads((FOLDER / "models.toml").read_text("utf-8"))["model"]
    published = []
    for table in tables:
        values: Any = {
            key: tuple(value) if isinstance(value, list) else value for key, value in table.items()
        }
        published.append(Published(**values))
    return tuple(published)


PUBLISHED = _published()


@functools.cache
def _trained(kind: Kind) -> Tokenizer:
    """A small tokenizer without special tokens."""
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if kind.startswith("byte level") else [],
        show_progress=False,
    )
    if kind.startswith("byte level"):
        trained = Tokenizer(models.BPE())
        # The expression of GPT-2 gives a word the last of the line breaks before it.
        trained.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
            if kind == "byte level"
            else [pre_tokenizers.ByteLevel(add_prefix_space=kind == "byte level, space in front")]
        )
        trained.decoder = decoders.ByteLevel()
        trained.train_from_iterator(CORPUS, trainer)
        return trained
    if kind.startswith("unigram"):
        return _unigram(collapses=kind == "unigram, single spaces")
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    words.train_from_iterator(CORPUS, trainer)
    model = json.loads(words.to_str())["model"]
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *model["vocab"]]
    trained = Tokenizer(
        models.BPE(
            vocab={piece: i for i, piece in enumerate(pieces)},
            merges=[tuple(pair) for pair in model["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    if kind == "sentence pieces":
        # As in Gemma: spaces become a mark, and nothing is put in front.
        trained.normalizer = normalizers.Replace(" ", "▁")
        trained.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
    else:
        # As in Llama 2: a mark is put in front of the text and after every special token.
        trained.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        trained.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    return trained


def _unigram(*, collapses: bool) -> Tokenizer:
    """As SentencePiece trains by default: scored pieces, and bytes for what they lack.  Some models read
    several spaces as one.
    """
    words = Tokenizer(models.Unigram())
    words.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    words.train_from_iterator(
        CORPUS, trainers.UnigramTrainer(vocab_size=200, unk_token="<unk>", show_progress=False)
    )
    pieces = [(piece, score) for piece, score in json.loads(words.to_str())["model"]["vocab"]]
    fallback = [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    scored = [("<unk>", 0.0), *fallback, *(pair for pair in pieces if pair[0] != "<unk>")]
    trained = Tokenizer(models.Unigram(scored, unk_id=0, byte_fallback=True))
    steps = [normalizers.Replace(Regex(" {2,}"), " ")] if collapses else []
    trained.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    trained.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    return trained


@functools.cache
def tokenizer(
    published: Published,
    *,
    base: bool = False,
    kind: Kind | None = None,
    unmarked: bool = False,
    adds_bos: bool = False,
    has_bos: bool = True,
    pad: str | None = None,
    words: tuple[str, ...] = (),
) -> PreTrainedTokenizerFast:
    """A tokenizer with the template and the tokens of `published`.

    `base` takes the eos token of the base model.  `kind` replaces the kind of the vocabulary.  `unmarked`
    adds the tokens of the template without marking them as special, as some conversions do.  `adds_bos` puts
    BOS before a text although the template writes it, as the tokenizers of many models do.  Without
    `has_bos`, BOS has its token but no name.  `pad` replaces eos as the padding token, and `words` are added
    with the white space before them.
    """
    built = Tokenizer.from_str(_trained(kind or published.kind).to_str())
    eos = published.base_eos if base else published.eos
    names = [name for name in (published.bos, eos) if name]
    others = [name for name in (*published.stops, *published.special, published.eos) if name not in names]
    for name in dict.fromkeys([*names, *others]):
        if unmarked and name not in names:
            built.add_tokens([AddedToken(name, special=False, normalized=False)])
        else:
            rstrip = name in published.rstrip
            built.add_special_tokens([AddedToken(name, special=True, normalized=False, rstrip=rstrip)])
    built.add_tokens([AddedToken(name, special=False, normalized=False) for name in published.plain])
    built.add_tokens([AddedToken(name, special=False, lstrip=True) for name in words])
    if pad is not None:
        built.add_special_tokens([AddedToken(pad, special=True, normalized=False)])
    if adds_bos and published.bos and ":" not in published.bos:  # a colon has a meaning in the line below
        built.post_processor = processors.TemplateProcessing(
            single=f"{published.bos} $A", special_tokens=[(published.bos, built.token_to_id(published.bos))]
        )
    bos = published.bos if has_bos else None
    named = {"bos_token": bos, "eos_token": eos, "pad_token": pad or eos}
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=built,
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
        **{name: token for name, token in named.items() if token},
    )
    wrapped.chat_template = published.template
    return wrapped


def generation_stops(published: Published, tokens: PreTrainedTokenizerFast) -> frozenset[int]:
    """Ids of the tokens at which the generation config of the chat model stops."""
    return frozenset(token_id(tokens, name) for name in (published.eos, *published.stops))


def token_id(tokens: PreTrainedTokenizerFast, name: str) -> int:
    identity = tokens.convert_tokens_to_ids(name)
    assert isinstance(identity, int)
    return identity
