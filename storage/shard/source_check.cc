// Reads a source's tensors in the order of its files, and sums up their rows.
#include "storage/shard/source_check.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/shard/source_sums.h"
#include "storage/shard/store_folder.h"
#include "storage/source/safetensors.h"

namespace sluice {
namespace {

constexpr int64_t kCompareBytes = int64_t{4} << 20;

// A tensor of the checkpoint, and the sum of its bytes in the store's record.
struct RememberedTensor {
  const CheckpointTensor* source;
  uint64_t checksum;
};

class SourceComparer {
 public:
  SourceComparer(const Checkpoint& checkpoint, const SourceCheckOptions& options)
      : checkpoint_(checkpoint), options_(options) {}

  // Returns the first tensor that differs, or null.
  absl::StatusOr<const CheckpointTensor*> FirstOther(std::vector<RememberedTensor> remembered) {
    const auto place = [](const RememberedTensor& t) {
      return std::tuple(t.source->file, t.source->offset, t.checksum);
    };
    std::sort(remembered.begin(), remembered.end(),
              [&](const auto& a, const auto& b) { return place(a) < place(b); });
    for (size_t i = 0; i < remembered.size(); ++i) {
      // A tied head is the embedding once more.
      if (i > 0 && remembered[i].source == remembered[i - 1].source) {
        if (remembered[i].checksum != remembered[i - 1].checksum) return remembered[i].source;
        continue;
      }
      bytes_total_ += remembered[i].source->bytes;
    }
    const CheckpointTensor* last = nullptr;
    for (const RememberedTensor& tensor : remembered) {
      if (tensor.source == last) continue;
      last = tensor.source;
      SLUICE_ASSIGN_OR_RETURN(const uint64_t sum, Sum(*tensor.source));
      if (sum != tensor.checksum) return tensor.source;
    }
    return nullptr;
  }

 private:
  absl::StatusOr<uint64_t> Sum(const CheckpointTensor& tensor) {
    const int64_t row_bytes = RowBytes(tensor.encoding, tensor.shape.back());
    const int64_t rows = tensor.shape.size() == 1 ? 1 : tensor.shape[0];
    const int64_t per_read = std::max<int64_t>(1, kCompareBytes / row_bytes);
    uint64_t sum = 0;
    for (int64_t row = 0; row < rows; row += per_read) {
      const int64_t n = std::min(per_read, rows - row);
      buffer_.resize(n * row_bytes);
      SLUICE_RETURN_IF_ERROR(
          checkpoint_.ReadRows(tensor, row, n, absl::MakeSpan(buffer_), &scratch_));
      sum += SumRows(row, row_bytes, buffer_);
      bytes_done_ += n * row_bytes;
      if (options_.on_progress) options_.on_progress(bytes_done_, bytes_total_);
      if (options_.stop != nullptr && *options_.stop) {
        return absl::CancelledError("stopped before the checkpoint was compared");
      }
    }
    return sum;
  }

  const Checkpoint& checkpoint_;
  const SourceCheckOptions& options_;
  int64_t bytes_total_ = 0;
  int64_t bytes_done_ = 0;
  std::vector<std::byte> buffer_, scratch_;
};

}  // namespace

absl::StatusOr<SourceVerdict> JudgeSource(const Checkpoint& checkpoint, const StorePlan& plan,
                                          const ShardRecord& record,
                                          const SourceCheckOptions& options) {
  const bool same_headers = record.source_fingerprint == plan.manifest.source_fingerprint;
  SourceVerdict verdict;
  const std::string other = SourceDifference(record.source, plan.manifest);
  std::vector<RememberedTensor> remembered;
  size_t judged = 0;
  StorePlan applied = plan;  // with the record's contents of files that fit
  for (size_t i = 0; i < plan.files.size(); ++i) {
    const auto found = record.finished.find(plan.files[i].path);
    if (found == record.finished.end()) continue;
    const bool fits = ApplyRecord(found->second, static_cast<int>(i), &applied);
    if (!fits && same_headers) continue;  // it will be written anew
    if (!fits || (found->second.source_checksums.empty() && !same_headers)) {
      verdict.difference = other;
      return verdict;
    }
    ++judged;
    if (found->second.source_checksums.empty()) {
      verdict.by_headers = true;
      continue;
    }
    for (const int tensor : TensorsOf(plan, static_cast<int>(i))) {
      remembered.push_back({plan.sources[tensor], *applied.source_checksums[tensor]});
    }
  }
  if (judged == 0) {
    if (!same_headers) verdict.difference = other;
    return verdict;
  }
  SLUICE_ASSIGN_OR_RETURN(const CheckpointTensor* const differing,
                          SourceComparer(checkpoint, options).FirstOther(std::move(remembered)));
  if (differing != nullptr) {
    verdict.difference = absl::StrCat(other, ": ", checkpoint.files()[differing->file],
                                      " holds other weights in ", ShownName(differing->name));
  }
  return verdict;
}

}  // namespace sluice
