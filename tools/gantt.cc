// Bars are clipped to the pass; those too narrow to be seen are drawn together.
#include "tools/gantt.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "tools/slices.h"

namespace sluice {
namespace {

using Time = std::chrono::steady_clock::time_point;

constexpr double kLeft = 110;
constexpr double kWidth = 860;
constexpr double kTop = 46;
constexpr double kRow = 30;
constexpr double kBar = 22;
constexpr double kNarrow = 0.4;  // bars below this are joined with what touches them

struct Colour {
  const char* fill;
  const char* other;  // every other slab, so that neighbours can be told apart
};
constexpr Colour kColours[kNumStages] = {
    {"#2f6fb3", "#4f8fd3"}, {"#2e8b57", "#4eab77"}, {"#b8860b", "#d8a62b"}, {"#1f8a8a", "#45b0b0"},
    {"#b5483a", "#d5685a"}, {"#8a6fb0", "#a88fce"}, {"#7a7a2a", "#9c9c48"}, {"#7a4a2a", "#9c6a48"}};
constexpr char kResidentFill[] = "#8a6fb0";

struct Bar {
  int row;
  double begin;  // seconds from the pass's beginning
  double end;
  const char* fill;
  double opacity;
};

double Seconds(std::chrono::steady_clock::duration d) {
  return std::chrono::duration<double>(d).count();
}

// 1, 2 or 5 times a power of ten, so that there are five to ten ticks.
double TickStep(double length) {
  const double power = std::pow(10, std::floor(std::log10(length / 5)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (length / (step * power) <= 10) return step * power;
  }
  return 10 * power;
}

std::string Axis(double length, double bottom) {
  std::string svg;
  const bool millis = length < 2;
  const double step = TickStep(length);
  for (double t = 0; t <= length * 1.0001; t += step) {
    const double x = kLeft + kWidth * t / length;
    absl::StrAppendFormat(
        &svg,
        "<line x1=\"%.1f\" y1=\"%.0f\" x2=\"%.1f\" y2=\"%.0f\" stroke=\"#ddd\"/>\n"
        "<text x=\"%.1f\" y=\"%.0f\" text-anchor=\"middle\">%g %s</text>\n",
        x, kTop - 6, x, bottom, x, bottom + 16, std::round((millis ? 1e3 : 1) * t * 1e6) / 1e6,
        millis ? "ms" : "s");
  }
  return svg;
}

// Which slices belong in the picture, as bars; rows get the lanes of each stage in order.
class Picture {
 public:
  Picture(Time begin, Time end, int64_t pass) : begin_(begin), end_(end), pass_(pass) {}

  void Add(const Slice& slice, bool resident) {
    if (slice.end <= begin_ || slice.begin >= end_) return;
    const int stage = static_cast<int>(slice.stage);
    lanes_[stage] = std::max(lanes_[stage], slice.lane + 1);
    const bool own = slice.pass == pass_;
    const Colour& colour = kColours[stage];
    const char* fill = slice.slab % 2 == 0 ? colour.fill : colour.other;
    if (slice.stage == Stage::kCompute && resident) fill = kResidentFill;
    busy_[stage] += Seconds(std::min(slice.end, end_) - std::max(slice.begin, begin_));
    bars_.push_back({stage * 1000 + slice.lane, Seconds(std::max(slice.begin, begin_) - begin_),
                     Seconds(std::min(slice.end, end_) - begin_), fill, own ? 1.0 : 0.35});
  }

  std::string Draw(const std::string& title) {
    const double length = Seconds(end_ - begin_);
    std::string labels;
    int rows = 0;
    std::vector<double> row_top(1000 * kNumStages);
    for (int stage = 0; stage < kNumStages; ++stage) {
      for (int lane = 0; lane < lanes_[stage]; ++lane) {
        const double y = kTop + kRow * rows++;
        row_top[1000 * stage + lane] = y;
        if (lane > 0) continue;
        absl::StrAppendFormat(&labels,
                              "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"end\">%s %.0f%%</text>\n",
                              kLeft - 8, y + 15, StageName(static_cast<Stage>(stage)),
                              100 * busy_[stage] / lanes_[stage] / length);
      }
    }
    const double bottom = kTop + kRow * rows;
    std::string svg = absl::StrFormat(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 %.0f\" "
        "font-family=\"sans-serif\" "
        "font-size=\"12\">\n<rect width=\"1000\" height=\"%.0f\" fill=\"#fff\"/>\n"
        "<text x=\"%.0f\" y=\"24\" font-size=\"14\">%s</text>\n",
        bottom + 48, bottom + 48, kLeft,
        absl::StrReplaceAll(title, {{"&", "&amp;"}, {"<", "&lt;"}, {">", "&gt;"}}));
    absl::StrAppend(&svg, Axis(length, bottom), labels);
    AppendBars(length, row_top, &svg);
    absl::StrAppendFormat(&svg,
                          "<text x=\"%.0f\" y=\"%.0f\" fill=\"#555\">each bar is a slab; violet: "
                          "slabs that stay in memory; pale: "
                          "work for the pass before or after; %%: share of the pass that a stage "
                          "was busy</text>\n</svg>\n",
                          kLeft, bottom + 36);
    return svg;
  }

 private:
  void AppendBars(double length, const std::vector<double>& row_top, std::string* svg) {
    const double scale = kWidth / length;
    std::vector<Bar> drawn;
    std::stable_sort(bars_.begin(), bars_.end(),
                     [](const Bar& a, const Bar& b) { return a.row < b.row; });
    for (const Bar& bar : bars_) {
      if (!drawn.empty() && drawn.back().row == bar.row && drawn.back().opacity == bar.opacity &&
          (bar.begin - drawn.back().end) * scale < kNarrow / 2 &&
          std::min(bar.end - bar.begin, drawn.back().end - drawn.back().begin) * scale < kNarrow) {
        drawn.back().end = bar.end;
      } else {
        drawn.push_back(bar);
      }
    }
    for (const Bar& bar : drawn) {
      absl::StrAppendFormat(
          svg, "<rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%.0f\" fill=\"%s\"",
          kLeft + scale * bar.begin, row_top[bar.row], std::max(0.2, scale * (bar.end - bar.begin)),
          kBar, bar.fill);
      if (bar.opacity < 1) absl::StrAppendFormat(svg, " opacity=\"%g\"", bar.opacity);
      absl::StrAppend(svg, "/>\n");
    }
  }

  const Time begin_;
  const Time end_;
  const int64_t pass_;
  int lanes_[kNumStages] = {};
  double busy_[kNumStages] = {};
  std::vector<Bar> bars_;  // row: 1000 * stage + lane
};

}  // namespace

std::string DrawPass(absl::Span<const TimelineEvent> events, const std::vector<bool>& resident,
                     int64_t pass, const std::string& title) {
  const std::vector<Slice> slices = SliceBuilder().Add(events);
  // From the end of the pass before, or of the first one from where its reading begins.
  Time begin = Time::max();
  Time end = Time::min();
  Time before = Time::min();
  for (const Slice& slice : slices) {
    if (slice.pass == pass) begin = std::min(begin, slice.begin);
    if (slice.stage != Stage::kCompute && slice.stage != Stage::kCpu) continue;
    if (slice.pass == pass) end = std::max(end, slice.end);
    if (slice.pass == pass - 1) before = std::max(before, slice.end);
  }
  if (begin >= end) return "";
  if (before > Time::min()) begin = before;
  Picture picture(begin, end, pass);
  for (const Slice& slice : slices) picture.Add(slice, resident[slice.slab]);
  return picture.Draw(title);
}

}  // namespace sluice
