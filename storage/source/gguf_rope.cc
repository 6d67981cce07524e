// Finds Llama 3's rope parameters from the factors that llama.cpp's converter made of them.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/source/gguf_config.h"

namespace sluice {
namespace {

using nlohmann::json;

// The factors are f32 and were computed from frequencies in f32, which moves them by 1e-5 at the
// most; an original context that is wrong by one moves one of them by 1e-4.
constexpr double kTolerance = 3e-5;

struct Llama3 {
  double factor, low, high;
  double original;
};

double Frequency(size_t i, size_t half, double theta) {
  return std::pow(theta, -static_cast<double>(i) / static_cast<double>(half));
}

// Returns the factor that frequency i is divided by (rope type "llama3" of transformers).
double FactorOf(const Llama3& p, double frequency) {
  const double turns = p.original * frequency / (2 * std::numbers::pi);
  const double kept = std::clamp((turns - p.low) / (p.high - p.low), 0.0, 1.0);
  return 1 / (kept + (1 - kept) / p.factor);
}

bool Explains(const Llama3& p, absl::Span<const float> factors, double theta) {
  if (!(p.high > p.low) || !(p.original >= 1 && p.original < 1e9)) return false;
  for (size_t i = 0; i < factors.size(); ++i) {
    const double expected = FactorOf(p, Frequency(i, factors.size(), theta));
    if (!(std::abs(factors[i] - expected) <= kTolerance * expected)) return false;
  }
  return true;
}

// Between the two bands the kept share, (turns - low) / (high - low), is a linear function of the
// frequency. Only the ratios of original, low and high matter: low is taken for 1, as every such
// model has it. Then one point gives the original context if high is 4, as it usually is, and two
// points give both.
std::vector<Llama3> Fit(absl::Span<const float> factors, double theta, double factor) {
  double frequency[2], kept[2];
  int points = 0;
  for (size_t i = 0; i < factors.size(); ++i) {
    const double share = (1 / static_cast<double>(factors[i]) - 1 / factor) / (1 - 1 / factor);
    if (share < 1e-3 || share > 1 - 1e-3) continue;
    const int at = std::min(points++, 1);  // the first one and the last one
    frequency[at] = Frequency(i, factors.size(), theta);
    kept[at] = share;
  }
  if (points == 0) return {};
  const auto original = [&](double high) {
    return std::round((kept[0] * (high - 1) + 1) * 2 * std::numbers::pi / frequency[0]);
  };
  std::vector<Llama3> fits = {{factor, 1, 4, original(4)}};
  if (points == 1) return fits;
  const double slope = (kept[0] - kept[1]) / (frequency[0] - frequency[1]);
  const double high = 1 - 1 / (kept[0] - slope * frequency[0]);
  for (const double h : {std::round(high * 100) / 100, high})
    fits.push_back({factor, 1, h, original(h)});
  return fits;
}

}  // namespace

absl::StatusOr<json> Llama3RopeOf(absl::Span<const float> factors, double theta, int64_t original) {
  if (std::all_of(factors.begin(), factors.end(), [](float f) { return f == 1; }))
    return json(nullptr);
  const double factor = factors.empty() ? 0 : factors.back();  // the lowest frequency
  std::vector<Llama3> candidates = {{factor, 1, 4, 8192}};
  if (original > 0)
    candidates.insert(candidates.begin(), {factor, 1, 4, static_cast<double>(original)});
  if (factor > 1 && std::isfinite(factor)) {
    const std::vector<Llama3> fitted = Fit(factors, theta, factor);
    candidates.insert(candidates.end(), fitted.begin(), fitted.end());
  }
  for (const Llama3& p : candidates) {
    if (!(factor > 1) || !Explains(p, factors, theta)) continue;
    return json{{"rope_type", "llama3"},
                {"factor", p.factor},
                {"low_freq_factor", p.low},
                {"high_freq_factor", p.high},
                {"original_max_position_embeddings", static_cast<int64_t>(p.original)}};
  }
  return absl::UnimplementedError(absl::StrCat(
      "rope_freqs.weight holds ", factors.size(),
      " factors that do not follow Llama 3's rule, the only one that sluice computes"));
}

}  // namespace sluice
