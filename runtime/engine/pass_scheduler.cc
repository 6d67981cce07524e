// Fills passes: sequences that generate first, then prompts, oldest first; then admits.
#include "runtime/engine/pass_scheduler.h"

#include <algorithm>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/base/macros.h"
#include "absl/types/span.h"

namespace sluice {
namespace {

// Numbers of a batch's sequences are above all others.
constexpr int64_t kFirstBatchId = int64_t{1} << 62;

int64_t PagesFor(int64_t tokens) { return (tokens + kKvPageTokens - 1) / kKvPageTokens; }

ScheduleLimits Consistent(ScheduleLimits limits) {
  limits.max_sequences = std::min({limits.max_sequences, limits.pass_rows, limits.logit_rows});
  if (limits.balanced_rows <= 0) limits.balanced_rows = limits.pass_rows;
  return limits;
}

}  // namespace

PassScheduler::PassScheduler(const ScheduleLimits& limits, PagePool* pool, SwapSpace* swap)
    : limits_(Consistent(limits)), pool_(pool), swap_(swap) {}

int64_t PassScheduler::Add(std::vector<int32_t> tokens, int64_t max_tokens, int64_t first_logit,
                           std::optional<OwnPages> own, Priority priority) {
  ABSL_ASSERT(!tokens.empty() && PagesFor(max_tokens) <= pool_->num_pages());
  const int64_t id = ++last_id_ + (priority == Priority::kBatch ? kFirstBatchId : 0);
  Sequence sequence{std::move(tokens), max_tokens, first_logit};
  if (own.has_value()) {
    ABSL_ASSERT(own->rows <= first_logit);
    sequence.pages = std::move(own->pages);
    sequence.done = sequence.settled = own->rows;
    sequence.owns_pages = true;
  }
  waiting_.emplace(id, std::move(sequence));
  return id;
}

PassScheduler::OwnPages PassScheduler::TakeOut(int64_t id, bool pass_failed) {
  auto& from = running_.contains(id) ? running_ : waiting_;
  Sequence& sequence = from.at(id);
  ABSL_ASSERT(sequence.owns_pages);
  // A preempted sequence has lost its pages, whatever had been settled before.
  const int64_t rows = pass_failed ? std::min(sequence.settled, sequence.done) : sequence.done;
  OwnPages own = {std::move(sequence.pages), rows};
  DropSaved(sequence);
  from.erase(id);
  return own;
}

const std::vector<int32_t>& PassScheduler::Tokens(int64_t id) const {
  const auto it = running_.find(id);
  return it != running_.end() ? it->second.tokens : waiting_.at(id).tokens;
}

void PassScheduler::Append(int64_t id, int32_t token) {
  const auto it = running_.find(id);
  (it != running_.end() ? it->second : waiting_.at(id)).tokens.push_back(token);
}

PassScheduler::TreeRoom PassScheduler::TakeTreeRoom(int64_t id, int64_t rows) {
  Sequence& sequence = running_.at(id);
  std::vector<int32_t>& pages = sequence.pages.pages;
  const auto first = static_cast<size_t>(sequence.done / kKvPageTokens);
  TreeRoom room;
  for (size_t i = first; i < pages.size(); ++i) {
    room.moves = room.moves && pages[i] < pool_->first_disk_page();
  }
  const auto slots = [&] { return static_cast<int64_t>(pages.size()) * kKvPageTokens; };
  while (room.moves && slots() < sequence.done + rows) {
    const std::optional<int32_t> page = pool_->TakeInMemory();
    if (!page.has_value()) break;
    pages.push_back(*page);
  }
  room.rows = std::min(rows, slots() - sequence.done);
  return room;
}

void PassScheduler::TakeTreeRow(int64_t id) {
  Sequence& sequence = running_.at(id);
  ++sequence.done;
  sequence.first_logit = std::max(sequence.first_logit, sequence.done);
  ++counters_.rows;
  PublishPages(sequence);
}

void PassScheduler::DropTreeRoom(int64_t id) {
  const auto it = running_.find(id);
  if (it == running_.end()) return;
  std::vector<int32_t>& pages = it->second.pages.pages;
  while (static_cast<int64_t>(pages.size()) > PagesFor(it->second.done)) {
    pool_->Drop(pages.back());
    pages.pop_back();
  }
}

void PassScheduler::Remove(int64_t id) {
  const auto it = running_.find(id);
  if (it == running_.end()) {
    const auto waiting = waiting_.find(id);
    if (waiting == waiting_.end()) return;
    DropSaved(waiting->second);
    waiting_.erase(waiting);
    return;
  }
  DropPages(it->second);
  running_.erase(it);
}

// Last page first: where pages are short, the end of a prefix goes before its beginning.
void PassScheduler::DropPages(Sequence& sequence) {
  for (; !sequence.pages.pages.empty(); sequence.pages.pages.pop_back()) {
    pool_->Drop(sequence.pages.pages.back());
  }
  sequence.done = 0;
  sequence.published = 0;
  sequence.prefix = kNoPrefix;
}

// Goes on with pages that others have computed, up to the first row whose logits are owed.
void PassScheduler::SharePages(Sequence& sequence) {
  if (sequence.owns_pages) return;
  const absl::Span<const int32_t> tokens = sequence.tokens;
  while (sequence.done == sequence.published * kKvPageTokens &&
         sequence.first_logit >= sequence.done + kKvPageTokens) {
    const std::optional<PagePool::Shared> shared =
        pool_->Share(sequence.prefix, tokens.subspan(sequence.done, kKvPageTokens));
    if (!shared.has_value()) return;
    sequence.pages.pages.push_back(shared->page);
    sequence.prefix = shared->prefix;
    sequence.done += kKvPageTokens;
    ++sequence.published;
    counters_.shared_rows += kKvPageTokens;
  }
}

// Leaves what only this sequence has in the swap space: pages that others use stay where they are,
// and are most likely found there. What it shares since this pass is being filled may not be
// computed yet.
void PassScheduler::SavePages(Sequence& sequence) {
  const absl::Span<const int32_t> pages = sequence.pages.pages;
  const int64_t end = PagesFor(sequence.settled);
  int64_t first = 0;
  while (first < end && pool_->users(pages[first]) > 1) ++first;
  if (swap_ == nullptr || first == end ||
      !swap_->Pays(end - first, sequence.settled - first * kKvPageTokens)) {
    return;
  }
  std::optional<std::vector<int32_t>> slots = swap_->Write(pages.subspan(first, end - first));
  if (!slots.has_value()) return;
  sequence.saved = *std::move(slots);
  sequence.first_saved = first;
  sequence.saved_rows = sequence.settled;
  ++counters_.swaps;
}

// How many rows are there once RestorePages has run.
int64_t PassScheduler::DoneWithSaved(const Sequence& sequence) const {
  const bool reaches =
      !sequence.saved.empty() && sequence.done >= sequence.first_saved * kKvPageTokens;
  return reaches ? std::max(sequence.done, sequence.saved_rows) : sequence.done;
}

// Goes on, behind the pages that were found by their content, with those that were saved; where
// pages in front of them have gone, or one does not come back, the rest is computed again. There
// must be pages for all.
void PassScheduler::RestorePages(Sequence& sequence) {
  if (DoneWithSaved(sequence) > sequence.done) {
    std::vector<int32_t>& pages = sequence.pages.pages;
    const size_t found = pages.size();
    const absl::Span<const int32_t> slots =
        absl::MakeConstSpan(sequence.saved).subspan(found - sequence.first_saved);
    for (size_t i = 0; i < slots.size(); ++i) pages.push_back(*TakePage(sequence));
    const auto back =
        static_cast<size_t>(swap_->Read(slots, absl::MakeConstSpan(pages).subspan(found)));
    for (; pages.size() > found + back; pages.pop_back()) pool_->Drop(pages.back());
    const int64_t before = sequence.done;
    sequence.done =
        std::min(sequence.saved_rows, static_cast<int64_t>(pages.size()) * kKvPageTokens);
    counters_.swapped_rows += sequence.done - before;
  }
  DropSaved(sequence);
}

void PassScheduler::DropSaved(Sequence& sequence) {
  if (!sequence.saved.empty()) swap_->Drop(sequence.saved);
  sequence.saved.clear();
}

// How many rows the sequence gets by what is left of the pass, before pages are looked at, if
// `done` are there.
int64_t PassScheduler::Wanted(const Sequence& sequence, int64_t done, const Room& room) const {
  const int64_t left = static_cast<int64_t>(sequence.tokens.size()) - done;
  int64_t count = left;
  // A running sequence that has one row left is among `decoding`; its own row and logit are kept
  // for it.
  if (count != 1) count = std::min({count, room.rows - room.decoding, room.prompt_rows});
  const int64_t logits = room.logits - (left == 1 ? 0 : room.decoding);
  count = std::min(count, std::max(sequence.first_logit - done, int64_t{0}) + logits);
  return std::max<int64_t>(std::min(count, room.rows), 0);
}

// The sequence's next page. On disk, one that it generates to would be written each pass, a
// prompt's is once: so a page in memory is spared for each sequence that runs or is about to.
std::optional<int32_t> PassScheduler::TakePage(const Sequence& sequence) {
  const bool grows = sequence.tokens.size() < (sequence.pages.pages.size() + 1) * kKvPageTokens;
  return pool_->Take(grows ? 0 : std::min(limits_.max_sequences, num_running() + num_waiting()));
}

// Takes pages for the next `count` rows; returns for how many there are pages.
int64_t PassScheduler::TakePages(Sequence& sequence, int64_t count) {
  std::vector<int32_t>& pages = sequence.pages.pages;
  const auto room = [&] {
    return static_cast<int64_t>(pages.size()) * kKvPageTokens - sequence.done;
  };
  while (room() < count) {
    const std::optional<int32_t> page = TakePage(sequence);
    if (!page.has_value()) break;
    pages.push_back(*page);
  }
  return std::min(count, room());
}

void PassScheduler::Give(int64_t id, Sequence& sequence, int64_t count, Room* room,
                         std::vector<Chunk>* pass) {
  const int64_t first_logit =
      std::clamp(sequence.first_logit, sequence.done, sequence.done + count);
  pass->push_back({id, sequence.done, count, first_logit});
  if (sequence.left() > 1) room->prompt_rows -= count;
  sequence.done += count;
  room->rows -= count;
  room->logits -= sequence.done - first_logit;
  sequence.first_logit = std::max(sequence.first_logit, sequence.done);
  counters_.rows += count;
  PublishPages(sequence);
}

void PassScheduler::PublishPages(Sequence& sequence) {
  if (sequence.owns_pages) return;
  const absl::Span<const int32_t> tokens = sequence.tokens;
  for (; (sequence.published + 1) * kKvPageTokens <= sequence.done; ++sequence.published) {
    sequence.prefix =
        pool_->Publish(sequence.pages.pages[sequence.published], sequence.prefix,
                       tokens.subspan(sequence.published * kKvPageTokens, kKvPageTokens));
  }
}

bool PassScheduler::PreemptYoungest(int64_t id, Room* room) {
  auto node = running_.extract(std::prev(running_.end()));
  if (node.mapped().left() == 1) --room->decoding;  // the youngest has not got its row yet
  SavePages(node.mapped());
  DropPages(node.mapped());
  ++counters_.preemptions;
  const int64_t preempted = node.key();
  waiting_.insert(std::move(node));
  return preempted != id;
}

// Preempts younger sequences where one waits that counts as older: an interactive one behind those
// of a batch.
void PassScheduler::MakeRoomForOlder() {
  while (!waiting_.empty() && !running_.empty()) {
    const auto& [id, sequence] = *waiting_.begin();
    if (id > youngest_running()) return;
    if (num_running() < limits_.max_sequences && FitsBehindTheRunning(sequence)) return;
    Room room = {};
    PreemptYoungest(id, &room);
  }
}

void PassScheduler::FillWithRunning(Room* room, std::vector<Chunk>* pass) {
  for (auto it = running_.begin(); it != running_.end(); ++it) {
    auto& [id, sequence] = *it;
    SharePages(sequence);
    const bool decodes = sequence.left() == 1;
    const int64_t wanted = Wanted(sequence, sequence.done, *room);
    if (wanted == 0) continue;
    int64_t count = TakePages(sequence, wanted);
    while (count == 0) {
      if (!PreemptYoungest(id, room)) return;  // it was the last one
      count = TakePages(sequence, wanted);
    }
    Give(id, sequence, count, room, pass);
    room->decoding -= decodes;
  }
}

// Whether there are pages for all of the sequence's tokens, and still for what the running ones
// have of their prompts and a page more for each that can grow: preempting soon what was just
// admitted wastes rows.
bool PassScheduler::FitsBehindTheRunning(const Sequence& sequence) const {
  const auto missing = [](const Sequence& s) {
    const int64_t known = static_cast<int64_t>(s.tokens.size());
    const int64_t soon = std::min(PagesFor(s.max_tokens), PagesFor(known) + 1);
    return soon - static_cast<int64_t>(s.pages.pages.size());
  };
  int64_t needed = missing(sequence);
  for (const auto& [id, running] : running_) needed += missing(running);
  return needed <= pool_->available();
}

void PassScheduler::FillWithWaiting(Room* room, std::vector<Chunk>* pass) {
  while (!waiting_.empty() && num_running() < limits_.max_sequences) {
    const auto head = waiting_.begin();
    SharePages(head->second);
    const int64_t wanted = Wanted(head->second, DoneWithSaved(head->second), *room);
    if (wanted == 0 || (!running_.empty() && !FitsBehindTheRunning(head->second))) {
      if (head->second.owns_pages) return;
      counters_.shared_rows -= head->second.done;
      DropPages(head->second);
      return;
    }
    auto& [id, sequence] = *running_.insert(waiting_.extract(head)).position;
    RestorePages(sequence);
    const int64_t count = TakePages(sequence, Wanted(sequence, sequence.done, *room));
    if (count > 0) Give(id, sequence, count, room, pass);
  }
}

std::vector<PassScheduler::Chunk> PassScheduler::NextPass() {
  for (auto& [id, sequence] : running_) sequence.settled = sequence.done;
  MakeRoomForOlder();
  Room room = {limits_.pass_rows, limits_.logit_rows, 0, 0};
  for (const auto& [id, sequence] : running_) room.decoding += sequence.left() == 1;
  room.prompt_rows = std::max(limits_.balanced_rows - room.decoding, kLeastPromptRows);
  std::vector<Chunk> pass;
  const int64_t preemptions = counters_.preemptions;
  FillWithRunning(&room, &pass);
  if (counters_.preemptions == preemptions) FillWithWaiting(&room, &pass);
  return pass;
}

}  // namespace sluice
