// Walks over the vocabulary, and over as little of it as possible.
#include "runtime/text/grammar/constraint.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"

namespace sluice::grammar {
namespace {

// A list is kept if fewer tokens are allowed: a mask of 128k tokens has 16 KiB.
constexpr size_t kListedIds = 1024;
// The most configurations after n plain characters that are followed; beyond them nothing is known
// of longer texts.
constexpr size_t kPlainFrontier = 16;
// The most threads of a configuration that are looked at one by one.
constexpr int64_t kPlainThreads = 64;

void Set(int32_t id, absl::Span<uint64_t> mask) { mask[id / 64] |= uint64_t{1} << (id % 64); }

// The bytes of plain characters: a lead byte, then continuations, the first of which may have a
// range of its own.
struct PlainBytes {
  uint8_t first_lead, last_lead, first_next, last_next;
  int continuations;
};
constexpr PlainBytes kPlainBytes[] = {
    {0x20, 0x21, 0, 0, 0},       {0x23, 0x5B, 0, 0, 0},       {0x5D, 0x7F, 0, 0, 0},
    {0xC2, 0xDF, 0x80, 0xBF, 1}, {0xE0, 0xE0, 0xA0, 0xBF, 2}, {0xE1, 0xEC, 0x80, 0xBF, 2},
    {0xED, 0xED, 0x80, 0x9F, 2}, {0xEE, 0xEF, 0x80, 0xBF, 2}, {0xF0, 0xF0, 0x90, 0xBF, 3},
    {0xF1, 0xF3, 0x80, 0xBF, 3}, {0xF4, 0xF4, 0x80, 0x8F, 3}};

void SortUnique(std::vector<Configurations::Id>* ids) {
  std::sort(ids->begin(), ids->end());
  ids->erase(std::unique(ids->begin(), ids->end()), ids->end());
}

absl::Status CheckToken(const Grammar::Token& token, const Vocabulary& vocabulary) {
  const std::string name = token.text.empty() ? absl::StrCat("<[", token.id, "]>") : token.text;
  if (token.id < 0)
    return absl::InvalidArgumentError(
        absl::StrCat("grammar: ", name, " is not one token of this model"));
  if (token.id >= vocabulary.num_ids()) {
    return absl::InvalidArgumentError(absl::StrCat("grammar: ", name,
                                                   " is outside of this model's vocabulary of ",
                                                   vocabulary.num_ids(), " tokens"));
  }
  if (vocabulary.is_end(token.id)) {
    return absl::InvalidArgumentError(
        absl::StrCat("grammar: the token ", name,
                     " ends a text, and nothing could follow it; leave it out: a text ends where "
                     "its grammar does"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<Constraint>> Constraint::Create(
    const Grammar& grammar, std::shared_ptr<const Vocabulary> vocabulary, const Limits& limits) {
  for (const Grammar::Token& token : grammar.tokens())
    SLUICE_RETURN_IF_ERROR(CheckToken(token, *vocabulary));
  SLUICE_ASSIGN_OR_RETURN(Automaton automaton, Automaton::Compile(grammar, limits));
  std::shared_ptr<Constraint> constraint(
      new Constraint(std::move(automaton), grammar.tokens(), std::move(vocabulary), limits));
  SLUICE_RETURN_IF_ERROR(constraint->configurations_.status());
  return constraint;
}

Constraint::Constraint(Automaton automaton, std::vector<Grammar::Token> tokens,
                       std::shared_ptr<const Vocabulary> vocabulary, const Limits& limits)
    : automaton_(std::move(automaton)),
      tokens_(std::move(tokens)),
      vocabulary_(std::move(vocabulary)),
      limits_(limits),
      configurations_(&automaton_, Costs(automaton_, *vocabulary_), limits) {}

std::vector<int32_t> Constraint::Costs(const Automaton& automaton, const Vocabulary& vocabulary) {
  std::vector<int32_t> costs = automaton.BytesToEnd(vocabulary.single_bytes());
  const auto start_cost = [&] { return costs[automaton.rules()[automaton.root()].start]; };
  // If the vocabulary cannot spell any text byte by byte, the number of bytes is still a measure.
  if (start_cost() == Automaton::kNever) costs = automaton.BytesToEnd(std::bitset<256>().set());
  return costs;
}

int64_t Constraint::MemoryBytes() const {
  return automaton_.MemoryBytes() + configurations_.MemoryBytes() + cached_bytes_;
}

void Constraint::ForgetIfLarge() {
  if (configurations_.MemoryBytes() + cached_bytes_ > limits_.cache_bytes) Forget();
}

absl::Status Constraint::TakeError() {
  absl::Status status = configurations_.TakeStatus();
  if (!status.ok()) Forget();
  return status;
}

void Constraint::Forget() {
  std::vector<Id*> live;
  for (Id& id : live_) live.push_back(&id);
  configurations_.Compact(live);
  allowed_.clear();
  plain_steps_.clear();
  plain_levels_.clear();
  cached_bytes_ = 0;
}

const Constraint::PlainStep& Constraint::StepPlain(Id id) {
  if (plain_steps_.size() <= id) plain_steps_.resize(id + 1);
  if (plain_steps_[id] != nullptr) return *plain_steps_[id];
  auto step = std::make_unique<PlainStep>();
  std::vector<Id> at, next;
  // From each of `at`, all bytes of a range.
  const auto follow = [&](uint8_t first, uint8_t last) {
    next.clear();
    for (const Id from : at) {
      int last_class = -1;
      for (int byte = first; byte <= last; ++byte) {
        if (automaton_.class_of(byte) == last_class) continue;
        last_class = automaton_.class_of(byte);
        const Id to = configurations_.Next(from, byte);
        if (to == Configurations::kDead) {
          step->all = false;
        } else {
          next.push_back(to);
        }
      }
    }
    SortUnique(&next);
    at.swap(next);
  };
  for (const PlainBytes& plain : kPlainBytes) {
    at = {id};
    follow(plain.first_lead, plain.last_lead);
    for (int i = 0; i < plain.continuations && !at.empty(); ++i) {
      follow(i == 0 ? plain.first_next : 0x80, i == 0 ? plain.last_next : 0xBF);
    }
    step->next.insert(step->next.end(), at.begin(), at.end());
  }
  SortUnique(&step->next);
  cached_bytes_ +=
      static_cast<int64_t>(sizeof(PlainStep) + step->next.size() * sizeof(Id) + sizeof(void*));
  plain_steps_[id] = std::move(step);
  return *plain_steps_[id];
}

const Constraint::PlainLevels& Constraint::PlainLevelsOf(Id id) {
  if (plain_levels_.size() <= id) plain_levels_.resize(id + 1);
  if (plain_levels_[id] != nullptr) return *plain_levels_[id];
  PlainLevels levels = FindPlainLevels(id);
  if (levels.all < vocabulary_->longest_plain()) {
    // If one thread takes a text, all together do, and they are not further from the end.
    const int64_t num_threads = configurations_.num_threads(id);
    for (int64_t i = 0; num_threads > 1 && num_threads <= kPlainThreads && i < num_threads; ++i) {
      const PlainLevels& one = PlainLevelsOf(configurations_.OnlyThread(id, i));
      if (one.all <= levels.all) continue;
      levels.all = one.all;
      levels.most_to_finish = one.most_to_finish;
    }
  }
  cached_bytes_ +=
      static_cast<int64_t>(sizeof(PlainLevels) + 4 * (levels.most_to_finish.capacity() +
                                                      levels.fewest_to_finish.capacity()));
  if (plain_levels_.size() <= id) plain_levels_.resize(id + 1);
  plain_levels_[id] = std::make_unique<PlainLevels>(std::move(levels));
  return *plain_levels_[id];
}

Constraint::PlainLevels Constraint::FindPlainLevels(Id id) {
  PlainLevels levels;
  const int longest = vocabulary_->longest_plain();
  std::vector<Id> frontier = {id}, next;
  absl::flat_hash_set<Id> seen = {id};
  bool all = true;
  int32_t most = 0;
  for (int n = 1; n <= longest; ++n) {
    next.clear();
    for (const Id from : frontier) {
      const PlainStep& step = StepPlain(from);
      all &= step.all;
      next.insert(next.end(), step.next.begin(), step.next.end());
    }
    SortUnique(&next);
    if (next.empty()) return levels;
    bool is_new = false;
    int32_t fewest = Automaton::kNever;
    for (const Id to : next) {
      is_new |= seen.insert(to).second;
      most = std::max(most, TokensToFinish(to));
      fewest = std::min(fewest, TokensToFinish(to));
    }
    levels.any = n;
    levels.fewest_to_finish.push_back(fewest);
    if (all) {
      levels.all = n;
      levels.most_to_finish.push_back(most);
    }
    if (next.size() > kPlainFrontier || !is_new) {
      // There are too many to follow, or all of them were followed before.
      if (all && !is_new) {
        levels.all = longest;
        levels.most_to_finish.resize(longest, most);
      }
      levels.any = longest;
      levels.fewest_to_finish.resize(longest, 0);
      return levels;
    }
    frontier.swap(next);
  }
  return levels;
}

void Constraint::Walk(const TokenTrie& trie, Id id, int32_t limit, Allowed* found) {
  std::array<Id, Vocabulary::kMaxTokenBytes + 1> at;  // after each byte of the way to a node
  at[0] = id;
  const absl::Span<uint64_t> mask = absl::MakeSpan(found->words);
  const auto end = static_cast<uint32_t>(trie.nodes.size());
  for (uint32_t i = 0; i < end;) {
    const TokenTrie::Node& node = trie.nodes[i];
    const Id to = configurations_.Next(at[node.depth - 1], node.byte);
    if (to == Configurations::kDead) {
      i = node.after;
      continue;
    }
    at[node.depth] = to;
    ++i;
    if (node.first_id == node.end_id) continue;
    const int32_t needs = TokensToFinish(to);
    if (needs > limit) {
      found->fewest_to_finish = std::min(found->fewest_to_finish, needs);
      continue;
    }
    found->most_to_finish = std::max(found->most_to_finish, needs);
    found->num_ids += node.end_id - node.first_id;
    for (uint32_t t = node.first_id; t < node.end_id; ++t) Set(trie.ids[t], mask);
  }
}

void Constraint::AddNamed(Id id, int32_t limit, Allowed* found) {
  const absl::Span<const uint64_t> all = vocabulary_->token_mask();
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const Id to = configurations_.NextOnToken(id, static_cast<int>(i));
    if (to == Configurations::kDead) continue;
    const int32_t needs = TokensToFinish(to);
    if (needs > limit) {
      found->fewest_to_finish = std::min(found->fewest_to_finish, needs);
      continue;
    }
    found->most_to_finish = std::max(found->most_to_finish, needs);
    if (!tokens_[i].negated) {
      Set(tokens_[i].id, absl::MakeSpan(found->words));
      continue;
    }
    const bool had = Allows(found->words, tokens_[i].id);
    for (size_t w = 0; w < all.size(); ++w) found->words[w] |= all[w];
    if (!had) found->words[tokens_[i].id / 64] &= ~(uint64_t{1} << (tokens_[i].id % 64));
  }
  found->num_ids = 0;
  for (const uint64_t word : found->words) found->num_ids += __builtin_popcountll(word);
}

Constraint::Id Constraint::AfterToken(Id id, int32_t token) {
  const absl::Span<const uint8_t> bytes = vocabulary_->bytes(token);
  Id at = bytes.empty() ? Configurations::kDead : id;
  for (const uint8_t byte : bytes) at = configurations_.Next(at, byte);
  for (size_t i = 0; i < tokens_.size(); ++i) {
    const bool is_named = tokens_[i].negated
                              ? token != tokens_[i].id && Allows(vocabulary_->token_mask(), token)
                              : token == tokens_[i].id;
    if (is_named)
      at = configurations_.Union(at, configurations_.NextOnToken(id, static_cast<int>(i)));
  }
  return at;
}

absl::StatusOr<Constraint::Allowed> Constraint::FindAllowed(Id id, int32_t limit) {
  const Vocabulary& v = *vocabulary_;
  Allowed found;
  found.words.resize(v.num_words());
  const PlainLevels levels = PlainLevelsOf(id);  // a copy, as walking may find more of them
  int whole = std::min(
      levels.all, Vocabulary::kMaxPlain);  // plain tokens of up to this many characters all fit
  while (whole > 0 && levels.most_to_finish[whole - 1] > limit) --whole;
  if (whole > 0) {
    const absl::Span<const uint64_t> plain = v.plain_mask(whole);
    for (size_t w = 0; w < plain.size(); ++w) {
      found.words[w] |= plain[w];
      found.num_ids += __builtin_popcountll(plain[w]);
    }
    found.most_to_finish = levels.most_to_finish[whole - 1];
  }
  for (int n = whole + 1; n <= levels.any; ++n) {
    if (levels.fewest_to_finish[n - 1] > limit) {
      found.fewest_to_finish = std::min(found.fewest_to_finish, levels.fewest_to_finish[n - 1]);
    } else {
      Walk(v.plain(n), id, limit, &found);
    }
  }
  Walk(v.others(), id, limit, &found);
  if (!tokens_.empty()) AddNamed(id, limit, &found);
  SLUICE_RETURN_IF_ERROR(TakeError());
  return found;
}

absl::StatusOr<const Constraint::Allowed*> Constraint::AllowedAt(Id id) {
  if (allowed_.size() <= id) allowed_.resize(id + 1);
  if (allowed_[id] == nullptr) {
    // Tokens that no number of tokens could finish are left out.
    SLUICE_ASSIGN_OR_RETURN(Allowed found, FindAllowed(id, Automaton::kNever - 1));
    if (found.num_ids < static_cast<int64_t>(kListedIds)) {
      for (size_t w = 0; w < found.words.size(); ++w) {
        for (uint64_t bits = found.words[w]; bits != 0; bits &= bits - 1) {
          found.ids.push_back(static_cast<int32_t>(64 * w) + __builtin_ctzll(bits));
        }
      }
      std::vector<uint64_t>().swap(found.words);
    }
    cached_bytes_ += static_cast<int64_t>(sizeof(Allowed) + 4 * found.ids.capacity() +
                                          8 * found.words.capacity());
    allowed_[id] = std::make_unique<Allowed>(std::move(found));
  }
  return allowed_[id].get();
}

Matcher::Matcher(std::shared_ptr<Constraint> constraint) : constraint_(std::move(constraint)) {
  at_ = constraint_->live_.insert(constraint_->live_.end(), constraint_->configurations_.start());
}

Matcher::Matcher(const Matcher& other) : constraint_(other.constraint_), ended_(other.ended_) {
  at_ = constraint_->live_.insert(constraint_->live_.end(), *other.at_);
}

Matcher::Matcher(Matcher&& other) noexcept
    : constraint_(std::move(other.constraint_)), at_(other.at_), ended_(other.ended_) {}

Matcher::~Matcher() {
  if (constraint_ != nullptr) constraint_->live_.erase(at_);
}

absl::Status Matcher::Mask(int64_t tokens_left, TokenMask* mask) {
  Constraint& c = *constraint_;
  c.ForgetIfLarge();
  c.configurations_.StartCounting();
  mask->assign(c.vocabulary().num_words(), 0);
  if (ended_) return absl::FailedPreconditionError("the text has ended: no token can follow");
  SLUICE_ASSIGN_OR_RETURN(const Constraint::Allowed* const allowed, c.AllowedAt(*at_));
  int64_t num_ids = allowed->num_ids;
  const int64_t limit = tokens_left < 0 ? Automaton::kNever - 1 : tokens_left - 1;
  const bool ends = can_end() && !c.vocabulary().end_ids().empty();
  if (num_ids > 0 && allowed->most_to_finish <= limit) {
    if (!allowed->words.empty()) *mask = allowed->words;
    for (const int32_t id : allowed->ids) Set(id, absl::MakeSpan(*mask));
  } else {
    SLUICE_ASSIGN_OR_RETURN(Constraint::Allowed few,
                            c.FindAllowed(*at_, static_cast<int32_t>(limit)));
    // The limit does not suffice, as far as is known; the tokens that need the fewest may still do.
    for (int32_t more = 0; few.num_ids == 0 && !ends && more < Automaton::kNever;) {
      more = few.fewest_to_finish;
      SLUICE_ASSIGN_OR_RETURN(few, c.FindAllowed(*at_, more));
    }
    num_ids = few.num_ids;
    *mask = std::move(few.words);
  }
  if (ends) {
    for (const int32_t id : c.vocabulary().end_ids()) Set(id, absl::MakeSpan(*mask));
  } else if (num_ids == 0) {
    return absl::FailedPreconditionError("grammar: no token of the vocabulary can come next");
  }
  return absl::OkStatus();
}

absl::Status Matcher::Accept(int32_t token) {
  Constraint& c = *constraint_;
  const auto refuse = [&] {
    return absl::InvalidArgumentError(absl::StrCat("token ", token, " does not fit the grammar"));
  };
  if (ended_) return refuse();
  if (token < 0 || token >= c.vocabulary().num_ids()) return refuse();
  if (c.vocabulary().is_end(token)) {
    if (!can_end()) return refuse();
    ended_ = true;
    return absl::OkStatus();
  }
  c.configurations_.StartCounting();
  const Constraint::Id at = c.AfterToken(*at_, token);
  SLUICE_RETURN_IF_ERROR(c.TakeError());
  if (at == Configurations::kDead) return refuse();
  *at_ = at;
  return absl::OkStatus();
}

}  // namespace sluice::grammar
