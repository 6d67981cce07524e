"""Writes expressions.json: small templates and what Jinja2 makes of them as transformers sets it up.

    pip install jinja2==3.1.6 transformers==5.23.0
    python3 expressions.py > expressions.json
"""
import json
import sys

from transformers.utils.chat_template_utils import _compile_jinja_template

CONTEXT = {
    "n": 7, "f": 2.5, "t": True, "none": None, "s": "Hello World", "u": "h\u00e9llo w\u00f6rld \U0001f600",
    "l": [3, 1, 2], "words": ["pear", "Apple", "fig", "apple"], "e": [], "d": {"b": 1, "a": [1, {"x": None}]},
    "msgs": [{"role": "user", "content": "hi", "n": 2}, {"role": "assistant", "content": "yo", "n": 1},
             {"role": "user", "content": "bye"}],
    "nested": [[1, [2, [3]]], [4]], "html": "<a href=\"x\">&'</a>", "lines": "one\n\ntwo\n  three\n",
    "tree": [{"v": 1, "c": [{"v": 2, "c": [{"v": 3}]}]}, {"v": 4}],
    "tool": {"name": "get", "parameters": {"type": "object", "z": 1.0, "a": "\u00e9\"\\\n\t\u2028"}},
}

# Expressions, printed.
EXPRESSIONS = r"""
1 + 2 * 3 - 4 | abs
2 ** 3 ** 2
-2 ** 2
- 2 | abs
(-7) // 2
-7 // 2
7 % -3
(-7) % 3
7.5 // 2
-7.5 % 2
7 / 2
6 / 3
2 ** -1
1e16
1e15
1.5e-5
0.0001
123456789012345.6
1e100
0x1f + 0o17 + 0b101
1_000_000
1.0
-0.0
3.14 * 2
10 // 0
1 % 0
1 / 0
true + true
true == 1
1 == 1.0
"1" == 1
[1, 2] == [1, 2.0]
(1, 2) == [1, 2]
{"a": 1} == {"a": 1.0}
1 < 2 < 3
1 < 3 < 2
1 == 1 != 2
"a" < "b"
[1, 2] < [1, 3]
"a" < 1
none < 1
1 in [1, 2] and 3 not in [1, 2]
"ell" in s
"x" in d
"a" in d
1 in "123"
not true or true
not (true and false)
n if t else f
n if not t
(n if not t) is defined
"a" if false else "b" if false else "c"
n and s
e or "empty"
e and n
none or 0
"a" ~ 1 ~ none ~ true ~ 2.0 ~ [1, "x"]
"a" "b" 'c'
"a" + "b" * 3
3 * "ab"
"ab" * -1
[1, 2] * 2
(1,) + (2, 3)
[1] + (2,)
"a" + 1
1 + "a"
none + 1
"%s is %d and %5.2f|%-5s|%05d|%x|%%" % ("x", 3, 2.5, "ab", 42, 255)
"%s" % "one"
"%s" % none
"%s %s" % ("one",)
"%(a)s-%(b)r" % {"a": 1, "b": "q"}
"{} {} {0}".format(1, 2)
"{0} {1} {0}".format("a", "b")
"{a} {b:>5}|{b:<5}|{b:^5}|{c:.2f}|{n:,}|{n:05d}|{n:x}".format(a=1, b="x", c=2.5, n=12345)
"{{}} {!r}".format("x")
"{:d}".format("x")
l[0] ~ l[-1] ~ l[5]
l[5] is defined
l[1:] ~ l[:-1] ~ l[::-1] ~ l[::2] ~ l[5:] ~ l[-2:]
s[0] ~ s[-1] ~ s[2:5] ~ s[::-1] ~ s[100:] ~ s[:-3:2]
u[1] ~ u[-1] ~ u[::-1] ~ u[1:4] ~ u | length
(1, 2, 3)[1:]
d["b"] ~ d.b ~ d["nope"] ~ d.nope
d.nope.deeper
nope
nope.attr
nope[0]
nope()
nope + 1
"x" + nope
nope ~ "x"
nope | length
nope | list
nope | upper
nope == nope2
nope in [1]
1 in nope
nope < 1
-nope
nope | int
nope | default("dflt")
none | default("dflt")
none | default("dflt", true)
"" | d("x", boolean=true)
nope | tojson
[nope]
none.x
none[0]
none is none
d
l
s | list
[1, "a'b", 'a"b', "a'\"b", "\n\t\\", none, true, 1.0, (1,), (), {}, {"k": [1]}]
{"a": 1, 2: "b", none: 3, true: 4}
{1: "a", 1.0: "b", true: "c"}
["\u00e9\u200b\u00ad\x7f\U0001f600"]
range(5)
range(2, 10, 3) | list
range(5, 0, -2) | list
range(3)[1]
range(10)[2:5] | list
range(0)
range(3) | length
3 in range(5)
dict(a=1, b=2)
dict([["a", 1]], b=2)
d.items()
d.keys()
d.values()
d.items() | list
d.keys() | list | join(",")
d | items | list
d.get("b") ~ d.get("q") ~ d.get("q", "dflt")
d.items
d.pop("b")
l.append(4)
l.append is defined
l.sort
l.index(1) ~ l.count(3)
l.index(99)
l.copy()
s.upper() ~ s.lower() ~ s.title() ~ s.capitalize() ~ s.swapcase()
u.upper() ~ u.title() ~ u.capitalize()
"stra\u00dfe".upper() ~ "\u0130".lower() ~ "\u03a3\u0391\u03a3".lower() ~ "\ufb01x".title()
"  x y  ".strip() ~ "|" ~ "  x".lstrip() ~ "|" ~ "x  ".rstrip() ~ "|"
"xxaxx".strip("x") ~ "abcba".lstrip("ab") ~ "abc".rstrip("cb")
"\u3000x\u00a0".strip()
"a,b,,c".split(",")
"a,b,,c".split(",", 1)
"a,b,,c".rsplit(",", 1)
"  a  b c ".split()
"  a  b c ".split(none, 1)
"  a  b c ".rsplit(none, 1)
"a b".split(" ", maxsplit=1)
"".split()
"".split(",")
"abc".split("")
"a\nb\r\nc\u2028d\n".splitlines()
"a\nb\n".splitlines(true)
"a-b-c".partition("-")
"a-b-c".rpartition("-")
"abc".partition("x")
"hello".find("l") ~ "hello".rfind("l") ~ "hello".find("z") ~ "hello".find("l", 3) ~ "hello".find("", 9)
"hello".index("z")
"hello".count("l") ~ "hello".count("") ~ "aaaa".count("aa")
"hello".startswith("he") ~ "hello".endswith(("x", "lo")) ~ "hello".startswith("l", 2)
"hello".startswith(1)
"hello".replace("l", "L") ~ "hello".replace("l", "L", 1) ~ "abc".replace("", "-")
"hello".removeprefix("he") ~ "hello".removesuffix("lo") ~ "x".removeprefix("y")
"-".join(["a", "b"]) ~ ",".join("abc")
",".join([1, 2])
"x".center(5, "*") ~ "x".ljust(3) ~ "|" ~ "x".rjust(3, ".") ~ "ab".center(5) ~ "|"
"-42".zfill(6) ~ "42".zfill(4) ~ "abc".zfill(2)
"a\tb".expandtabs(4)
"abc".isalpha() ~ "12".isdigit() ~ "a1".isalnum() ~ " ".isspace() ~ "AB".isupper() ~ "ab".islower() ~ "Ab Cd".istitle()
"\u00b2".isdigit() ~ "\u00b2".isdecimal() ~ "\u00bd".isnumeric() ~ "".isalpha() ~ "a_1".isidentifier()
"abc".foo()
"abc".foo is defined
"x".__class__
"x".__class__ is defined
s.upper is callable
n.real ~ f.imag ~ t.numerator
"a.b"["upper"]()
l | first ~ l | last ~ e | first ~ e | last
s | first ~ s | last
l | sort ~ l | sort(reverse=true)
words | sort ~ words | sort(case_sensitive=true)
msgs | sort(attribute="content") | map(attribute="content") | list
msgs | sort(attribute="role,content") | map(attribute="content") | join(",")
[1, "a"] | sort
words | unique | list
words | unique(true) | list
msgs | unique(attribute="role") | map(attribute="content") | list
l | min ~ l | max ~ e | min
words | min ~ words | max
msgs | map(attribute="n", default=0) | list
msgs | map(attribute="n") | list
msgs | map(attribute="role.upper") | list
l | map("string") | join("-")
words | map("upper") | list
words | map("replace", "p", "q") | list
words | map("nofilter") | list
l | map
l | select("odd") | list
l | reject("odd") | list
l | select("gt", 1) | list
l | select(">=", 2) | list
[0, 1, "", "a", none] | select | list
[0, 1, "", "a", none] | reject | list
msgs | selectattr("n") | list | length
msgs | selectattr("n", "defined") | list | length
msgs | selectattr("role", "equalto", "user") | map(attribute="content") | list
msgs | rejectattr("role", "eq", "user") | map(attribute="content") | list
msgs | selectattr("role", "in", ["user"]) | list | length
msgs | selectattr("n", "undefined") | first
(msgs | selectattr("role", "eq", "none") | first) is defined
msgs | selectattr("n", "gt", 1) | list
msgs | groupby("role")
msgs | groupby("role") | map("first") | list
(msgs | groupby("role"))[0].grouper ~ (msgs | groupby("role"))[1].list | length
msgs | groupby("n", default=0) | map(attribute="grouper") | list
l | sum ~ msgs | sum(attribute="m", start=1)
msgs[:2] | sum(attribute="n")
[[1], [2]] | sum(start=[])
l | join ~ l | join(", ") ~ msgs | join("+", attribute="role")
[none, true, 1.5, nope] | join("|")
l | reverse | list ~ s | reverse
l | reverse
nested | batch(1) | list
range(7) | batch(3) | list
range(7) | batch(3, "x") | list
range(7) | slice(3) | list
range(7) | slice(3, "x") | list
d | dictsort
{"b": 1, "A": 2, "c": 0} | dictsort ~ {"b": 1, "A": 2} | dictsort(true)
{"b": 1, "A": 2} | dictsort(by="value", reverse=true)
l | list | length ~ d | count ~ "" | length
5 | length
l | string ~ 5 | string | length
"42" | int ~ " 42 " | int ~ "x" | int ~ "x" | int(7) ~ "3.9" | int ~ 3.9 | int ~ -3.9 | int ~ true | int
"0x1A" | int(0, 16) ~ "101" | int(base=2) ~ "1_000" | int ~ "ff" | int(0, 16) ~ none | int ~ [] | int(5)
"2.5" | float ~ "x" | float ~ "1e3" | float ~ 2 | float ~ "inf" | float ~ none | float(1.5)
2.5 | round ~ 3.5 | round ~ 2.567 | round(2) ~ 2.5 | round(method="ceil") ~ 2.5 | round(0, "floor") ~ 42 | round ~ 1234.5 | round(-2)
2.675 | round(2) ~ 0.5 | round ~ 1.005 | round(2)
-5 | abs ~ (-5) | abs ~ -2.5 | abs
s | upper ~ s | lower ~ s | title ~ s | capitalize
"foo-bar baz(qux) [x] it's" | title
"  x  " | trim ~ "|" ~ "xxaxx" | trim("x")
"aXbXc" | replace("X", "-") ~ "aXbXc" | replace("X", "-", 1) ~ 121 | replace(1, 3)
html | e
html | escape | upper
html | safe
html | safe ~ "<b>"
(html | safe) + "<b>"
"<b>" + (html | safe)
("<b>" | safe) + ("<c>" | safe) | upper
"<b>" | e | e
"<b>" | e | forceescape
("%s" | safe) % "<"
["<" | safe, "x"]
("<x>" | safe).replace("x", "<")
lines | indent
lines | indent(2, true)
lines | indent(2, first=true, blank=true)
lines | indent("> ")
5 | indent
"foo bar baz" | truncate(9) ~ "foo bar baz" | truncate(9, true, leeway=0) ~ "foo bar baz qux" | truncate(7, false, "!", 0)
"x" | center(5) ~ "|"
"one two-three, four" | wordcount
"%s-%s" | format(1, "a") ~ "%(x)s" | format(x=3)
"a b/c?d=e&\u00e9" | urlencode ~ {"a b": "c/d", "e": 1} | urlencode ~ [["x", "y z"]] | urlencode
{"class": "a<b", "id": none, "n": 1} | xmlattr
1 | filesizeformat ~ 999 | filesizeformat ~ 1500 | filesizeformat ~ 1048576 | filesizeformat(true) ~ 1e30 | filesizeformat
d | tojson
tool | tojson
tool | tojson(indent=2)
tool | tojson(indent=4, sort_keys=true)
tool | tojson(ensure_ascii=true)
tool | tojson(separators=(",", ":"))
tool | tojson(true, 1, none, true)
[1, 2.5, true, none, "x", (1, 2), {}, [], 1e20] | tojson
[[], {}, [1]] | tojson(indent=2)
{1: 2, true: 3, none: 4, 1.5: 5} | tojson
(l | map("string")) | tojson
range(3) | tojson
"\u2028\u007f\u0001" | tojson
"</script>'" | tojson
l | attr("append") is defined
s | attr("upper") is callable
d | attr("b") is defined
n is odd ~ n is even ~ n is divisibleby(7) ~ n is divisibleby 3
s is string ~ n is number ~ n is integer ~ f is float ~ t is boolean ~ t is integer ~ t is number
d is mapping ~ l is sequence ~ d is sequence ~ s is sequence ~ s is iterable ~ n is iterable ~ none is iterable
(l | map("string")) is iterable ~ (l | map("string")) is sequence ~ d.items() is sequence ~ range(2) is sequence
nope is sequence ~ nope is iterable ~ nope is mapping ~ nope is string ~ nope is callable
none is none ~ none is defined ~ nope is undefined ~ nope is none
true is true ~ 1 is true ~ false is false ~ t is sameas(true) ~ none is sameas none ~ l is sameas(l)
"A" is upper ~ "a" is lower ~ "Aa" is upper ~ 1 is lower
n is eq 7 ~ n is gt(3) ~ n is lt 3 ~ n is ne 3 ~ n is ge 7 ~ n is in [7]
n is not none ~ n is not defined
"upper" is filter ~ "nope" is filter ~ "odd" is test
("<" | e) is escaped ~ "<" is escaped
range is callable ~ n is callable
n is nosuchtest if false else "pardoned"
n | nosuchfilter if false else "pardoned"
l is defined and l | length > 2
(l | length) is odd
n is defined and n is number
1 if n is defined else 2
foo is defined and foo.bar is defined
d.a[1].x is none
d.a.0 ~ d.a[0]
nested[0][1][1][0]
msgs[-1]["role"] ~ msgs[0].content
msgs[0]["nope"] is defined
msgs[5].role
msgs | map(attribute="content") | join(" ") | upper | replace("HI", "x")
namespace(a=1)
namespace({"a": [1]}).a
namespace(_a=1)
cycler("a", "b").next()
joiner("x")
raise_exception("my message")
raise_exception("a" ~ 1)
range(100001) | length
"x".format
(1).real
"a" if n > 3
[] is sequence and () is sequence
{"a": 1}.items() | list
{"a": {"b": [1, 2, {"c": "d"}]}}.a.b[2].c
[1, 2, 3,]
{"a": 1,}
(1,)
((1, 2), (3,))
"\x41\u0042\103\q\'"
'\\n' ~ "\\"
"a" in ["a"] == true
1 + 1 == 2 and 2 + 2 == 4
"a" ~ "b" == "ab"
1 + 2 ~ 3 + 4
"x" is string and not "y" is number
not n is odd
-1 | abs + 5
2 * 3 % 4
l | length - 1
(l | length) - 1
l[-1:][0]
l[(1 if t else 0)]
d["a"][1]["x"] == none
"a,b".split(",") | map("upper") | join("/")
""" .strip("\n").split("\n")

TEMPLATES = [
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }};{% endfor %}",
    "{% for x in l %}{{ loop.previtem is defined }}{{ loop.nextitem is undefined }} {% endfor %}",
    "{% for x in l %}{{ loop.cycle('a', 'b') }}{% endfor %}",
    "{% for x in [1, 1, 2, 2, 1] %}{% if loop.changed(x) %}{{ x }}{% endif %}{% endfor %}",
    "{% for x in e %}x{% else %}none{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}none{% endfor %}",
    "{% for x in l if x > 9 %}{{ x }}{% else %}none{% endfor %}",
    "{% set ns = namespace(stop=false) %}{% for x in l if not ns.stop %}{{ x }}{% set ns.stop = true %}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }} {% endfor %}",
    "{% for a, b in [(1, 2, 3)] %}{% endfor %}",
    "{% for a, b in [1] %}{% endfor %}",
    "{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for c in 'h\u00e9y' %}{{ c }}.{% endfor %}",
    "{% for x in 5 %}{% endfor %}",
    "{% for x in none %}{% endfor %}",
    "{% for x in nope %}{% else %}empty{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}",
    "{% for x in l %}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}{{ loop.index }}{% endfor %}",
    "{% for n in tree recursive %}{{ n.v }}@{{ loop.depth }}{{ loop.depth0 }}{% if n.c %}[{{ loop(n.c) }}]{% endif %}{% endfor %}",
    "{% for x in l %}{{ loop([1]) }}{% endfor %}",
    "{% for x in l %}{{ loop }}{{ loop.nope }}{% endfor %}",
    "{% for x in l | map('string') %}{{ loop.length }}{{ loop.last }} {% endfor %}",
    "{% for x in l %}{% for y in [1, 2] %}{{ loop.index }}{% endfor %}-{{ loop.index }} {% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = x + i %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(x=0) %}{% for i in l %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}{{ ns }}",
    "{% set ns = namespace() %}{{ ns.x is defined }}{{ ns.x }}{% set ns.x = [1] %}{{ ns.x }}",
    "{% set d.x = 1 %}",
    "{% set nope.x = 1 %}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a = b, a %}{{ a }}",
    "{% set a = 1, %}{{ a }}",
    "{% if false %}{% set x = 1 %}{% endif %}{{ x is defined }}",
    "{% if true %}{% set x = 1 %}{% endif %}{{ x }}",
    "{% for i in l %}{% set y = i %}{% endfor %}{{ y is defined }}",
    "{% for i in l %}{% endfor %}{{ i is defined }}{{ loop is defined }}",
    "{% set x %}a{{ 1 }}b{% endset %}{{ x }}{{ x is string }}",
    "{% set x | upper | replace('A', 'q') %}abc{% endset %}{{ x }}",
    "{% set x | trim %}  {% for i in l %}{{ i }}{% endfor %}  {% endset %}[{{ x }}]",
    "{% filter upper %}abc{{ s }}{% endfilter %}",
    "{% filter replace('a', 'b') | upper %}abc{% endfilter %}",
    "{% with a = 1, b = n %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}",
    "{% with %}{% set q = 1 %}{{ q }}{% endwith %}{{ q is defined }}",
    "{% set a = 1 %}{% with a = 2, b = a %}{{ a }}{{ b }}{% endwith %}{{ a }}",
    "{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, 3) }}{{ m(1, c=5) }}{{ m(b=1, a=2) }}{{ m() }}",
    "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(z=2) }}",
    "{% macro m(a) %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, 3, x=4) }}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1, 2) }}",
    "{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}{{ m(none) }}",
    "{% macro m(*a) %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro fact(k) %}{{ 1 if k < 2 else k * fact(k - 1) | int }}{% endmacro %}{{ fact(5) }}",
    "{% set x = 1 %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% set x = 2 %}{{ m() }}",
    "{% macro m() %}{{ late }}{% endmacro %}{% set late = 3 %}{{ m() }}",
    "{% macro m() %}{% set inner = 1 %}{% endmacro %}{{ m() }}{{ inner is defined }}",
    "{% macro outer() %}[{{ caller() }}]{% endmacro %}{% call outer() %}in{% endcall %}",
    "{% macro outer(x) %}{{ caller(x, 2) }}{% endmacro %}{% call(a, b=3) outer(1) %}{{ a }}{{ b }}{% endcall %}",
    "{% macro outer() %}{{ caller is defined }}{% endmacro %}{{ outer() }}",
    "{% macro outer() %}{{ caller() }}{% endmacro %}{{ outer() }}",
    "{% macro outer() %}x{% endmacro %}{% call outer() %}{% endcall %}",
    "{% macro m(a, b=1) %}{{ varargs }}{% endmacro %}{{ m.name }}{{ m.arguments }}{{ m.catch_varargs }}{{ m.caller }}{{ m }}",
    "{% macro m() %} x {% endmacro %}[{{ m() | trim }}]{{ m() is string }}",
    "{% for i in l %}{% macro m() %}{{ i }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ l | map('string') | list }}{{ m(*[1]) }}{{ m(**{'x': 2}) }}",
    "{{ range(*[1, 4]) | list }}{{ dict(**{'a': 1}) }}",
    "{% raw %}{{ x }}{% if %}{% endraw %}",
    "a\n  {% raw %}\n  {{ x }}\n  {% endraw %}\nb",
    "a {%- raw -%} x {%- endraw -%} b",
    "a{# comment {{ x }} #}b",
    "a\n  {# comment #}\nb",
    "a  {#- c -#}  b",
    "{# unclosed",
    "a\n  {% if true %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%+ if true %}\n  b\n  {%+ endif %}\nc",
    "a\n  {% if true +%}\n  b\n  {% endif +%}\nc",
    "a\n  {%- if true -%}\n  b\n  {%- endif -%}\nc",
    "a\n  {{ 1 }}\n  {{- 2 -}}\n  b",
    "a\n\n\n  {% set x = 1 %}\n\n  {{ x }}\n\n",
    "x {% if true %} y {% endif %} z",
    "{% if true %}\r\na\r\n{% endif %}\r\nb\r\n",
    "  {% if true %}a{% endif %}  ",
    "\t{% set x = 1 %}\t{% set y = 2 %}\n{{ x }}",
    "{{ 'a' }}\n{{ 'b' }}\n\n",
    "{% for i in l %}\n  {{ i }}\n{% endfor %}\n",
    "{{- ' x ' -}} y {{+ 1 }}",
    "{{ {'a': {'b': 1}} }}{{ {'a': {'b': 1}}['a']['b'] }}{{ {}}}",
    "{{ '}}' }}{% set x = '%}' %}{{ x }}",
    "{ { } } {{ '{{' }} {% raw %}{% endraw %} {",
    "{% if n > 3 %}a{% elif n > 1 %}b{% else %}c{% endif %}{% if n > 9 %}a{% elif n > 5 %}b{% else %}c{% endif %}",
    "{% if nope %}a{% else %}b{% endif %}{% if not nope %}c{% endif %}",
    "{% if %}{% endif %}",
    "{% if x %}",
    "{% endif %}",
    "{% for x in l %}{% endif %}",
    "{% nosuchtag %}",
    "{% break %}",
    "{{ }}",
    "{{ 1 + }}",
    "{{ (1 }}",
    "{{ 1) }}",
    "{{ 'abc }}",
    "{{ a b }}",
    "{{ a.. }}",
    "{{ a | }}",
    "{{ x is }}",
    "{{ f(a=1, 2) }}",
    "{{ 1 | nosuchfilter }}",
    "{{ 1 is nosuchtest }}",
    "{% if false %}{{ 1 | nosuchfilter }}{% endif %}ok",
    "{% if false %}{% for x in l %}{{ x | nosuchfilter }}{% endfor %}{% endif %}ok",
    "{% set true = 1 %}",
    "{% set 1 = 1 %}",
    "{% set x = 1 | nosuchfilter %}",
    "{% generation %}a{{ n }}{% set g = 1 %}{% endgeneration %}{{ g is defined }}",
    "{% print n, s %}",
    "{% set c = cycler('a', 'b') %}{{ c.next() }}{{ c.next() }}{{ c.current }}{{ c.reset() }}{{ c.current }}",
    "{% set j = joiner() %}{{ j() }}a{{ j() }}b{{ j() }}",
    "{% set g = l | map('string') %}{{ g | list }}{{ g | list }}{% if g %}truthy{% endif %}",
    "{% set g = l | select('odd') %}{{ g | first }}{{ g | list }}",
    "{% set g = [1, 'x', 3] | map('abs') %}{{ g | first }}",
    "{% set g = [1, 'x', 3] | map('abs') %}{{ g | list }}",
    "{{ l | map('string') | length }}",
    "{{ (l | map('string'))[0] is defined }}",
    "{{ (l | map('string'))[1:] }}",
    "{% for m in msgs %}{% if loop.first and m.role == 'user' %}[{{ m.content }}]{% elif m['role'] != 'user' %}({{ m['content'] | trim }}){% else %}{{ m.content ~ eos }}{% endif %}{% endfor %}",
    "{%- for m in msgs -%}\n    {{ m.role + ': ' + m.content }}\n{% endfor %}",
    "{% set content = msgs[0].content if msgs[0].content is string else '' %}{{ content }}",
    "{% set items = [] %}{% for x in l %}{% set items = items + [x * 2] %}{% endfor %}{{ items }}",
    "{% set ns = namespace(items=[]) %}{% for x in l %}{% set ns.items = ns.items + [x * 2] %}{% endfor %}{{ ns.items }}",
    "{% set ns = namespace(a=1) %}{% set ns.a, b = 2, 3 %}{{ ns.a }}{{ b }}",
    "{% set ns = namespace(a=1) %}{{ ns['a'] }}{{ ns.b is defined }}{{ ns == ns }}",
    "{{ s.split(' ')[0] }}{{ s.split('Wor')[-1].strip() }}{{ s.split('zz')[0] }}",
    "{{ ('a' if t else 'b') ~ ('c' if not t else 'd') }}",
    "{% for i in range(3) %}{{ i }}{{ ',' if not loop.last }}{% endfor %}",
    "{% for i in range(3) -%}\n  {{ i }}\n{%- endfor %}|",
    "{%- macro a(x) -%}\n {{ x }}\n{%- endmacro -%}\n {{ a(1) }}{{ a(2) }}",
    "{{ d | tojson(indent=2) | indent(4) }}",
    "{% if 'x' in nope %}{% endif %}",
    "{% if nope.x is defined %}{% endif %}",
    "{% if msgs[0].tool_calls is defined and msgs[0].tool_calls %}a{% else %}b{% endif %}",
    "{% if msgs[0].tool_calls %}a{% else %}b{% endif %}",
    "{{ msgs[0].tool_calls | length }}{{ msgs[0].tool_calls[0] }}",
]


def main():
    cases = []
    for template in [f"{{{{ {e} }}}}" for e in EXPRESSIONS] + TEMPLATES:
        try:
            case = {"template": template, "expected": _compile_jinja_template(template).render(**CONTEXT)}
        except Exception as error:
            case = {"template": template, "error": f"{type(error).__name__}: {error}"}
        if " at 0x" not in case.get("expected", ""):  # addresses differ from run to run
            cases.append(case)
    json.dump({"context": CONTEXT, "cases": cases}, sys.stdout, indent=0, ensure_ascii=False)
    print()


main()
