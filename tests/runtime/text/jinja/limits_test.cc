// Templates that mean harm: each runs into a limit, none crashes, hangs or takes much memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "jinja_test.h"
#include "runtime/text/jinja/template.h"

namespace sluice::jinja {
namespace {

using ::testing::HasSubstr;

// Small enough for a test under sanitizers.
constexpr Limits kSmall = {.source_bytes = 1 << 20,
                           .steps = 300'000,
                           .output_bytes = 1 << 16,
                           .value_bytes = 1 << 20,
                           .depth = 200};

std::string Repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

void ExpectLimit(const std::string& source, const std::string& words) {
  const auto rendered = Render(source, Value::Dict({}), kSmall);
  const std::string shown = source.substr(0, 200);
  ASSERT_FALSE(rendered.ok()) << shown << " printed " << rendered->size() << " bytes";
  EXPECT_EQ(rendered.status().code(), absl::StatusCode::kResourceExhausted)
      << shown << ": " << rendered.status();
  EXPECT_THAT(std::string(rendered.status().message()), HasSubstr(words)) << shown;
}

TEST(Limits, StepsEndLoops) {
  const std::string loop = "{% for a in range(100000) %}{% for b in range(100000) %}";
  for (const std::string& source :
       {loop + "{% endfor %}{% endfor %}", loop + "{% continue %}{% endfor %}{% endfor %}",
        std::string("{% set ns = namespace(n=0) %}{% for a in range(100000) %}{% for b in "
                    "range(100) %}{% set ns.n = ns.n + 1 %}{% endfor %}{% endfor %}"),
        std::string("{% set l = range(1000) | list %}{% for a in l %}{{ l | sort(reverse=true) | "
                    "first }}{% endfor %}"),
        std::string("{% set l = range(1000) | list %}{% for a in l %}{% if -1 in l %}{% endif %}"
                    "{% endfor %}"),
        std::string("{% set s = 'ab' * 100000 %}{% for a in range(1000) %}{% if 'x' in s %}"
                    "{% endif %}{% endfor %}"),
        std::string("{% set s = 'ab' * 100000 %}{% for a in range(1000) %}{% set x = s.find('x') "
                    "%}{% endfor %}")}) {
    ExpectLimit(source, "steps");
  }
}

TEST(Limits, ValuesThatShareTheirPartsAreNotWalkedForever) {
  const std::string doubled =
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}"
      "{% set ns.x = [ns.x, ns.x] %}{% endfor %}";
  for (const char* const use : {"{{ ns.x }}", "{{ ns.x | tojson }}", "{{ ns.x | string }}",
                                "{{ ns.x ~ '' }}", "{{ ns.x | tojson(indent=2) }}"}) {
    const auto rendered = Render(doubled + use, Value::Dict({}), kSmall);
    ASSERT_FALSE(rendered.ok()) << use;
    EXPECT_EQ(rendered.status().code(), absl::StatusCode::kResourceExhausted) << use;
  }
  const std::string twice = doubled +
                            "{% set ns.y = [1] %}{% for i in range(60) %}"
                            "{% set ns.y = [ns.y, ns.y] %}{% endfor %}";
  ExpectLimit(twice + "{{ ns.x == ns.y }}", "steps");
  ExpectLimit(twice + "{{ ns.x < ns.y }}", "steps");
}

TEST(Limits, MemoryBoundsValues) {
  for (const char* const source :
       {"{{ 'x' * 10 ** 12 }}",
        "{{ 10 ** 12 * 'x' }}",
        "{{ 'x' * 9223372036854775807 }}",
        "{{ [1] * 10 ** 12 }}",
        "{{ (1, 2) * 9223372036854775807 }}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
        "{% endfor %}",
        "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}"
        "{% endfor %}",
        "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}"
        "{% endfor %}",
        "{{ 'x' | center(10 ** 12) }}",
        "{{ 'x'.ljust(10 ** 12) }}",
        "{{ 'x'.zfill(10 ** 12) }}",
        "{{ 'x'.center(9223372036854775807) }}",
        "{{ '\t'.expandtabs(10 ** 12) }}",
        "{{ '%999999999d' % 1 }}",
        "{{ '{:>999999999}'.format(1) }}",
        "{{ 'a\nb' | indent(10 ** 12) }}",
        "{{ ('\n' * 2000) | indent(1000, blank=true) }}",
        "{{ [1] | tojson(indent=10 ** 12) }}",
        "{{ [1] | batch(10 ** 12, 0) | list }}",
        "{{ [1] | slice(10 ** 12) | list }}",
        "{{ ('x' * 1000).replace('x', 'y' * 10000) }}",
        "{{ ('x' * 1000) | replace('', 'y' * 10000) }}",
        "{{ ('y' * 10000).join('x' * 1000) }}",
        "{{ ('x' * 1000) | join('y' * 10000) }}",
        "{{ ('x' * 100000) | list | length }}",
        "{{ ('x ' * 200000).split() | length }}",
        "{{ ('x,' * 200000).split(',') | length }}"}) {
    ExpectLimit(source, "bytes");
  }
  ExpectLimit("{{ range(10 ** 9) }}", "100000 items");
  ExpectLimit("{{ range(-9223372036854775807, 9223372036854775807) }}", "100000 items");
}

TEST(Limits, WhatIsDroppedDoesNotCount) {
  const auto rendered =
      Render("{% for i in range(1000) %}{% set x = 'x' * 100000 %}{% endfor %}ok", Value::Dict({}),
             Limits{.steps = 10'000'000, .value_bytes = 1 << 20});
  EXPECT_EQ(rendered.value_or(""), "ok") << rendered.status();
}

TEST(Limits, OutputIsBounded) {
  const std::string piece = "{{ 'x' * 1000 }}";
  ExpectLimit("{% for i in range(1000) %}" + piece + "{% endfor %}", "prints more than");
  ExpectLimit("{% set x %}{% for i in range(1000) %}" + piece + "{% endfor %}{% endset %}",
              "prints more than");
  ExpectLimit("{% macro m() %}{% for i in range(1000) %}" + piece +
                  "{% endfor %}{% endmacro %}{% set x = m() %}",
              "prints more than");
}

TEST(Limits, DepthBoundsCallsAndNesting) {
  for (const char* const source :
       {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% macro m(x) %}{% call m(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ m(1) }}",
        "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
        "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(1000) %}{% set ns.x = [ns.x] %}"
        "{% endfor %}",
        "{% set ns = namespace(x=1) %}{% for i in range(1000) %}{% set ns.x = {'a': ns.x} %}"
        "{% endfor %}",
        "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace(x=1) %}{% for i in range(1000) %}{% set ns.x = namespace(x=ns.x) "
        "%}{% endfor %}{{ ns }}"}) {
    ExpectLimit(source, "deeper than");
  }
  ExpectLimit("{{ 'a' | map(" + Repeated("'map', ", 5000) + "'upper') | list }}", "deeper than");
  ExpectLimit("{{ x" + Repeated(" | list", 5000) + " }}", "deeper than");
  ExpectLimit("{{ 'x'" + Repeated(".strip()", 5000) + " }}", "deeper than");
}

TEST(Limits, DepthBoundsTheSource) {
  for (const auto& [open, middle, close] :
       {std::tuple("(", "1", ")"), std::tuple("[", "", "]"), std::tuple("{'a': ", "1", "}"),
        std::tuple("not ", "1", ""), std::tuple("- ", "1", ""), std::tuple("f(", "", ")"),
        std::tuple("a[", "1", "]"), std::tuple("1 if ", "1", "")}) {
    ExpectLimit("{{ " + Repeated(open, 5000) + middle + Repeated(close, 5000) + " }}",
                "deeper than");
  }
  ExpectLimit(Repeated("{% if x %}", 5000) + Repeated("{% endif %}", 5000), "deeper than");
  ExpectLimit(Repeated("{% for x in y %}", 5000) + Repeated("{% endfor %}", 5000), "deeper than");
  ExpectLimit("{% set " + Repeated("(", 5000) + "x" + Repeated(")", 5000) + " = 1 %}",
              "deeper than");
  ExpectLimit(std::string(2 << 20, 'x'), "bytes");
}

TEST(Limits, LongChainsAreNotDeep) {
  EXPECT_EQ(Render("{{ 1" + Repeated(" + 1", 5000) + " }}").value_or(""), "5001");
  EXPECT_EQ(Render("{{ 'a'" + Repeated(" ~ 'a'", 999) + " }}").value_or("").size(), 1000u);
  EXPECT_EQ(Render("{{ false" + Repeated(" or false", 5000) + " or 3 }}").value_or(""), "3");
  EXPECT_EQ(Render("{% if false %}" + Repeated("{% elif false %}", 5000) + "{% else %}x{% endif %}")
                .value_or(""),
            "x");
}

TEST(Limits, ObjectsThatHoldThemselvesAreFreed) {  // the leak checker looks on
  for (const char* const source :
       {"{% set ns = namespace() %}{% set ns.me = ns %}{% set ns.l = [ns] %}",
        "{% set ns = namespace() %}{% macro m() %}{{ ns }}{% endmacro %}{% set ns.m = m %}",
        "{% set ns = namespace() %}{% for x in [1, 2] %}{% set ns.loop = loop %}"
        "{% if loop.changed(loop) %}{% endif %}{% endfor %}{{ ns.loop.index }}",
        "{% set ns = namespace() %}{% for x in [1] recursive %}{% set ns.f = loop %}{% endfor %}",
        "{% set c = cycler(1) %}{% set ns = namespace(c=c, n=c.next) %}{{ ns.n() }}"}) {
    EXPECT_TRUE(Render(source).ok()) << source;
  }
  for (const char* const source :
       {"{% set ns = namespace() %}{% for x in [1] recursive %}{% set ns.f = loop %}{% endfor %}"
        "{{ ns.f([1]) }}",
        "{% set ns = namespace() %}{% for x in [1] %}{% set ns.f = loop %}{% endfor %}"
        "{{ ns.f.changed(1) }}"}) {
    EXPECT_FALSE(Render(source).ok()) << source;
  }
}

}  // namespace
}  // namespace sluice::jinja
