// The floors of speculative decoding, in groups that are measured one by one.
#ifndef SLUICE_BENCH_SPECULATE_FLOORS_H_
#define SLUICE_BENCH_SPECULATE_FLOORS_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "bench/speculate/bench_setup.h"
#include "bench/speculate/floor_table.h"
#include "bench/speculate/text_run.h"

namespace sluice {

// A group adds its rows to `table`. An error says why the rest of it was not measured.
struct FloorGroup {
  std::string name;  // of --only
  bool wants_draft;
  std::function<absl::Status(SpeculateBench* bench, FloorTable* table)> measure;
};

// Tokens a pass, with the target resident: they do not depend on where weights lie. The groups
// share one open target, which is closed with the last of them.
//
//   tokens  trees of 64 rows, by kind and temperature
//   tree    these over chains of 16 rows
//   noise   these over trees that do not know the target's noise
//   suffix  without a model, on edits
std::vector<FloorGroup> AcceptanceFloors();

// Speeds over those of plain decoding, in turns with it.
//
//   replay    streamed, with guesses of a known quality
//   pass      streamed: what the planned rows add to the time of a pass
//   speed     streamed from a disk of 1 GB/s: tokens a second; and the peak of memory
//   batch     streamed: eight sequences at once
//   suffix    streamed, without a model, on chats
//   resident  nothing streamed; and the peak of memory
std::vector<FloorGroup> SpeedFloors();

// The tokens a second of the product's own speculation and of plain decoding, over `texts` in
// turns; each text has a speculator that has learned nothing.
struct TurnSums {
  std::string kind;
  RunSum plain;
  RunSum drafted;
  int64_t texts_that_differ = 0;
  int64_t draft_rows = 0;
  std::vector<std::string> failures;  // of drafters
};
// One for each kind, in the order of the texts.
absl::StatusOr<std::vector<TurnSums>> RunInTurns(BenchSetup* setup,
                                                 const std::vector<BenchText>& texts);
TurnSums SumOf(const std::vector<TurnSums>& kinds);
// Tokens a second of drafted over plain passes.
double GainOf(const TurnSums& sums);
// "2.31 tokens/s plain, 7.10 drafted; 4.80 tokens a pass, ..."
std::string DescribeTurns(const TurnSums& sums);

}  // namespace sluice

#endif  // SLUICE_BENCH_SPECULATE_FLOORS_H_
