// One line a row.
#include "bench/speculate/floor_table.h"

#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace sluice {
namespace {

std::string NumberOf(const std::optional<double>& value) {
  return value.has_value() ? absl::StrFormat("%.3f", *value) : "-";
}

bool Reaches(const FloorRow& row, double limit) {
  return row.at_most ? *row.measured <= limit : *row.measured >= limit;
}

std::string VerdictOf(const FloorRow& row) {
  if (row.texts_that_differ > 0) return absl::StrCat("DIFFERS: ", row.texts_that_differ);
  if (!row.measured.has_value() || !row.floor.has_value()) return "-";
  if (!Reaches(row, *row.floor)) return "NO";
  return row.aim.has_value() && Reaches(row, *row.aim) ? "yes, the aim too" : "yes";
}

std::string LineOf(const FloorRow& row) {
  const std::string measured =
      row.measured.has_value() ? NumberOf(row.measured) : std::string("not measured");
  return absl::StrCat("| ", row.name, " | ", measured, " | ", row.at_most ? "at most " : "",
                      NumberOf(row.floor), " | ", NumberOf(row.aim), " | ", VerdictOf(row), " | ",
                      row.remark, " |");
}

}  // namespace

void FloorTable::Add(FloorRow row) {
  std::fprintf(stderr, "%s\n", LineOf(row).c_str());
  rows_.push_back(std::move(row));
}

void FloorTable::AddMissing(const std::string& name, const std::string& why) {
  Add({.name = name, .remark = why});
}

std::string FloorTable::Markdown() const {
  std::string text =
      "| what | measured | floor | aim | met? | remark |\n| --- | --- | --- | --- | --- | --- |\n";
  for (const FloorRow& row : rows_) absl::StrAppend(&text, LineOf(row), "\n");
  return text;
}

nlohmann::json FloorTable::Json() const {
  const auto number = [](const std::optional<double>& value) {
    return value.has_value() ? nlohmann::json(*value) : nlohmann::json();
  };
  nlohmann::json rows = nlohmann::json::array();
  for (const FloorRow& row : rows_) {
    rows.push_back({{"name", row.name},
                    {"measured", number(row.measured)},
                    {"floor", number(row.floor)},
                    {"aim", number(row.aim)},
                    {"at_most", row.at_most},
                    {"met", VerdictOf(row)},
                    {"texts_that_differ", row.texts_that_differ},
                    {"remark", row.remark}});
  }
  return rows;
}

bool FloorTable::any_differs() const {
  for (const FloorRow& row : rows_) {
    if (row.texts_that_differ > 0) return true;
  }
  return false;
}

std::vector<std::string> FloorTable::missed() const {
  std::vector<std::string> names;
  for (const FloorRow& row : rows_) {
    if (VerdictOf(row) == "NO") names.push_back(row.name);
  }
  return names;
}

}  // namespace sluice
