#!/usr/bin/env python3
"""Draws random schemas and texts, and has Python's jsonschema judge them: writes random.jsonl (README.md).

usage: random_schemas.py SEED COUNT > random.jsonl
"""
import json
import random
import re
import string
import sys
import urllib.parse
from decimal import Decimal

import jsonschema

DRAFT_2020 = "https://json-schema.org/draft/2020-12/schema"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"


class Number(str):
    """A number as its text."""


def write(value):
    """JSON without white space, numbers as they are spelled."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(json.dumps(k, ensure_ascii=False) + ":" + write(v) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(write, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


# --- numbers


def plain(x):
    """A decimal without an exponent."""
    text = format(x, "f")
    return "0" if Decimal(text) == 0 and "." not in text else text.replace("-0", "0") if Decimal(text) == 0 else text


def respelled(rng, text):
    """The same number as somebody else might write it."""
    x = Decimal(text)
    kind = rng.randrange(8)
    if kind == 0 and x != 0:
        return f"{x:e}".replace("+", "")
    if kind == 1:
        return f"{x:E}"
    if kind == 2 and x == x.to_integral_value():
        return plain(x.quantize(Decimal(1))) + ".0"
    if kind == 3 and "." in text and "e" not in text.lower():
        return text + "0"
    return text


def random_decimal(rng):
    kind = rng.randrange(10)
    sign = rng.choice([1, 1, -1])
    if kind < 3:
        x = Decimal(rng.randint(0, 20))
    elif kind < 6:
        digits = rng.randint(1, 6)
        x = Decimal(rng.randint(0, 20 * 10**digits)).scaleb(-digits)
    elif kind == 6:
        x = Decimal(rng.randint(0, 9999)).scaleb(rng.randint(-9, -5))
    elif kind == 7:
        x = Decimal(rng.choice([10, 99, 100, 1000, 1900, 2**16, 2**31, 2**31 - 1, 10**9, 10**12]))
    elif kind == 8:
        digits = rng.randint(0, 6)
        x = Decimal(rng.randint(0, 10 ** (9 + digits))).scaleb(-digits)
    else:
        x = Decimal(0)
    return sign * x


def gap(rng):
    return abs(random_decimal(rng)) if rng.random() < 0.5 else Decimal(rng.randint(0, 30)).scaleb(-rng.randint(0, 9))


def number_schema(rng):
    """Keywords as texts of JSON, so that a bound's spelling is kept."""
    low = random_decimal(rng)
    high = low + gap(rng)
    members = {}
    if rng.random() < 0.9:
        members["type"] = json.dumps(rng.choice(["number"] * 5 + ["integer"] * 2 + [["number", "null"], ["integer", "string"]]))
    sides = rng.choice(["both"] * 5 + ["low", "high"])
    if rng.random() < 0.12:
        members["$schema"] = json.dumps(DRAFT_4)
        for side, name, exclusive, x in (("low", "minimum", "exclusiveMinimum", low), ("high", "maximum", "exclusiveMaximum", high)):
            if sides in ("both", side):
                members[name] = respelled(rng, plain(x))
                if rng.random() < 0.6:
                    members[exclusive] = rng.choice(["true", "false"])
    else:
        if sides != "high":
            members[rng.choice(["minimum", "exclusiveMinimum"])] = respelled(rng, plain(low))
            if rng.random() < 0.1:
                members.setdefault("minimum", respelled(rng, plain(low - gap(rng))))
        if sides != "low":
            members[rng.choice(["maximum", "exclusiveMaximum"])] = respelled(rng, plain(high))
            if rng.random() < 0.1:
                members.setdefault("maximum", respelled(rng, plain(high + gap(rng))))
    return "{" + ",".join(f'"{k}":{v}' for k, v in members.items()) + "}", low, high


def number_texts(rng, low, high):
    """Spellings of numbers in, at and around the bounds."""
    numbers = []
    for bound in (low, high):
        numbers.append(bound)
        for places in range(0, 8):
            step = Decimal(1).scaleb(-places)
            numbers += [bound + step, bound - step, bound.quantize(step) if abs(bound) < 10**15 else bound]
    for _ in range(14):
        places = rng.randint(0, 7)
        scale = 10**places
        first, last = int(low * scale), int(high * scale)
        numbers.append(Decimal(rng.randint(first, max(first, last))).scaleb(-places))
        numbers.append(random_decimal(rng))
    texts = {plain(x) for x in numbers if len(str(x)) < 40}
    texts |= {respelled(rng, t) for t in list(texts)} | {"-0", "-0.0", "0", "0.0", "-0.000001", "1e-3", "007", "1.", ".5", "+1"}
    return sorted(texts)


# --- other schemas, as Python values


WORDS = ["a", "b", "ab", "x1", "name", "größe", "a b", 'q"t', "~/"]
PATTERNS = ["^[a-c]*$", "^[a-c]+[0-9]$", "b", "^(ab|abc|c)*$", "^a?b{2,4}c*$", "[0-9]{2}", "^[^a]*$", "^\\w+-\\d+$",
            "^(a|bb|ccc)$", "^x|y$", "^.{2,3}$", "^(?:[ab]{2}){1,3}$", "^a*b*c*$", "c$", "^[a-z]([a-z-]*[a-z])?$"]
# Formats that annotate, words of editors, generators, drafts and OpenAPI.
ANNOTATIONS = {"x-order": 1, "example": "x", "id": "http://example.com/x", "links": [{"rel": "self"}], "self": {"name": "x"},
               "$comment": "no", "title": "t", "description": "d", "default": None, "examples": [1], "deprecated": True,
               "readOnly": True, "writeOnly": False, "contentEncoding": "base64", "contentMediaType": "text/plain",
               "nullable": False, "xml": {"name": "n"}, "externalDocs": {}, "markdownDescription": "m", "enumNames": ["n"],
               "propertyOrder": 3, "tsType": "X", "options": {"hidden": True}, "media": {}, "base": "b", "$vocabulary": {}}


def random_schema(rng, depth):
    schema = {}
    kinds = ["string"] * 3 + ["literal", "boolean", "integer"] + (["array", "object", "object", "anyOf", "$ref"] if depth > 0 else [])
    kind = rng.choice(kinds)
    if kind == "string":
        schema["type"] = "string"
        if rng.random() < 0.7:
            schema["pattern"] = rng.choice(PATTERNS)
        if rng.random() < 0.6:
            schema["minLength"] = rng.randint(0, 5)
        if rng.random() < 0.6:
            schema["maxLength"] = schema.get("minLength", 0) + rng.randint(0, 5)
    elif kind == "literal":
        values = [rng.choice([None, True, "a", "b", 'q"\n', [], ["a"], {"k": None}]) for _ in range(rng.randint(1, 4))]
        if rng.random() < 0.3:
            schema["const"] = values[0]
        else:
            schema["enum"] = [v for i, v in enumerate(values) if v not in values[:i]]
    elif kind == "boolean":
        schema["type"] = rng.choice(["boolean", ["boolean", "null"]])
    elif kind == "integer":
        schema |= {"type": "integer", "minimum": rng.randint(-30, 5), "exclusiveMaximum": rng.randint(6, 200)}
    elif kind == "array":
        schema["type"] = "array"
        if rng.random() < 0.4:
            schema["prefixItems"] = [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.8:
            schema["items"] = random_schema(rng, depth - 1)
        if rng.random() < 0.4:
            schema["minItems"] = rng.randint(0, 3)
        if rng.random() < 0.5:
            schema["maxItems"] = schema.get("minItems", 0) + rng.randint(0, 3)
    elif kind == "object":
        schema["type"] = "object"
        names = rng.sample(WORDS, rng.randint(0, 4))
        schema["properties"] = {name: random_schema(rng, depth - 1) for name in names}
        schema["required"] = [name for name in names if rng.random() < 0.5]
        if rng.random() < 0.6:
            schema["additionalProperties"] = rng.choice([False, True, {"type": "boolean"}])
    elif kind == "anyOf":
        schema["anyOf"] = [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]
    else:
        schema["$ref"] = "#/definitions/" + urllib.parse.quote(rng.choice(list(DEFINITIONS)).replace("~", "~0").replace("/", "~1"), safe="")
    for name in rng.sample(list(ANNOTATIONS), rng.choice([0, 0, 1, 2])):
        if name != "id":
            schema[name] = ANNOTATIONS[name]
    if kind == "string" and "pattern" not in schema and rng.random() < 0.3:
        schema["format"] = rng.choice(["password", "color", "int32", "x-y"])
    return schema


DEFINITIONS = {
    "plain": {"type": "boolean"},
    "Page<Item>": {"type": "array", "items": {"type": "integer"}, "maxItems": 2},
    "My Type": {"type": "string", "pattern": "^[ab]*$", "maxLength": 3},
    "a/b~c%d": {"enum": ["x", "y"]},
    "größe": {"type": ["integer", "null"]},
}


def resolve(schema):
    while "$ref" in schema:
        name = urllib.parse.unquote(schema["$ref"]).split("/")[-1].replace("~1", "/").replace("~0", "~")
        schema = DEFINITIONS[name]
    return schema


def random_text(rng):
    return "".join(rng.choice("aabbccxy019- é") for _ in range(rng.randint(0, 7)))


def likely_text(rng, pattern):
    """A text that a pattern of the list is likely to match."""
    text = re.sub(r"\(\?:|[\^$()]", "", rng.choice(pattern.split("|")))
    text = re.sub(r"\\w|\[a-c\]|\[a-z-?\]|\[ab\]", lambda _: rng.choice("abc"), text)
    text = re.sub(r"\\d|\[0-9\]", lambda _: rng.choice("019"), text)
    text = re.sub(r"\[\^a\]|\.", lambda _: rng.choice("bxy é"), text)
    text = re.sub(r"(\w| )(?:[*+?]|\{[0-9,]+\})", lambda m: m.group(1) * rng.randint(0, 4), text)
    return re.sub(r"[*+?]|\{[0-9,]+\}", "", text)


def random_value(rng, schema, depth=0):
    """Mostly what the schema says."""
    schema = resolve(schema)
    if rng.random() < 0.05 or depth > 6:
        return rng.choice([None, True, False, Number("3"), Number("-1"), "a", [], {}, ["a", None], {"a": True}])
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return random_value(rng, rng.choice(schema["anyOf"]), depth + 1)
    kind = schema["type"] if isinstance(schema["type"], str) else rng.choice(schema["type"])
    if kind == "string":
        return likely_text(rng, schema["pattern"]) if "pattern" in schema and rng.random() < 0.8 else random_text(rng)
    if kind == "integer":
        return Number(rng.randint(-40, 210))
    if kind == "boolean":
        return rng.choice([True, False])
    if kind == "null":
        return None
    if kind == "array":
        prefix = schema.get("prefixItems", [])
        size = rng.randint(schema.get("minItems", 0), schema.get("maxItems", 4) + (rng.random() < 0.1))
        return [random_value(rng, prefix[i] if i < len(prefix) else schema.get("items", {"type": "null"}), depth + 1) for i in range(size)]
    value = {}
    for name, member in schema["properties"].items():
        if rng.random() < (0.95 if name in schema["required"] else 0.5):
            value[name] = random_value(rng, member, depth + 1)
    if rng.random() < 0.3:
        value[rng.choice(WORDS + ["extra"])] = rng.choice([True, None])
    if rng.random() < 0.05:
        value = dict(reversed(value.items()))
    return value


# --- what docs/grammar.md says that a grammar covers


def covers_number(text, integer):
    found = re.fullmatch(r"-?([0-9]{1,15})(?:\.([0-9]{1,6}))?", text)
    if not found or (text.startswith("-") and Decimal(text) == 0):
        return False
    return not (integer and found.group(2))


def covers(schema, value, is_valid):
    """Whether a value that is valid has to be possible. is_valid(schema, value) judges parts."""
    schema = resolve(schema)
    if "const" in schema or "enum" in schema:
        return True
    if "anyOf" in schema:
        return any(is_valid(s, value) and covers(s, value, is_valid) for s in schema["anyOf"])
    if isinstance(value, Number):
        return covers_number(value, "integer" in json.dumps(schema["type"]))
    if isinstance(value, str):
        return True
    if isinstance(value, list):
        prefix = schema.get("prefixItems", [])
        return all(covers(prefix[i] if i < len(prefix) else schema["items"], v, is_valid) if i < len(prefix) or "items" in schema else True
                   for i, v in enumerate(value))
    if isinstance(value, dict):
        names = list(schema["properties"])
        described = [name for name in value if name in names]
        others = [name for name in value if name not in names]
        if described != [name for name in names if name in value] or list(value) != described + others:
            return False
        if others and (schema.get("additionalProperties") is None and names or any(c in '"\\' or c < " " for n in others for c in n)):
            return False
        return all(covers(schema["properties"][name], value[name], is_valid) for name in described)
    return True


def judge(schema_text, text):
    """Valid by doubles, valid exactly; None: no JSON."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    verdicts = []
    for parse in (float, Decimal):
        schema = json.loads(schema_text, parse_float=parse)
        kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        verdicts.append(kind(schema).is_valid(json.loads(text, parse_float=parse)))
    return verdicts


def number_line(rng):
    schema_text, low, high = number_schema(rng)
    schema = json.loads(schema_text)
    texts = []
    kinds = schema.get("type", "number")
    integer = "integer" in kinds
    for text in number_texts(rng, low, high):
        verdict = judge(schema_text, text)
        if verdict is None or not verdict[0]:
            texts.append([text, "no"])
        elif verdict[1] and covers_number(text, integer):
            texts.append([text, "yes"])
        else:
            texts.append([text, "either"])
    # Whether there is a number in the range; for numbers that are no integers, more than one.
    open_low = "exclusiveMinimum" in schema and schema["exclusiveMinimum"] is not False
    open_high = "exclusiveMaximum" in schema and schema["exclusiveMaximum"] is not False
    low_given = "minimum" in schema or "exclusiveMinimum" in schema
    high_given = "maximum" in schema or "exclusiveMaximum" in schema
    if integer:
        possible = any(judge(schema_text, str(n)) == [True, True] for x in (low, high) for n in range(int(x) - 2, int(x) + 3)) \
            or (low_given and high_given and high - low > 4)
    elif low_given and high_given:
        possible = low < high or not (open_low or open_high)
        if 0 < high - low < max(abs(low), 1) * Decimal("1e-13"):
            possible = None  # more digits than a double has
    else:
        possible = True
    return {"schema": schema_text, "compiles": possible, "texts": texts}


def schema_line(rng):
    schema = random_schema(rng, 3)
    if rng.random() < 0.3:
        schema["$schema"] = DRAFT_2020
    schema["definitions"] = DEFINITIONS
    schema_text = json.dumps(schema, ensure_ascii=False)
    validator = jsonschema.Draft202012Validator(schema)

    def is_valid(part, value):
        if part is not schema:
            part = part | {"definitions": DEFINITIONS}
        return jsonschema.Draft202012Validator(part).is_valid(json.loads(write(value)))

    texts = {}
    for _ in range(24):
        value = random_value(rng, schema)
        text = write(value)
        if not validator.is_valid(json.loads(text)):
            texts[text] = "no"
        else:
            texts[text] = "yes" if covers(schema, value, is_valid) else "either"
    # A string whose pattern and lengths contradict each other is refused.
    return {"schema": schema_text, "compiles": None, "texts": sorted(map(list, texts.items()))}


def main():
    seed, count = int(sys.argv[1]), int(sys.argv[2])
    for i in range(count):
        rng = random.Random(f"{seed} {i}")
        line = number_line(rng) if i % 2 == 0 else schema_line(rng)
        print(json.dumps(line, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()
