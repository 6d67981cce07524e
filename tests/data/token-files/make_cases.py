"""Writes cases.json: what transformers makes of the files beside tokenizer.json.

Run with transformers 5.24 and tokenizers 0.23: python make_cases.py >cases.json
Then: zstd -19 --rm cases.json. Another version may be compared: python make_cases.py --against cases.json
"""
import json
import os
import random
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()

SPECIAL = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}


def byte_alphabet():
    kept = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    return [chr(b) if b in kept else chr(256 + [c for c in range(256) if c not in kept].index(b)) for b in range(256)]


def tokenizer_json(normalizer=None, extra_vocab=(), added=None):
    vocab = {c: i for i, c in enumerate(byte_alphabet())}
    for token in extra_vocab:
        vocab[token] = len(vocab)
    if added is None:
        first = len(vocab)
        added = [dict(SPECIAL, id=first + i, content=c) for i, c in enumerate(["<s>", "</s>", "<think>", "</think>", "<pad>"])]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}}


TOKENIZERS = {
    "plain": tokenizer_json(),
    "lowercase": tokenizer_json({"type": "Lowercase"}),
    "in_vocabulary": tokenizer_json(None, ["<|eot|>", "<image>", "<|END|>"]),
    "none_added": tokenizer_json(None, (), []),
    "text_added": tokenizer_json(None, (), [dict(SPECIAL, id=256, content="<s>"), dict(SPECIAL, id=257, content="<|eot|>", special=False),
                                            dict(SPECIAL, id=258, content="<tool>", special=False, normalized=True)]),
    "low_added": tokenizer_json(None, ["x1", "x2"], [dict(SPECIAL, id=2, content=byte_alphabet()[2])]),
}


def token(content, **flags):
    return dict({"__type": "AddedToken", "content": content}, **dict(SPECIAL, **flags))


def plain_token(content, **flags):
    return {"content": content, **dict(SPECIAL, **flags)}


CHATML = {"261": plain_token("<|im_start|>"), "262": plain_token("<|im_end|>")}

# name: (tokenizer, {file: content}); "c" is tokenizer_config.json, "m" special_tokens_map.json, "a" added_tokens.json
CASES = {
    "no files": ("plain", {}),
    "decoder": ("plain", {"c": {"added_tokens_decoder": CHATML}}),
    "decoder with ids in another order": ("plain", {"c": {"added_tokens_decoder": {"270": plain_token("<b>"), "9": plain_token("<a>"), "100": plain_token("<c>")}}}),
    "decoder with ids beyond the model": ("plain", {"c": {"added_tokens_decoder": {"5000": plain_token("<far>")}}}),
    "decoder with ids of other tokens": ("plain", {"c": {"added_tokens_decoder": {"258": plain_token("<mine>"), "260": plain_token("<s>")}}}),
    "decoder changes flags": ("plain", {"c": {"added_tokens_decoder": {"258": plain_token("<think>", special=False, lstrip=True, rstrip=True)}}}),
    "decoder with flags": ("plain", {"c": {"added_tokens_decoder": {
        "261": plain_token("<l>", lstrip=True), "262": plain_token("<r>", rstrip=True), "263": plain_token("word", single_word=True),
        "264": plain_token("<t>", special=False), "265": plain_token("<n>", special=False, normalized=True)}}}),
    "decoder in lower case": ("lowercase", {"c": {"added_tokens_decoder": {
        "261": plain_token("<N>", special=False, normalized=True), "262": plain_token("<R>"), "263": plain_token("<n>", special=False)}}}),
    "decoder with a token of the vocabulary": ("in_vocabulary", {"c": {"added_tokens_decoder": {"256": plain_token("<|eot|>"), "264": plain_token("<new>")}}}),
    "decoder with defaults": ("plain", {"c": {"added_tokens_decoder": {"261": {"content": "<d>"}, "262": {"content": "<e>", "special": True}}}}),
    "empty decoder hides the map": ("plain", {"c": {"added_tokens_decoder": {}}, "m": {"bos_token": "<bos>"}, "a": {"<added>": 261}}),
    "decoder hides the map": ("plain", {"c": {"added_tokens_decoder": CHATML}, "m": {"bos_token": "<bos>"}, "a": {"<added>": 261}}),
    "decoder with an empty text": ("plain", {"c": {"added_tokens_decoder": {"261": plain_token(""), "262": plain_token("<x>")}}}),
    "text token that is named": ("text_added", {"c": {"added_tokens_decoder": {"257": plain_token("<|eot|>", special=False), "259": plain_token("<t>", special=False)}, "eos_token": "<t>"}}),
    "text token of tokenizer.json that is named": ("text_added", {"c": {"eos_token": "<|eot|>"}}),
    "the same with a decoder": ("text_added", {"c": {"eos_token": "<|eot|>", "added_tokens_decoder": {}}}),
    "named strings": ("plain", {"c": {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}}),
    "named objects": ("plain", {"c": {"bos_token": token("<bos>"), "eos_token": token("<eos>", lstrip=True), "mask_token": token("[MASK]", lstrip=True, special=False)}}),
    "named of the vocabulary": ("in_vocabulary", {"c": {"eos_token": "<|eot|>", "pad_token": "<|END|>"}}),
    "named twice": ("plain", {"c": {"eos_token": "<x>", "pad_token": "<x>", "image_token": "<x>", "additional_special_tokens": ["<x>", "<y>", "<y>"]}}),
    "own names": ("plain", {"c": {"zebra_token": "<z>", "image_token": "<image>", "audio_token": "<audio>", "video_token": None, "add_bos_token": False}}),
    "own names as objects": ("plain", {"c": {"zebra_token": token("<z>", special=False, rstrip=True), "image_token": "<image>", "audio_token": token("<audio>")}}),
    "additional list": ("plain", {"c": {"additional_special_tokens": ["<a>", "<b>", token("<c>", lstrip=True), token("<d>", special=False)]}}),
    "extra list": ("plain", {"c": {"extra_special_tokens": ["<a>", "<b>", token("<c>", rstrip=True)]}}),
    "extra list and additional list": ("plain", {"c": {"extra_special_tokens": ["<a>"], "additional_special_tokens": ["<b>"]}}),
    "empty extra list and additional list": ("plain", {"c": {"extra_special_tokens": [], "additional_special_tokens": ["<b>"]}}),
    "extra object": ("plain", {"c": {"extra_special_tokens": {"image_token": "<image>", "boi": "<boi>", "eoi": "<eoi>"}}}),
    "extra object and additional list": ("plain", {"c": {"extra_special_tokens": {"boi": "<boi>"}, "additional_special_tokens": ["<b>"]}}),
    "extra object, own names": ("plain", {"c": {"extra_special_tokens": {"boi": "<boi>", "image_token": "<i2>"}, "image_token": "<i1>", "audio_token": "<a>"}}),
    "extra object with a standard name": ("plain", {"c": {"extra_special_tokens": {"eos_token": "<e2>", "boi": "<boi>"}, "eos_token": "<e1>"}}),
    "model_specific": ("plain", {"c": {"model_specific_special_tokens": {"boi": "<boi>", "eoi_token": token("<eoi>", lstrip=True)}}}),
    "model_specific and own names": ("plain", {"c": {"model_specific_special_tokens": {"boi": "<boi>"}, "image_token": "<image>"}}),
    "model_specific and an own object": ("plain", {"c": {"model_specific_special_tokens": {"boi": "<boi>"}, "image_token": token("<image>")}}),
    "everything": ("plain", {"c": {"added_tokens_decoder": CHATML, "bos_token": "<|im_start|>", "eos_token": token("<|im_end|>"), "pad_token": "<|pad|>",
                                   "image_token": "<image>", "extra_special_tokens": {"boi": "<boi>"}, "additional_special_tokens": ["<|im_start|>", "<more>"]}}),
    "added_tokens.json": ("plain", {"a": {"<b>": 262, "<a>": 261}}),
    "added_tokens.json with a config": ("plain", {"a": {"<b>": 262, "<a>": 261, "<|im_end|>": 263}, "c": {"eos_token": "<|im_end|>", "additional_special_tokens": ["<a>"]}}),
    "added_tokens.json with an id of tokenizer.json": ("plain", {"a": {"<b>": 260, "<a>": 261}, "c": {}}),
    "added_tokens.json with objects": ("lowercase", {"a": {"<X>": 261, "<Y>": 262}, "c": {"eos_token": token("<X>"), "pad_token": "<Y>"}}),
    "added_tokens.json of the vocabulary": ("in_vocabulary", {"a": {"<|eot|>": 256, "<n>": 264}}),
    "map strings": ("plain", {"m": {"bos_token": "<bos>", "eos_token": "<eos>"}}),
    "map objects": ("plain", {"m": {"bos_token": plain_token("<bos>"), "eos_token": {"content": "<eos>", "lstrip": True, "rstrip": False, "normalized": True, "single_word": False}}}),
    "map beats config": ("plain", {"m": {"eos_token": "<map>"}, "c": {"eos_token": "<config>"}}),
    "map with lists": ("plain", {"m": {"additional_special_tokens": ["<a>", "<b>"], "eos_token": "<e>"}}),
    "map with lists, config with lists": ("plain", {"m": {"additional_special_tokens": ["<a>", "<b>"]}, "c": {"additional_special_tokens": ["<c>"]}}),
    "map with an extra list": ("plain", {"m": {"extra_special_tokens": ["<a>", plain_token("<b>")]}, "c": {"extra_special_tokens": ["<c>", "<a>"]}}),
    "map with an extra object": ("plain", {"m": {"extra_special_tokens": {"boi": "<boi>"}, "image_token": "<image>"}, "c": {"audio_token": "<audio>"}}),
    "map and added_tokens.json": ("plain", {"m": {"eos_token": plain_token("<|im_end|>"), "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}, "a": {"<|im_end|>": 262, "<|im_start|>": 261, "<tool>": 263}}),
    "added tokens inside the vocabulary": ("low_added", {"c": {"additional_special_tokens": ["<a>", "x1"]}}),
    "none added": ("none_added", {"c": {"added_tokens_decoder": {"256": plain_token("<s>"), "257": plain_token("</s>")}, "bos_token": "<s>"}}),
}

POOL = ["<s>", "</s>", "<think>", "<|im_start|>", "<|im_end|>", "<image>", "<|eot|>", "<T>", "<t>", "word", "<|a|>", "<|a|><|b|>", "a b"]


def random_case(rng):
    def any_token(typed=True):
        content = rng.choice(POOL)
        if rng.random() < 0.5:
            return content
        flags = {key: rng.random() < 0.3 for key in ("single_word", "lstrip", "rstrip", "normalized")}
        flags["special"] = rng.random() < 0.6
        return token(content, **flags) if typed else plain_token(content, **flags)

    config, files = {}, {}
    for name in ("bos_token", "eos_token", "pad_token", "mask_token", "image_token", "audio_token"):
        if rng.random() < 0.3:
            config[name] = any_token()
    if rng.random() < 0.4:
        config["additional_special_tokens"] = [any_token() for _ in range(rng.randrange(4))]
    kind = rng.random()
    if kind < 0.3:
        config["extra_special_tokens"] = [any_token() for _ in range(rng.randrange(4))]
    elif kind < 0.5:
        config["extra_special_tokens"] = {name: any_token() for name in rng.sample(["boi", "eoi", "image_token", "eos_token"], rng.randrange(4))}
    if rng.random() < 0.2:
        config["model_specific_special_tokens"] = {"soi": any_token()}
    if rng.random() < 0.5:
        config["added_tokens_decoder"] = {}
        for _ in range(rng.randrange(5)):
            entry = any_token(False)
            config["added_tokens_decoder"][str(rng.randrange(400))] = entry if isinstance(entry, dict) else plain_token(entry)
    if rng.random() < 0.9:
        files["c"] = config
    if rng.random() < 0.4:
        files["a"] = {rng.choice(POOL): rng.randrange(255, 265) for _ in range(rng.randrange(1, 5))}
    if rng.random() < 0.4:
        files["m"] = {name: any_token(False) for name in ("bos_token", "eos_token", "cls_token") if rng.random() < 0.5}
        if rng.random() < 0.3:
            files["m"]["additional_special_tokens"] = rng.sample(POOL, 2)
        if rng.random() < 0.2:
            files["m"]["extra_special_tokens"] = [any_token(False) for _ in range(2)]
    return rng.choice(list(TOKENIZERS)), files


NAMES = {"c": "tokenizer_config.json", "m": "special_tokens_map.json", "a": "added_tokens.json"}


def contents(value):
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        if isinstance(value.get("content"), str):
            return [value["content"]]
        return [c for k, v in value.items() for c in contents(v)]
    if isinstance(value, list):
        return [c for v in value for c in contents(v)]
    return []


def try_case(name, which, files):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "tokenizer.json"), "w") as out:
            json.dump(TOKENIZERS[which], out)
        given = {}
        for key, content in files.items():
            if key == "c":
                content = dict({"tokenizer_class": "PreTrainedTokenizerFast"}, **content)
            given[NAMES[key]] = content
            with open(os.path.join(folder, NAMES[key]), "w") as out:
                json.dump(content, out)
        with open(os.path.join(folder, "config.json"), "w") as out:
            json.dump({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, out)
        cls = AutoTokenizer if "c" in files else transformers.PreTrainedTokenizerFast
        tokenizer = cls.from_pretrained(folder)
        marks = sorted(set(c for f in given.values() for c in contents(f)) | set(files.get("a", {})) | set(POOL[:4]))
        marks = [m for m in marks if m and len(m) < 20]
        texts = ["no markers"]
        for mark in marks:
            texts.append(f"x{mark}y  {mark}  z {mark.upper()}.{mark.lower()} {mark}")
        ids = [tokenizer.encode(t, add_special_tokens=False) for t in texts]
        added = [[i, t.content, t.special] for i, t in sorted(tokenizer.added_tokens_decoder.items())]
        skipped = [tokenizer.decode(i, skip_special_tokens=True) for i in ids]
        return {"name": name, "tokenizer": which, "files": {k: json.dumps(v) for k, v in given.items()}, "texts": texts, "ids": ids,
                "added": added, "named": {k: v for k, v in tokenizer.special_tokens_map.items() if isinstance(v, str)},
                "skipped": skipped}


def main():
    rng = random.Random(19)
    made, refused = [], 0
    todo = [(name, *case) for name, case in CASES.items()]
    while len(todo) < len(CASES) + 400:
        todo.append((f"random {len(todo)}", *random_case(rng)))
    for name, which, files in todo:
        try:
            made.append(try_case(name, which, files))
        except Exception as error:  # transformers refuses it: no reference
            refused += 1
            print(f"{name}: {type(error).__name__}: {error}"[:200], file=sys.stderr)
    print(f"transformers {transformers.__version__}: {len(made)} cases, {refused} refused", file=sys.stderr)
    if len(sys.argv) > 2 and sys.argv[1] == "--against":
        other = {c["name"]: c for c in json.load(open(sys.argv[2]))["cases"]}
        for case in made:
            if case["name"] in other and other[case["name"]]["ids"] != case["ids"]:
                print("differs:", case["name"], case["files"], case["added"], other[case["name"]]["added"])
        return
    json.dump({"transformers": transformers.__version__, "tokenizers": TOKENIZERS, "cases": made}, sys.stdout, ensure_ascii=True)


main()
