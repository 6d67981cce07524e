// Filters that order, cut, join and look at sequences.
#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/sorting.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

Value Generator(Runtime& runtime, std::vector<Value> items) {
  return Value::OfObject(
      std::make_shared<GeneratorObject>(std::move(items), absl::OkStatus(), runtime.memory()));
}

// Returns text in lower case if case does not matter, anything else as it is.
Value IgnoreCase(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  return runtime.String(ToLower(value.text()));
}

absl::StatusOr<Value> Default(Invocation& call) {
  const bool boolean = call.Bool(1, false);
  bool replaced = call.self.is_undefined();
  if (boolean && !replaced) {
    replaced = !IsTrue(call.self);
  }
  if (!replaced) return call.self;
  return call.Has(0) ? call.args[0] : call.runtime.String("");
}

absl::StatusOr<Value> Count(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t length, Length(call.self));
  return Value::Int(length);
}

absl::StatusOr<Value> First(Invocation& call) {
  if (call.self.is_object()) {
    if (auto* const generator = dynamic_cast<GeneratorObject*>(&call.self.object())) {
      JINJA_ASSIGN_OR_RETURN(Value item, generator->Next());
      if (!item.is_missing()) return item;
      return Value::Undefined("No first item, sequence was empty.");
    }
  }
  if (call.self.is_string() && call.self.string().length > 0) {
    return GetItem(call.runtime, call.self, Value::Int(0));
  }
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  if (items.empty()) return Value::Undefined("No first item, sequence was empty.");
  return items.front();
}

bool IsReversible(const Value& value) {
  return !value.is_object() || value.object().Length().has_value();
}

absl::StatusOr<Value> Last(Invocation& call) {
  if (!IsReversible(call.self) || call.self.is_undefined()) {
    return Error("'", TypeName(call.self), "' object is not reversible");
  }
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  if (items.empty()) return Value::Undefined("No last item, sequence was empty.");
  return items.back();
}

absl::StatusOr<Value> Reverse(Invocation& call) {
  if (call.self.is_string()) {
    return GetSlice(call.runtime, call.self, Value(), Value(), Value::Int(-1));
  }
  JINJA_ASSIGN_OR_RETURN(std::vector<Value> items, Items(call.runtime, call.self));
  std::reverse(items.begin(), items.end());
  if (!IsReversible(call.self) || call.self.is_undefined()) {
    return call.runtime.List(std::move(items));
  }
  return Generator(call.runtime, std::move(items));
}

absl::StatusOr<Value> Join(Invocation& call) {
  std::string separator;
  if (call.Has(0)) {
    JINJA_ASSIGN_OR_RETURN(separator, Str(call.runtime, call.args[0]));
  }
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    JINJA_ASSIGN_OR_RETURN(const Value item, GetPath(call.runtime, items[i], call.args[1]));
    JINJA_ASSIGN_OR_RETURN(const std::string text, Str(call.runtime, item));
    JINJA_RETURN_IF_ERROR(
        call.runtime.Step(1 + static_cast<int64_t>(text.size() + separator.size()) / 64));
    JINJA_RETURN_IF_ERROR(
        call.runtime.CheckRoom(static_cast<int64_t>(out.size() + text.size() + separator.size())));
    absl::StrAppend(&out, i == 0 ? "" : separator, text);
  }
  return call.runtime.String(std::move(out));
}

absl::StatusOr<Value> ToList(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(std::vector<Value> items, Items(call.runtime, call.self));
  return call.runtime.List(std::move(items));
}

absl::StatusOr<Value> DictItems(Invocation& call) {
  if (call.self.is_undefined()) return Generator(call.runtime, {});
  if (!call.self.is_dict()) return Error("Can only get item pairs from a mapping.");
  ViewObject view(call.self, ViewObject::Part::kItems);
  JINJA_ASSIGN_OR_RETURN(std::vector<Value> items, view.Items(call.runtime));
  return Generator(call.runtime, std::move(items));
}

absl::StatusOr<Value> Unkeyed(Runtime& runtime, std::vector<Keyed> sorted) {
  std::vector<Value> items;
  items.reserve(sorted.size());
  for (Keyed& keyed : sorted) items.push_back(std::move(keyed.second));
  return runtime.List(std::move(items));
}

absl::StatusOr<Value> DictSort(Invocation& call) {
  const bool case_sensitive = call.Bool(0, false);
  JINJA_ASSIGN_OR_RETURN(const std::string by, call.Text(1, "key"));
  const bool reverse = call.Bool(2, false);
  if (by != "key" && by != "value") {
    return Error("You can only sort by either \"key\" or \"value\"");
  }
  if (call.self.is_undefined()) return Error(call.self.undefined().message);
  if (!call.self.is_dict()) {
    return Error("dictsort wants a mapping, not '", TypeName(call.self), "'");
  }
  std::vector<Keyed> keyed;
  for (const auto& [key, value] : call.self.dict().entries()) {
    keyed.emplace_back(IgnoreCase(call.runtime, by == "key" ? key : value, case_sensitive),
                       call.runtime.Tuple({key, value}));
  }
  JINJA_RETURN_IF_ERROR(SortByKey(call.runtime, &keyed, reverse));
  return Unkeyed(call.runtime, std::move(keyed));
}

// Returns the items with the values at `path` as their keys. With `several`, the key is a list of
// the values at each of the paths, which have commas between them; equal ones then need no order.
absl::StatusOr<std::vector<Keyed>> KeyedItems(Invocation& call, const Value& path,
                                              bool case_sensitive, bool several) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  std::vector<Value> paths = {path};
  if (several && path.is_string()) {
    paths.clear();
    absl::string_view rest = path.text();
    for (size_t comma = 0; comma != absl::string_view::npos;) {
      comma = rest.find(',');
      paths.push_back(call.runtime.String(std::string(rest.substr(0, comma))));
      if (comma != absl::string_view::npos) rest.remove_prefix(comma + 1);
    }
  }
  std::vector<Keyed> keyed;
  for (const Value& item : items) {
    std::vector<Value> keys;
    for (const Value& one : paths) {
      JINJA_ASSIGN_OR_RETURN(const Value key, GetPath(call.runtime, item, one));
      keys.push_back(IgnoreCase(call.runtime, key, case_sensitive));
    }
    Value key = several ? call.runtime.List(std::move(keys)) : keys[0];
    keyed.emplace_back(std::move(key), item);
  }
  return keyed;
}

absl::StatusOr<Value> Sort(Invocation& call) {
  const bool reverse = call.Bool(0, false);
  const bool case_sensitive = call.Bool(1, false);
  JINJA_ASSIGN_OR_RETURN(std::vector<Keyed> keyed,
                         KeyedItems(call, call.args[2], case_sensitive, /*several=*/true));
  JINJA_RETURN_IF_ERROR(SortByKey(call.runtime, &keyed, reverse));
  return Unkeyed(call.runtime, std::move(keyed));
}

absl::StatusOr<Value> Unique(Invocation& call) {
  const bool case_sensitive = call.Bool(0, false);
  JINJA_ASSIGN_OR_RETURN(const std::vector<Keyed> keyed,
                         KeyedItems(call, call.args[1], case_sensitive, /*several=*/false));
  std::vector<Value> items, others;  // `others` are keys that a dict cannot have
  std::vector<DictData::Entry> entries;
  for (const auto& [key, item] : keyed) {
    if (key.is_list() || key.is_dict()) return Error("unhashable type: '", TypeName(key), "'");
    if (DictData::CanBeKey(key)) entries.emplace_back(key, Value::Bool(false));
  }
  const Value all = Value::Dict(std::move(entries), call.runtime.memory());
  for (const auto& [key, item] : keyed) {
    bool seen = false;
    if (const Value* const known = all.dict().Find(key)) {
      // The dict is this function's own: its values note which keys have come.
      seen = known->as_bool();
      *const_cast<Value*>(known) = Value::Bool(true);
    } else {
      for (const Value& other : others) {
        JINJA_ASSIGN_OR_RETURN(seen, Equal(call.runtime, other, key));
        if (seen) break;
      }
      if (!seen) others.push_back(key);
    }
    if (!seen) items.push_back(item);
  }
  return Generator(call.runtime, std::move(items));
}

template <bool largest>
absl::StatusOr<Value> Extreme(Invocation& call) {
  const bool case_sensitive = call.Bool(0, false);
  JINJA_ASSIGN_OR_RETURN(const std::vector<Keyed> keyed,
                         KeyedItems(call, call.args[1], case_sensitive, /*several=*/false));
  if (keyed.empty()) return Value::Undefined("No aggregated item, sequence was empty.");
  const Keyed* best = &keyed[0];
  for (const Keyed& candidate : keyed) {
    if (&candidate == best) continue;
    JINJA_ASSIGN_OR_RETURN(const bool better,
                           largest ? Less(call.runtime, best->first, candidate.first)
                                   : Less(call.runtime, candidate.first, best->first));
    if (better) best = &candidate;
  }
  return best->second;
}

absl::StatusOr<Value> GroupBy(Invocation& call) {
  const bool case_sensitive = call.Bool(2, false);
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  std::vector<Keyed> keyed;
  std::vector<Value> groups;
  const auto key_of = [&](const Value& item) -> absl::StatusOr<Value> {
    JINJA_ASSIGN_OR_RETURN(Value key, GetPath(call.runtime, item, call.args[0]));
    return key.is_undefined() && call.Has(1) && !call.args[1].is_none() ? call.args[1] : key;
  };
  for (const Value& item : items) {
    JINJA_ASSIGN_OR_RETURN(const Value key, key_of(item));
    keyed.emplace_back(IgnoreCase(call.runtime, key, case_sensitive), item);
  }
  JINJA_RETURN_IF_ERROR(SortByKey(call.runtime, &keyed, false));
  for (size_t i = 0; i < keyed.size();) {
    std::vector<Value> group;
    const size_t first = i;
    for (bool same = true; same;) {
      group.push_back(keyed[i++].second);
      if (i == keyed.size()) break;
      JINJA_ASSIGN_OR_RETURN(same, Equal(call.runtime, keyed[first].first, keyed[i].first));
    }
    JINJA_ASSIGN_OR_RETURN(Value key, key_of(keyed[first].second));
    groups.push_back(
        Value::Group(std::move(key), call.runtime.List(std::move(group)), call.runtime.memory()));
  }
  return call.runtime.List(std::move(groups));
}

absl::StatusOr<Value> Batch(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  JINJA_ASSIGN_OR_RETURN(const int64_t size, call.Int(0, 0));
  const bool fills = call.Has(1) && !call.args[1].is_none();
  std::vector<Value> batches, batch;
  const auto flush = [&] {
    batches.push_back(call.runtime.List(std::move(batch)));
    batch.clear();
  };
  for (const Value& item : items) {
    if (static_cast<int64_t>(batch.size()) == size) flush();
    batch.push_back(item);
  }
  if (!batch.empty()) {
    const int64_t missing = size - static_cast<int64_t>(batch.size());
    if (fills && missing > 0) {
      JINJA_RETURN_IF_ERROR(call.runtime.CheckRoom(std::min(missing, INT64_MAX / 64) * 32));
      JINJA_RETURN_IF_ERROR(call.runtime.Step(missing));
      batch.insert(batch.end(), static_cast<size_t>(missing), call.args[1]);
    }
    flush();
  }
  return Generator(call.runtime, std::move(batches));
}

absl::StatusOr<Value> Slice(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(call.runtime, call.self));
  JINJA_ASSIGN_OR_RETURN(const int64_t count, call.Int(0, 0));
  if (count == 0) return Error("integer division or modulo by zero");
  JINJA_RETURN_IF_ERROR(call.runtime.CheckRoom(std::min(count, INT64_MAX / 128) * 128));
  JINJA_RETURN_IF_ERROR(call.runtime.Step(std::max<int64_t>(count, 0)));
  const bool fills = call.Has(1) && !call.args[1].is_none();
  const int64_t size = static_cast<int64_t>(items.size());
  std::vector<Value> slices;
  auto next = items.begin();
  for (int64_t i = 0; i < count; ++i) {
    const bool is_longer = i < size % count;
    const auto end = next + size / count + is_longer;
    std::vector<Value> slice(next, end);
    if (fills && !is_longer) slice.push_back(call.args[1]);
    slices.push_back(call.runtime.List(std::move(slice)));
    next = end;
  }
  return Generator(call.runtime, std::move(slices));
}

constexpr Builtin kSequenceFilters[] = {
    {"batch", "linecount fill_with?", &Batch},
    {"count", "/", &Count},
    {"d", "default_value? boolean?", &Default},
    {"default", "default_value? boolean?", &Default},
    {"dictsort", "case_sensitive? by? reverse?", &DictSort},
    {"first", "", &First},
    {"groupby", "attribute default? case_sensitive?", &GroupBy},
    {"items", "", &DictItems},
    {"join", "d? attribute?", &Join},
    {"last", "", &Last},
    {"length", "/", &Count},
    {"list", "", &ToList},
    {"max", "case_sensitive? attribute?", &Extreme<true>},
    {"min", "case_sensitive? attribute?", &Extreme<false>},
    {"reverse", "", &Reverse},
    {"slice", "slices fill_with?", &Slice},
    {"sort", "reverse? case_sensitive? attribute?", &Sort},
    {"unique", "case_sensitive? attribute?", &Unique},
};

}  // namespace

absl::Span<const Builtin> SequenceFilters() { return kSequenceFilters; }

}  // namespace sluice::jinja
