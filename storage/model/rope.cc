// Frequencies of the rotary embedding, with the ways in which models stretch them to long contexts.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "storage/model/hyper_parameters.h"

namespace sluice {
namespace {

// The dimension whose wavelength makes `rotations` turns over the original context (YaRN, appendix
// A.2 of https://arxiv.org/abs/2309.00071).
double YarnDimension(const RopeParameters& r, int64_t head_dim, double rotations) {
  const double context = static_cast<double>(r.original_max_position_embeddings);
  return static_cast<double>(head_dim) * std::log(context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(r.theta));
}

double YarnScale(double factor, double mscale) {
  return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace

std::vector<double> RopeInverseFrequencies(const RopeParameters& r, int64_t head_dim) {
  const double dim = static_cast<double>(head_dim);
  double low = 0, high = 0;  // yarn: the dimensions between which it passes from kept to stretched
  if (r.type == RopeType::kYarn) {
    low = YarnDimension(r, head_dim, r.beta_fast);
    high = YarnDimension(r, head_dim, r.beta_slow);
    if (r.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dim - 1);
    if (low == high) high += 0.001;
  }
  std::vector<double> frequencies(head_dim / 2);
  for (int64_t i = 0; i < head_dim / 2; ++i) {
    const double frequency = std::pow(r.theta, -2.0 * static_cast<double>(i) / dim);
    double kept = 1;  // the share that stays as it is; the rest is divided by the factor
    if (r.type == RopeType::kLinear) {
      kept = 0;
    } else if (r.type == RopeType::kLlama3) {
      const double turns = static_cast<double>(r.original_max_position_embeddings) * frequency /
                           (2 * std::numbers::pi);
      kept = std::clamp((turns - r.low_freq_factor) / (r.high_freq_factor - r.low_freq_factor), 0.0,
                        1.0);
    } else if (r.type == RopeType::kYarn) {
      kept = 1 - std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    }
    frequencies[i] = kept * frequency + (1 - kept) * frequency / r.factor;
  }
  return frequencies;
}

double RopeAttentionScaling(const RopeParameters& r) {
  if (r.type != RopeType::kYarn) return 1.0;
  if (r.attention_factor.has_value()) return *r.attention_factor;
  if (r.mscale > 0 && r.mscale_all_dim > 0) {
    return YarnScale(r.factor, r.mscale) / YarnScale(r.factor, r.mscale_all_dim);
  }
  return YarnScale(r.factor, 1.0);
}

}  // namespace sluice
