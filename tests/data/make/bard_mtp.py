"""Trains a head for bard-6.7M that predicts the token after the next one, as MiMo-7B has it.

    python bard_mtp.py BARD_DIR OUT_DIR --work DIR TEXT...

BARD_DIR is tests/data/models/bard-6.7M. The texts are tinyshakespeare and Frankenstein, of which the
first 95% are read: bard was trained on them. The head learns bard's own choices: its loss is the
cross entropy with the distribution that bard gives for token i+2. Bard itself is not changed. Needs
torch 2.x and tokenizers, and takes the time of --minutes. After a kill the same command goes on
from the state in DIR, which is at most a few steps old.

The head, for position i (vLLM's mimo_mtp.py has the same dataflow, but for position 0):

    x      = input_proj(concat(hidden_layernorm(h_i), token_layernorm(embedding(t_{i+1}))))
    y      = a Qwen2 layer over all x up to position i
    logits = head(final_layernorm(y)), of token t_{i+2}

where h_i is bard's hidden state behind its final norm. Writes model.safetensors with the head's
tensors in bf16, and golden.safetensors: `input_ids` [n] i32, `logits` [n, vocabulary] and `hidden`
[n, hidden_size] f32, what the stored head gives in float32 for hidden rows whose value in column j
of row i is ((257 i + 31 j) mod 101 - 50) / 25.
"""
import argparse
import json
import math
import os
import struct
import time

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer

LAYER = "model.mtp_layers.0."
LENGTH = 512  # tokens of a training sequence
BATCH = 4
CHECKPOINT_STEPS = 10
TYPES = {"BF16": torch.bfloat16, "F32": torch.float32, "I32": torch.int32}


def read_safetensors(path):
    with open(path, "rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(data, dtype=TYPES[entry["dtype"]], offset=begin,
                                count=(end - begin) // TYPES[entry["dtype"]].itemsize)
        tensors[name] = flat.reshape(entry["shape"]).clone()
    return tensors


def write_safetensors(path, tensors, metadata):
    header, blobs, offset = {"__metadata__": metadata}, [], 0
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        blob = bytes(tensor.flatten().view(torch.uint8).tolist())
        kind = next(k for k, v in TYPES.items() if v == tensor.dtype)
        header[name] = {"dtype": kind, "shape": list(tensor.shape),
                        "data_offsets": [offset, offset + len(blob)]}
        offset += len(blob)
        blobs.append(blob)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    os.replace(path + ".tmp", path)


def norm(x, weight, eps):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


class Shape:
    def __init__(self, config):
        self.hidden = config["hidden_size"]
        self.heads = config["num_attention_heads"]
        self.kv_heads = config["num_key_value_heads"]
        self.dim = config["head_dim"]
        self.layers = config["num_hidden_layers"]
        self.vocab = config["vocab_size"]
        self.eps = config["rms_norm_eps"]
        self.theta = config["rope_parameters"]["rope_theta"]


def turn(x, shape):  # [batch, heads, tokens, dim]
    half = shape.dim // 2
    rates = shape.theta ** (-torch.arange(half, dtype=torch.float32) / half)
    angles = torch.arange(x.shape[2], dtype=torch.float32)[:, None] * rates
    cos, sin = angles.cos(), angles.sin()
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def layer(x, w, shape):
    """A layer whose tensors are `w`."""
    batch, tokens, _ = x.shape
    y = norm(x, w["input_layernorm.weight"], shape.eps)

    def project(name, heads):
        z = F.linear(y, w[f"self_attn.{name}_proj.weight"], w.get(f"self_attn.{name}_proj.bias"))
        return z.reshape(batch, tokens, heads, shape.dim).transpose(1, 2)

    q = turn(project("q", shape.heads), shape)
    k = turn(project("k", shape.kv_heads), shape)
    v = project("v", shape.kv_heads)
    group = shape.heads // shape.kv_heads
    a = F.scaled_dot_product_attention(q, k.repeat_interleave(group, 1),
                                       v.repeat_interleave(group, 1), is_causal=True)
    a = a.transpose(1, 2).reshape(batch, tokens, shape.heads * shape.dim)
    x = x + F.linear(a, w["self_attn.o_proj.weight"])
    y = norm(x, w["post_attention_layernorm.weight"], shape.eps)
    gated = F.silu(F.linear(y, w["mlp.gate_proj.weight"])) * F.linear(y, w["mlp.up_proj.weight"])
    return x + F.linear(gated, w["mlp.down_proj.weight"])


class Bard:
    def __init__(self, tensors, shape):
        self.shape = shape
        self.embedding = tensors["model.embed_tokens.weight"].float()
        self.final = tensors["model.norm.weight"].float()
        self.layers = []
        for i in range(shape.layers):
            prefix = f"model.layers.{i}."
            self.layers.append({name[len(prefix):]: tensor.float()
                                for name, tensor in tensors.items() if name.startswith(prefix)})

    def hidden(self, ids):
        """Hidden states behind the final norm, [batch, tokens, hidden]."""
        x = self.embedding[ids]
        for w in self.layers:
            x = layer(x, w, self.shape)
        return norm(x, self.final, self.shape.eps)

    def logits(self, hidden):
        return hidden @ self.embedding.T


def new_head(bard):
    shape = bard.shape
    generator = torch.Generator().manual_seed(3)
    head = {name: tensor.clone() for name, tensor in bard.layers[-1].items()}
    for name, rows in (("q", shape.heads), ("k", shape.kv_heads), ("v", shape.kv_heads)):
        head[f"self_attn.{name}_proj.bias"] = torch.zeros(rows * shape.dim)
    head["token_layernorm.weight"] = torch.ones(shape.hidden)
    head["hidden_layernorm.weight"] = torch.ones(shape.hidden)
    head["final_layernorm.weight"] = bard.final.clone()
    head["input_proj.weight"] = 0.03 * torch.randn(shape.hidden, 2 * shape.hidden,
                                                   generator=generator)
    return head


def run_head(bard, head, hidden, next_ids):
    """Hidden rows of the head behind its final norm, one for each pair of `hidden` and `next_ids`."""
    eps = bard.shape.eps
    x = torch.cat([norm(hidden, head["hidden_layernorm.weight"], eps),
                   norm(bard.embedding[next_ids], head["token_layernorm.weight"], eps)], -1)
    x = layer(F.linear(x, head["input_proj.weight"]), head, bard.shape)
    return norm(x, head["final_layernorm.weight"], eps)


def train(bard, sequences, work, minutes):
    """Trains for `minutes`, over all runs: the rate of learning falls with the time."""
    head = new_head(bard)
    for tensor in head.values():
        tensor.requires_grad_(True)
    optimizer = torch.optim.AdamW(head.values(), lr=2e-3, betas=(0.9, 0.95), weight_decay=0.01)
    state_path = os.path.join(work, "state.pt")
    step, seconds = 0, 0.0
    if os.path.exists(state_path):
        state = torch.load(state_path)
        step, seconds = state["step"], state["seconds"]
        with torch.no_grad():
            for name, tensor in head.items():
                tensor.copy_(state["head"][name])
        optimizer.load_state_dict(state["optimizer"])
    steps = len(sequences) // BATCH  # of an epoch
    total = 0.0
    while seconds < 60 * minutes:
        start, done = time.time(), seconds / (60 * minutes)
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1, (step + 1) / 20) * (0.5 + 0.5 * math.cos(math.pi * done))
        order = torch.randperm(len(sequences),
                               generator=torch.Generator().manual_seed(step // steps))
        ids = sequences[order[step % steps * BATCH:][:BATCH]]
        with torch.no_grad():
            hidden = bard.hidden(ids)
            wanted = bard.logits(hidden[:, 1:]).softmax(-1)
        given = bard.logits(run_head(bard, head, hidden[:, :-1], ids[:, 1:]))
        loss = -(wanted * given.log_softmax(-1)).sum(-1).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(head.values(), 1.0)
        optimizer.step()
        total += loss.item()
        step, seconds = step + 1, seconds + time.time() - start
        if step % CHECKPOINT_STEPS == 0:
            print(f"step {step}: loss {total / CHECKPOINT_STEPS:.4f}, {seconds:.0f} s", flush=True)
            total = 0.0
            torch.save({"step": step, "seconds": seconds, "head": head,
                        "optimizer": optimizer.state_dict()}, state_path + ".tmp")
            os.replace(state_path + ".tmp", state_path)
    print(f"{step} steps of {BATCH * LENGTH} tokens, {seconds:.0f} s", flush=True)
    return {name: tensor.detach().bfloat16() for name, tensor in head.items()}


def agreement(bard, head, ids, hidden_of=lambda hidden: hidden):
    """The share of positions at which the head's first choice is bard's next one."""
    hidden = bard.hidden(ids)
    given = bard.logits(run_head(bard, head, hidden_of(hidden)[:, :-1], ids[:, 1:])).argmax(-1)
    return (given == bard.logits(hidden[:, 1:]).argmax(-1)).float().mean().item()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bard")
    parser.add_argument("out")
    parser.add_argument("texts", nargs="+")
    parser.add_argument("--work", required=True)
    parser.add_argument("--heldout")
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    os.makedirs(args.work, exist_ok=True)
    os.makedirs(args.out, exist_ok=True)
    with open(os.path.join(args.bard, "config.json")) as file:
        shape = Shape(json.load(file))
    bard = Bard(read_safetensors(os.path.join(args.bard, "model.safetensors")), shape)
    tokenizer = Tokenizer.from_file(os.path.join(args.bard, "tokenizer.json"))

    def encode(text):
        return torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids)

    ids = []
    for path in args.texts:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        ids.append(encode(text[:len(text) * 95 // 100]))
    ids = torch.cat(ids)
    sequences = ids[:len(ids) // LENGTH * LENGTH].reshape(-1, LENGTH)
    print(f"{sequences.numel()} tokens", flush=True)

    head = train(bard, sequences, args.work, args.minutes)
    write_safetensors(os.path.join(args.out, "model.safetensors"),
                      {LAYER + name: tensor for name, tensor in head.items()}, {"format": "pt"})
    head = {name: tensor.float() for name, tensor in head.items()}
    with torch.no_grad():
        n = 6
        rows, columns = torch.arange(n)[:, None], torch.arange(shape.hidden)[None]
        hidden = ((257 * rows + 31 * columns) % 101 - 50).float() / 25
        golden_ids = torch.tensor([17 * i + 300 for i in range(n)])
        out = run_head(bard, head, hidden[None], golden_ids[None])[0]
        write_safetensors(os.path.join(args.out, "golden.safetensors"),
                          {"input_ids": golden_ids.int(), "hidden": out,
                           "logits": bard.logits(out)}, {"made by": "bard_mtp.py"})
        if args.heldout:
            with open(args.heldout, encoding="utf-8") as file:
                held = encode(file.read())
            held = held[:len(held) // LENGTH * LENGTH].reshape(-1, LENGTH)
            print("first choices that are bard's, held-out text:",
                  f"{agreement(bard, head, held):.3f}")
            half = shape.hidden
            swapped = dict(head)
            swapped["input_proj.weight"] = head["input_proj.weight"].roll(half, 1)
            print(f"  halves of input_proj swapped: {agreement(bard, swapped, held):.3f}")
            earlier = agreement(bard, head, held, lambda h: F.pad(h, (0, 0, 1, 0))[:, :-1])
            print(f"  hidden row of the position before: {earlier:.3f}")
            raw = agreement(bard, head, held, lambda h: h / bard.final)
            print(f"  hidden row before the final norm: {raw:.3f}")


if __name__ == "__main__":
    main()
