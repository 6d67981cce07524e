#!/usr/bin/env python3
"""Makes the small SentencePiece and tekken tokenizers of this folder, and what the libraries give for them.

usage: make_vectors.py TEXT TEKKEN

TEXT: a text to train on (tinyshakespeare.txt). TEKKEN: tekken_240718.json, which the package mistral-common brings.
Needs the packages sentencepiece, protobuf, mistral-common and the program zstd.
"""
import base64
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import sentencepiece
from mistral_common.tokens.tokenizers.tekken import Tekkenizer
from sentencepiece import sentencepiece_model_pb2 as proto

here = pathlib.Path(__file__).parent
text_file, tekken_file = sys.argv[1:3]
scratch = pathlib.Path(tempfile.mkdtemp())

OWN = [
    "", " ", "  ", "\u2581", "\u2581\u2581a", "a\u2581", " a", "a ", "  a  b   c  ", "\t a\n\n b\r\n", "a" * 50, "aaaa aaa aa a",
    "abcabcabc", "the the  the", "hmhm hm", "<x>", "<x><x> a<x>b", " <x> ", "a <x>", "x<x", "<s>", "a</s>b <unk>",
    "\ufb01ne \u2460\u00bd \uff21\uff22\uff23 \u3000wide", "e\u0301 \u00e9 A\u030a \u212b", "\u200bzero\u200dwidth\ufeff",
    "\u0000\u0001\u0007bell", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \u00fc\u00df\u4e2d\u6587", "\u4e2d\u4e2d a\u4e2d",
    "<0x41><0xE4>", "qzqzqz QZ", "1234567890 3.14 1,000", "\u00a0nbsp\u00a0 \u2003em", "\u0e01\u0e34\u0e19 \u0928\u093f", "foo  \u2581 bar",
    "thththe", "ererer tht", "[INST] a [/INST]", "caf\u00e9's can't I'LL", "\ufdfa\u1e9b\u0323", "a\nb\n\nc\n\n\nd/\n", "Hello World  HELLO wOrLd",
]


def texts():
    known = json.loads(subprocess.check_output(["zstd", "-dc", here / "../tokenizer-vectors/hf/gpt2.json.zst"]))
    yield from OWN
    yield from (case["text"] for case in known)
    draw = random.Random(19)
    pieces = ["the", " ", "  ", "er", "hm", "<x>", "\u2581", "a", "b", "th", "\n", "\u00e9", "\ufb01", "\u4e2d", "!", "Th", "in", "ing", "\u200b", "qq"]
    for _ in range(150):
        yield "".join(draw.choice(pieces) for _ in range(draw.randint(1, 30)))


def save(path, data):
    path = here / path
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = scratch / "plain"
    plain.write_bytes(data)
    subprocess.run(["zstd", "-q", "-f", "-19", str(plain), "-o", str(path) + ".zst"], check=True)


def save_vectors(path, encode, decode):
    cases = []
    for text in dict.fromkeys(texts()):
        ids = encode(text)
        cases.append({"text": text, "ids": ids, "decoded": decode(ids)})
    save(path, ("[\n" + ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]\n").encode())


def sentence_piece(name, edit=None, **options):
    prefix = str(scratch / name)
    sentencepiece.SentencePieceTrainer.train(
        input=text_file, model_prefix=prefix, num_threads=1, minloglevel=2, **options)
    data = pathlib.Path(prefix + ".model").read_bytes()
    model = proto.ModelProto.FromString(data)
    model.trainer_spec.input[:] = ["text"]  # no path of this machine
    model.trainer_spec.model_prefix = name
    if edit:
        edit(model)
    data = model.SerializeToString()
    processor = sentencepiece.SentencePieceProcessor(model_proto=data)
    save(f"sentencepiece/{name}.model", data)
    # The unknown piece has another text here than in transformers.
    unknown = processor.unk_id()
    save_vectors(f"../tokenizer-vectors/sentencepiece/{name}.json", processor.encode,
                 lambda ids: None if unknown in ids else processor.decode(ids))


def edit(model):
    """Scores that tie, unused pieces, and characters that have no piece though longer pieces do."""
    for i, piece in enumerate(model.pieces):
        if piece.type != proto.ModelProto.SentencePiece.NORMAL:
            continue
        if len(piece.piece) > 1:
            piece.score = -float(int(-piece.score) // 40)
        if len(piece.piece) > 1 and i % 7 == 0:
            piece.type = proto.ModelProto.SentencePiece.UNUSED
        if piece.piece in ("h", "q", "z", "E"):
            piece.piece = f"[gone {piece.piece}]"


common = dict(model_type="bpe", vocab_size=600, hard_vocab_limit=False)
# As Llama 2 and Mistral have it.
sentence_piece("llama", byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
               split_digits=True, user_defined_symbols=["<x>", "hm", "\u2581\u2581"], **common)
# What the trainer does unless told otherwise: nmt_nfkc, no spaces twice.
sentence_piece("nmt_nfkc", character_coverage=0.98, user_defined_symbols=["<x>", "\ufb01"], **common)
# Neither a space in front nor a table, as Gemma.
sentence_piece("no_prefix", byte_fallback=True, normalization_rule_name="identity", add_dummy_prefix=False,
               remove_extra_whitespaces=False, **common)
sentence_piece("edited", edit, byte_fallback=False, normalization_rule_name="identity", **common)
sentence_piece("edited_bytes", edit, byte_fallback=True, normalization_rule_name="identity", **common)
for kind in ("unigram", "char", "word"):
    prefix = str(scratch / kind)
    sentencepiece.SentencePieceTrainer.train(input=text_file, model_prefix=prefix, model_type=kind, vocab_size=120, minloglevel=2,
                                             hard_vocab_limit=False, normalization_rule_name="identity", num_threads=1)
    model = proto.ModelProto.FromString(pathlib.Path(prefix + ".model").read_bytes())
    model.trainer_spec.input[:] = ["text"]
    model.trainer_spec.model_prefix = kind
    save(f"sentencepiece/{kind}.model", model.SerializeToString())


def tekken(name, change):
    document = json.loads(pathlib.Path(tekken_file).read_text())
    document = {"config": document["config"], "vocab": document["vocab"][:1500]}
    document["config"]["num_vocab_tokens"] = len(document["vocab"])
    document["config"]["default_vocab_size"] = 1000 + 1400  # fewer than the file has
    change(document)
    data = json.dumps(document, indent=1).encode()
    (scratch / f"{name}.json").write_bytes(data)
    tokenizer = Tekkenizer.from_file(scratch / f"{name}.json")
    save(f"tekken/{name}.json", data)
    save_vectors(f"../tokenizer-vectors/tekken/{name}.json", lambda text: tokenizer.encode(text, bos=False, eos=False),
                 tokenizer.decode)


def named_specials(document):
    names = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[THINK]", "[/THINK]"]
    document["config"].update(version="v11", default_num_special_tokens=20, default_vocab_size=1520)
    document["special_tokens"] = [{"rank": i, "token_str": name, "is_control": i < 5} for i, name in enumerate(names)]
    document["audio"] = None


tekken("v3", lambda document: None)
tekken("v11", named_specials)
