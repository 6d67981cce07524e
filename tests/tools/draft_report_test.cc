// What reports say of drafts, and of drafters that failed.
#include "tools/draft_report.h"

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "runtime/speculate/speculator.h"

namespace sluice {
namespace {

// Proposes token 7, once.
class ShortLivedDrafter : public Drafter {
 public:
  void Observe(int64_t, absl::Span<const int32_t>) override {}
  absl::Status Propose(int64_t, const DraftLimits&, DraftTree* tree) override {
    if (asked_++ > 0) return absl::ResourceExhaustedError("no memory left");
    tree->Add(kDraftRoot, 7, 0.9, 0, 0);
    return absl::OkStatus();
  }
  void Forget(int64_t) override {}
  absl::string_view name() const override { return "short-lived"; }

 private:
  int asked_ = 0;
};

TEST(DraftReport, SaysWhatCameOfDraftsAndWhyADrafterFailed) {
  EXPECT_EQ(DescribeDrafts(nullptr, 1), "");
  EXPECT_EQ(TokensPerPass(nullptr), 1);
  Calibration::Priors priors;
  priors.fill(0.5);
  Speculator speculator({.adapts = false}, {priors});
  speculator.Add(std::make_unique<ShortLivedDrafter>());
  EXPECT_EQ(TokensPerPass(&speculator), 1);
  EXPECT_EQ(DescribeDrafts(&speculator, 1), "");
  const SamplerOptions sampler;
  std::vector<int32_t> tokens = {1};
  for (const std::vector<int32_t>& got : std::vector<std::vector<int32_t>>{{7, 8}, {9}}) {
    const std::vector<DraftTree> trees = speculator.Draft(
        {{.sequence = 1, .tokens = tokens, .most_depth = 5, .sampler = &sampler}}, 4);
    speculator.NoteTokens(trees[0], got);
    speculator.NotePass(0.1, trees[0].size(), true);
    tokens.insert(tokens.end(), got.begin(), got.end());
  }
  EXPECT_EQ(TokensPerPass(&speculator), 1.5);
  EXPECT_THAT(DescribeDrafts(&speculator, 1.5),
              testing::MatchesRegex(
                  "drafts            1 rows, 1 accepted: 1.50 tokens a pass; drafting took "
                  "[0-9.]+ s\n             the short-lived drafter is not asked any more: "
                  "no memory left\n"));
  nlohmann::json report;
  AddDraftReport(&speculator, 1.5, &report);
  EXPECT_EQ(report["draft_rows"], 1);
  EXPECT_EQ(report["accepted_by_depth"], nlohmann::json({1}));
  EXPECT_EQ(report["draft_failures"].size(), 1);
}

}  // namespace
}  // namespace sluice
