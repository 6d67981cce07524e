// Tests of the views: rows come in the architecture's order, whichever of them are asked for.
#include "storage/source/views/tensor_view.h"

#include <algorithm>
#include <vector>

#include "gtest/gtest.h"

namespace sluice {
namespace {

constexpr int64_t kRowBytes = 3;

// Reads the rows through the view from a tensor whose stored row i holds i, and returns what they
// hold.
std::vector<int> RowsOf(const TensorView& view, int64_t stored_rows, int64_t first, int64_t count) {
  std::vector<std::byte> out(count * kRowBytes), scratch;
  const auto read = [&](int64_t begin, absl::Span<std::byte> bytes) {
    EXPECT_EQ(begin % kRowBytes, 0);
    EXPECT_LE(begin + static_cast<int64_t>(bytes.size()), stored_rows * kRowBytes);
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>((begin + static_cast<int64_t>(i)) / kRowBytes);
    }
    return absl::OkStatus();
  };
  EXPECT_TRUE(view.ReadRows(read, first, count, absl::MakeSpan(out), &scratch).ok());
  EXPECT_LE(static_cast<int64_t>(scratch.size()), view.ScratchRows(count) * kRowBytes);
  std::vector<int> rows;
  for (int64_t i = 0; i < count; ++i) {
    rows.push_back(static_cast<int>(out[i * kRowBytes]));
    EXPECT_EQ(out[i * kRowBytes], out[i * kRowBytes + kRowBytes - 1]);
  }
  return rows;
}

TEST(TensorView, GivesAnyRowsInOrder) {
  constexpr int64_t kHeadRows = 6, kRows = 4 * kHeadRows;
  std::vector<int> plain, interleaved;
  for (int head = 0; head < kRows; head += kHeadRows) {
    for (const int i : {0, 2, 4, 1, 3, 5}) interleaved.push_back(head + i);
    for (int i = 0; i < kHeadRows; ++i) plain.push_back(head + i);
  }
  const struct {
    std::shared_ptr<const TensorView> view;
    const std::vector<int>& stored;
  } kCases[] = {{PlainRows(), plain}, {InterleavedRows(kHeadRows), interleaved}};
  for (const auto& c : kCases) {
    for (int64_t first = 0; first < kRows; ++first) {
      for (int64_t count = 1; count <= kRows - first; ++count) {
        const std::vector<int> expected(c.stored.begin() + first, c.stored.begin() + first + count);
        ASSERT_EQ(RowsOf(*c.view, kRows, first, count), expected) << first << " + " << count;
      }
    }
  }
}

TEST(TensorView, HandsOnTheErrorsOfReading) {
  const auto fail = [](int64_t, absl::Span<std::byte>) { return absl::DataLossError("short"); };
  std::vector<std::byte> out(4), scratch;
  for (const auto& view : {PlainRows(), InterleavedRows(2)}) {
    EXPECT_EQ(view->ReadRows(fail, 0, 2, absl::MakeSpan(out), &scratch).code(),
              absl::StatusCode::kDataLoss);
  }
}

}  // namespace
}  // namespace sluice
