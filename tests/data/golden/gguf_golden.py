"""Writes gguf.json: greedy ids of small GGUF models as transformers loads them (float32, eager attention).

python3 gguf_golden.py FIXTURES/models OUT    (needs transformers, accelerate, torch and gguf)
"""

import json
import os
import sys
import tempfile

import gguf
import torch
import transformers

MODELS = {
    "stories260K/stories260K.gguf": ["Once upon a time", "Lily and Ben went to the park.", "The dog"],
    "llama-2-tiny-random/llama-2-tiny-random.gguf": ["Once upon a time", "Grüße, 世界! \U0001f600", "  two  spaces\n"],
}
STEPS = 48


def encode(path, text):
    """SentencePiece's merging by score, as plainly as can be."""
    fields = gguf.GGUFReader(path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    scores = fields["tokenizer.ggml.scores"].contents()
    index = {token: i for i, token in enumerate(tokens)}
    parts = list("\u2581" + text.replace(" ", "\u2581"))
    while True:
        pairs = [(-scores[index[a + b]], i) for i, (a, b) in enumerate(zip(parts, parts[1:])) if a + b in index]
        if not pairs:
            break
        at = min(pairs)[1]
        parts[at:at + 2] = [parts[at] + parts[at + 1]]
    ids = [1]
    for part in parts:
        ids += [index[part]] if part in index else [index[f"<0x{byte:02X}>"] for byte in part.encode()]
    return ids


def load(path):
    """The model; transformers stumbles over stories260K's padding and separator ids, which are 2^32 - 1."""
    with open(path, "rb") as file:
        data = file.read()
    for key in b"padding_token_id", b"seperator_token_id":
        data = data.replace(key + b"\4\0\0\0\xff\xff\xff\xff", key + b"\4\0\0\0\0\0\0\0")
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "model.gguf"), "wb") as file:
            file.write(data)
        return transformers.AutoModelForCausalLM.from_pretrained(
            folder, gguf_file="model.gguf", dtype=torch.float32, attn_implementation="eager").eval()


def main(folder, out):
    files = {}
    for path, prompts in MODELS.items():
        model = load(f"{folder}/{path}")
        completions = []
        for prompt in prompts:
            ids = encode(f"{folder}/{path}", prompt)
            greedy, gaps = [], []
            for _ in range(STEPS):
                with torch.no_grad():
                    logits = model(torch.tensor([ids + greedy])).logits[0, -1]
                best = torch.topk(logits, 2)
                greedy.append(int(best.indices[0]))
                gaps.append(round(float(best.values[0] - best.values[1]), 6))
            completions.append({"prompt": prompt, "prompt_ids": ids, "greedy_ids": greedy, "gaps": gaps})
        files[path] = completions
    made_with = f"transformers {transformers.__version__}'s GGUF loader, float32, eager; gaps: best minus second logit"
    with open(out, "w") as file:
        json.dump({"made_with": made_with, "files": files}, file, separators=(",", ":"))
        file.write("\n")


main(*sys.argv[1:])
