// Real chat templates and other projects' tests, against what Jinja2 made of them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "jinja_test.h"
#include "runtime/text/jinja/template.h"
#include "tests/support/data_file.h"

namespace sluice::jinja {
namespace {

namespace fs = std::filesystem;

// The cases of the other projects carry their templates.
void CheckOtherProjects(const std::string& text, size_t at_least) {
  const Value file = Json(text);
  const std::vector<Value>& cases = Member(file, "cases").items();
  EXPECT_GE(cases.size(), at_least);
  for (const Value& test_case : cases) {
    CheckCase(Member(test_case, "file").text() + " " + Member(test_case, "name").text(),
              Member(test_case, "template").text(), test_case, Member(test_case, "context"));
  }
}

// Those of real templates name a file, which `read` finds.
template <typename Read>
void CheckRealTemplates(const std::string& text, size_t at_least, Read read) {
  const Value file = Json(text);
  const std::vector<Value>& cases = Member(file, "cases").items();
  EXPECT_GE(cases.size(), at_least);
  for (const Value& test_case : cases) {
    const std::string& name = Member(test_case, "template").text();
    CheckCase(name + " " + Member(test_case, "case").text(), read(name), test_case,
              Member(test_case, "context"));
  }
}

TEST(OtherProjectsTemplates, RenderAsInJinja2) {
  CheckOtherProjects(ReadData("chat-templates/jinja2.json"), 190);
}

TEST(RealTemplates, RenderAsInTransformers) {
  const Value templates = Json(ReadData("chat-templates/templates.json"));
  CheckRealTemplates(ReadData("chat-templates/rendered.json"), 120,
                     [&](const std::string& name) { return Member(templates, name).text(); });
}

// All of them, also those whose models' licences forbid to have them in this repository.
TEST(SharedOtherProjectsTemplates, RenderAsInJinja2) {
  const std::string text = ReadShared("chat-templates/jinja2.json");
  if (text.empty()) GTEST_SKIP() << "no shared/fixtures/chat-templates beside this checkout";
  CheckOtherProjects(text, 243);
}

TEST(SharedRealTemplates, RenderAsInTransformers) {
  const std::string text = ReadShared("chat-templates/rendered.json");
  if (text.empty()) GTEST_SKIP() << "no shared/fixtures/chat-templates beside this checkout";
  CheckRealTemplates(text, 220, [](const std::string& name) {
    return ReadShared("chat-templates/jinja/" + name);
  });
}

TEST(SharedRealTemplates, AllParse) {
  const fs::path folder = fs::path(SLUICE_SOURCE_DIR) / "../shared/fixtures/chat-templates/jinja";
  if (!fs::exists(folder)) GTEST_SKIP() << "no shared/fixtures beside this checkout";
  int parsed = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".jinja") continue;
    const auto result = Template::Parse(ReadFileOrNothing(entry.path()));
    EXPECT_TRUE(result.ok()) << entry.path() << ": " << result.status();
    ++parsed;
  }
  EXPECT_GE(parsed, 50);
}

}  // namespace
}  // namespace sluice::jinja
