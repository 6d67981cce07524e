// Tests of the checked JSON reader.
#include "storage/file/json.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::string Nested(int depth) {
  return absl::StrCat(std::string(depth, '['), std::string(depth, ']'));
}

TEST(Json, ReadsADocumentAndSkipsAByteOrderMark) {
  const auto parsed =
      ParseJson("\xEF\xBB\xBF {\"a\": [1, -2, 0.5, true, null, \"\\u00e9\"]} ", "x");
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, (json{{"a", {1, -2, 0.5, true, nullptr, "é"}}}));
}

TEST(Json, RefusesWhatIsNotOneDocument) {
  for (const std::string& text :
       {std::string(), std::string(" "), std::string("{"), std::string("{\"a\":1,}"),
        std::string("[1 2]"), std::string("{} {}"), std::string("nul"), std::string("NaN"),
        std::string("\"\xff\""), std::string("'a'"), std::string("01"), std::string("1e999"),
        std::string("{\"a\":1}\0", 8), std::string("\"\n\""), std::string("\"\\ud800\"")}) {
    const auto parsed = ParseJson(text, "some/file");
    EXPECT_EQ(parsed.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("some/file: not valid JSON"));
    EXPECT_THAT(std::string(parsed.status().message()), Not(HasSubstr("\n")));
  }
}

TEST(Json, BoundsTheDepthWithoutRecursion) {
  EXPECT_TRUE(ParseJson(Nested(kMaxJsonDepth), "x").ok());
  for (const int depth : {kMaxJsonDepth + 1, 1'000'000}) {
    const auto parsed = ParseJson(Nested(depth), "x");
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("nested deeper than 64"));
  }
}

// Takes the names of members, and no more once it has `most`.
class NameReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit NameReader(size_t most) : most_(most) {}
  std::vector<std::string> names;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t& value) override {
    std::string().swap(value);  // a reader may take strings
    return true;
  }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return true; }
  bool key(string_t& name) override {
    names.push_back(std::move(name));
    return names.size() < most_;
  }
  bool end_object() override { return true; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  const size_t most_;
};

TEST(Json, ReadersGetTheEventsBesideTheDocument) {
  NameReader all(100), two(2);
  const auto parsed =
      ParseJson(R"({"b": "x", "a": {"d": [1, "y"]}, "c": null})", "x", {&all, &two});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(parsed->dump(), R"({"a":{"d":[1,"y"]},"b":"x","c":null})");
  EXPECT_EQ(all.names, (std::vector<std::string>{"b", "a", "d", "c"}));
  EXPECT_EQ(two.names, (std::vector<std::string>{"b", "a"})) << "it wanted no more";
  EXPECT_FALSE(ParseJson(R"({"a": 1, "a": 2})", "x", {&all}).ok());
}

TEST(Json, NamesTheKeyThatAppearsTwiceOnOneLine) {
  const auto parsed = ParseJson("{\"a\":{\"b\\nc\":1, \"b\\nc\":1}}", "x");
  EXPECT_EQ(parsed.status().message(), "x: the key \"b\\nc\" appears twice in one object");
  EXPECT_TRUE(ParseJson("[{\"a\":1},{\"a\":1}]", "x").ok());
}

TEST(Json, IntegersMustFitAndBeExact) {
  const json object = {{"int", -7},    {"big", INT64_MAX},   {"whole", 4096.0},
                       {"half", 0.5},  {"huge", UINT64_MAX}, {"vast", 1e300},
                       {"text", "12"}, {"null", nullptr},    {"long", std::string(500, 'x')}};
  EXPECT_EQ(*JsonInt(object, "int"), -7);
  EXPECT_EQ(*JsonInt(object, "big"), INT64_MAX);
  EXPECT_EQ(*JsonInt(object, "whole"), 4096);
  for (const char* key : {"half", "huge", "vast", "text", "null", "gone", "long"}) {
    const auto value = JsonInt(object, key);
    EXPECT_EQ(value.status().code(), absl::StatusCode::kInvalidArgument) << key;
    EXPECT_THAT(std::string(value.status().message()), HasSubstr(absl::StrCat("\"", key, "\" is")));
    EXPECT_LT(value.status().message().size(), 120);
  }
}

TEST(Json, OtherTypesAreCheckedToo) {
  const json object = {{"number", 2}, {"text", "a"}, {"flag", true}, {"null", nullptr}};
  EXPECT_EQ(*JsonDouble(object, "number"), 2.0);
  EXPECT_EQ(*JsonString(object, "text"), "a");
  EXPECT_TRUE(*JsonBool(object, "flag"));
  EXPECT_EQ(JsonDouble(object, "flag").status().message(), "\"flag\" is true, expected a number");
  EXPECT_FALSE(JsonString(object, "number").ok());
  EXPECT_FALSE(JsonBool(object, "number").ok());
  EXPECT_EQ(JsonBool(object, "gone").status().message(),
            "\"gone\" is missing, expected true or false");
  EXPECT_EQ(JsonFind(object, "null"), nullptr);
  EXPECT_EQ(JsonFind(object, "gone"), nullptr);
  EXPECT_EQ(JsonFind(json::array(), "a"), nullptr);
}

TEST(Json, FilesAreReadUpToABound) {
  const std::string path = absl::StrCat(testing::TempDir(), "/json_test.", ::getpid());
  std::ofstream(path) << "{\"a\": 1}";
  EXPECT_TRUE(ReadJsonFile(path).ok());
  EXPECT_EQ(*ReadWholeFile(path, 8), "{\"a\": 1}");
  EXPECT_EQ(ReadJsonFile(path, 7).status().code(), absl::StatusCode::kInvalidArgument);
  std::filesystem::remove(path);
  EXPECT_EQ(ReadJsonFile(path).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(ReadJsonFile(path).status().message()), HasSubstr(path));
  EXPECT_FALSE(ReadJsonFile(testing::TempDir()).ok());
}

}  // namespace
}  // namespace sluice
