// The scheduler of a block's threads, and what they wait for.
#include "tests/cuda_emulation/grid.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace sluice::cuda_emulation {
namespace {

Grid* current = nullptr;

}  // namespace

Grid::Grid() = default;

Grid& Grid::Current() { return *current; }

std::string Grid::Run(const std::function<void()>& thread, dim3 grid, dim3 block,
                      size_t shared_bytes, std::mt19937& random) {
  current = this;
  fault_.clear();
  random_ = &random;
  gridDim = grid;
  blockDim = block;
  std::vector<int64_t> order(int64_t{grid.x} * grid.y * grid.z);
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), random);
  for (int64_t number : order) {
    blockIdx = {static_cast<unsigned>(number % grid.x),
                static_cast<unsigned>(number / grid.x % grid.y),
                static_cast<unsigned>(number / grid.x / grid.y)};
    RunBlock(thread, block, shared_bytes, random);
    if (!fault_.empty()) {
      fault_ =
          absl::StrCat("block (", blockIdx.x, ", ", blockIdx.y, ", ", blockIdx.z, "): ", fault_);
      break;
    }
  }
  return fault_;
}

void Grid::RunBlock(const std::function<void()>& thread, dim3 block, size_t shared_bytes,
                    std::mt19937& random) {
  num_threads_ = static_cast<int>(block.x * block.y * block.z);
  shared_bytes_ = shared_bytes;
  arrays_.clear();
  offsets_.clear();
  exchanges_.assign((num_threads_ + kLanes - 1) / kLanes, {});
  barrier_arrived_ = 0;
  ready_.clear();
  while (static_cast<int>(threads_.size()) < num_threads_)
    threads_.push_back(std::make_unique<Thread>());
  for (int i = 0; i < num_threads_; ++i) {
    Thread& at = *threads_[i];
    at.number = i;
    at.index = {i % block.x, i / block.x % block.y, i / block.x / block.y};
    at.fiber.Start(thread);
    ready_.push_back(i);
  }
  int ended = 0;
  while (!ready_.empty() && fault_.empty()) {
    std::swap(ready_[random() % ready_.size()], ready_.back());
    running_ = threads_[ready_.back()].get();
    ready_.pop_back();
    threadIdx = running_->index;
    running_->fiber.Resume();
    if (running_->fiber.ended()) ++ended;
  }
  if (fault_.empty() && ended < num_threads_) {
    fault_ = absl::StrCat(WhoWaits(), ", and the others will not come");
  }
  for (size_t i = 0; i < arrays_.size() && fault_.empty(); ++i) {
    if (!arrays_[i]->Intact())
      fault_ = absl::StrCat("writes beyond array ", i, " of shared memory");
  }
}

// Until somebody puts this thread among those that are ready. After a fault nobody does.
void Grid::Wait() { Fiber::Yield(); }

void Grid::Fault(std::string fault) {
  if (fault_.empty()) fault_.swap(fault);
  std::string().swap(fault);  // this stack is never unwound
  Fiber::Yield();             // for ever
}

std::string Grid::WhoWaits() const {
  for (size_t warp = 0; warp < exchanges_.size(); ++warp) {
    const Exchange& exchange = exchanges_[warp];
    if (exchange.arrived > 0) {
      return absl::StrCat(exchange.arrived, " lanes of warp ", warp, " wait in ", exchange.name,
                          " of line ", exchange.line);
    }
  }
  return absl::StrCat(barrier_arrived_, " of ", num_threads_,
                      " threads wait at the barrier of line ", barrier_line_);
}

void Grid::Together(const char* name, int line, void* share, void (*combine)(void* const* shares)) {
  const int warp = running_->number / kLanes;
  Exchange& exchange = exchanges_[warp];
  if (exchange.arrived > 0 && (exchange.line != line || std::strcmp(exchange.name, name) != 0)) {
    Fault(absl::StrCat("warp ", warp, " diverges: ", exchange.name, " of line ", exchange.line,
                       " and ", name, " of line ", line));
    return;
  }
  exchange.name = name;
  exchange.line = line;
  exchange.share[running_->number % kLanes] = share;
  if (++exchange.arrived < kLanes) return Wait();
  combine(exchange.share);
  exchange.arrived = 0;
  for (int lane = 0; lane < kLanes; ++lane) ready_.push_back(warp * kLanes + lane);
  Wait();
}

void Grid::Barrier(int line) {
  if (barrier_arrived_ > 0 && barrier_line_ != line) {
    Fault(absl::StrCat("threads wait at different barriers, of line ", barrier_line_,
                       " and of line ", line));
    return;
  }
  barrier_line_ = line;
  if (++barrier_arrived_ < num_threads_) return Wait();
  barrier_arrived_ = 0;
  for (int i = 0; i < num_threads_; ++i) ready_.push_back(i);
  Wait();
}

void* Grid::Shared(int64_t offset, int64_t bytes, int index) {
  if (offset + bytes > static_cast<int64_t>(shared_bytes_)) {
    Fault(absl::StrCat("takes ", offset + bytes, " bytes of shared memory, the launch asked for ",
                       shared_bytes_));
    return nullptr;
  }
  if (index == static_cast<int>(arrays_.size())) {
    arrays_.push_back(std::make_unique<RedZoned>(bytes, *random_));
    offsets_.push_back(offset);
  }
  if (index > static_cast<int>(arrays_.size()) ||
      static_cast<int64_t>(arrays_[index]->bytes()) != bytes || offsets_[index] != offset) {
    Fault(absl::StrCat("threads take different arrays as number ", index));
    return nullptr;
  }
  return arrays_[index]->data();
}

}  // namespace sluice::cuda_emulation
