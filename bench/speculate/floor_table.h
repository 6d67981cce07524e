// What was measured beside what is wanted, as a table or as JSON.
#ifndef SLUICE_BENCH_SPECULATE_FLOOR_TABLE_H_
#define SLUICE_BENCH_SPECULATE_FLOOR_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"

namespace sluice {

struct FloorRow {
  std::string name;
  std::optional<double> measured = {};  // nothing: `remark` says why it was not measured
  // Without a floor the row only informs.
  std::optional<double> floor = {};
  std::optional<double> aim = {};
  bool at_most = false;  // `floor` is the largest allowed, not the least
  // Texts whose ids are not those of the plain run. Any is a bug of the product.
  int64_t texts_that_differ = 0;
  std::string remark = {};
};

class FloorTable {
 public:
  // Also prints the row on standard error: a whole run takes an hour.
  void Add(FloorRow row);
  // The same for a row that could not be measured.
  void AddMissing(const std::string& name, const std::string& why);

  std::string Markdown() const;
  nlohmann::json Json() const;
  // Whether a text differed from the plain run's.
  bool any_differs() const;
  // Names of the rows whose floor is missed.
  std::vector<std::string> missed() const;

 private:
  std::vector<FloorRow> rows_;
};

}  // namespace sluice

#endif  // SLUICE_BENCH_SPECULATE_FLOOR_TABLE_H_
