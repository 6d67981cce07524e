"""Writes sets.json: which characters a pattern matches in Hugging Face's tokenizers 0.23 (Oniguruma), as ranges.

python make_sets.py >sets.json; zstd -19 --rm sets.json. Tried are the characters that Unicode 14 assigns, but those in the middle of
large blocks of one kind (Han, Hangul, Tangut, private use).
"""
import json
import sys
import unicodedata

from tokenizers import Regex, pre_tokenizers

SKIPPED = [(0x3500, 0x4D00), (0x4F00, 0x9F00), (0xB000, 0xD700), (0xD800, 0xE000), (0xE100, 0xF800), (0x17100, 0x18600),
           (0x20100, 0x2A600), (0x2A800, 0xE0000), (0xE0200, 0x110000)]
NAMES = "alnum alpha blank cntrl digit graph lower print punct space upper xdigit word ascii".split()
CHARACTERS = [c for c in range(0x110000) if not any(a <= c < b for a, b in SKIPPED) and unicodedata.category(chr(c)) != "Cn"]
CHUNK = 1500

PATTERNS = []
for name in NAMES:
    PATTERNS += [form.replace("NAME", name).replace("Name", name.capitalize()) for form in
                 (r"[[:NAME:]]", r"[^[:NAME:]]", r"[[:^NAME:]]", r"[^[:^NAME:]]", r"\p{Name}", r"\p{^Name}", r"\P{NAME}", r"[\p{Name}]", r"[^\p{Name}]", r"[\P{Name}]")]
for letter in "wdsh":
    PATTERNS += [form.replace("u", letter.upper()).replace("l", letter) for form in (r"\l", r"\u", r"[\l]", r"[^\l]", r"[\u]", r"[^\u]")]
PATTERNS += [r"[^\w\s]", r"[\w\s]", r"[\W_]", r"[^\W_]", r"[^\W\d_]", r"[\W\d]", r"[\w\W]", r"[\s\S]", r"[^\S\n]", r"[\S\n]", r"[^\w ]",
             r"[^\w']", r"[a\W]", r"[\W^]", r"[^\W\H]", r"[\W\H]", r"[^\W\Ha-c]", r"[\u00e9\w]", r"[\w\u00b2]", r"[^\w\u00b2]", r"[^\w\p{P}]",
             r"[^\p{L}\w]", r"[^\w\p{N}]", r"[[:word:]\w]", r"[^[:word:]a]", r"[^\p{Punct}\s]", r"[^\p{Alnum}\s]", r"[\p{Punct}a]",
             r"[\p{^Punct}a]", r"[^\p{L}]", r"[\P{L}]", r"[^\P{L}]", r"[\p{^L}]", r"\p{^L}", r"\p{Letter}", r"\p{Alphabetic}", r"\P{lower-case}", r"[\p{White_Space}]", r"\p{Uppercase_Letter}",
             r"\p{decimal number}", r"[^\p{Punctuation}\p{Symbol}]", r"\P{Mark}", r"\p{Other_Number}", r"[\p{Separator}-]", r"[^[:alpha:][:digit:]_]"]


def matched(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = []
    for i in range(0, len(CHARACTERS), CHUNK):
        chunk = CHARACTERS[i:i + CHUNK]
        kept = set()
        for _, (begin, end) in split.pre_tokenize_str("".join(map(chr, chunk))):
            kept.update(range(begin, end))
        found += [c for at, c in enumerate(chunk) if at not in kept]
    return found


def ranges(characters):
    joined, place = [], {c: i for i, c in enumerate(CHARACTERS)}
    for c in characters:
        if joined and place[joined[-1][1]] == place[c] - 1:
            joined[-1][1] = c
        else:
            joined.append([c, c])
    return joined


sets = {pattern: ranges(matched(pattern)) for pattern in PATTERNS}
# The tried characters; in `sets` a range goes from one of them to another.
blocks = []
for c in CHARACTERS:
    if blocks and blocks[-1][1] == c - 1:
        blocks[-1][1] = c
    else:
        blocks.append([c, c])
json.dump({"characters": blocks, "sets": sets}, sys.stdout)
