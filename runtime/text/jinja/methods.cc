// Methods of lists, tuples and dicts, those that change nothing.
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

absl::StatusOr<Value> CountItems(Invocation& call) {
  int64_t count = 0;
  for (const Value& item : call.self.items()) {
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(call.runtime, item, call.args[0]));
    count += equal;
  }
  return Value::Int(count);
}

absl::StatusOr<Value> IndexOf(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(int64_t begin, call.Int(1, 0));
  JINJA_ASSIGN_OR_RETURN(int64_t end, call.Int(2, INT64_MAX));
  const std::vector<Value>& items = call.self.items();
  const int64_t size = static_cast<int64_t>(items.size());
  if (begin < 0) begin = std::max<int64_t>(begin + size, 0);
  if (end < 0) end += size;
  for (int64_t i = begin; i < std::min(end, size); ++i) {
    JINJA_ASSIGN_OR_RETURN(const bool equal,
                           Equal(call.runtime, items[static_cast<size_t>(i)], call.args[0]));
    if (equal) return Value::Int(i);
  }
  return Error("the value is not in the ", TypeName(call.self));
}

absl::StatusOr<Value> Copy(Invocation& call) { return call.self; }

absl::StatusOr<Value> Get(Invocation& call) {
  const Value& key = call.args[0];
  if (key.is_list() || key.is_dict()) return Error("unhashable type: '", TypeName(key), "'");
  const Value* const found = call.self.dict().Find(key);
  if (found != nullptr) return *found;
  return call.Has(1) ? call.args[1] : Value::None();
}

template <ViewObject::Part part>
absl::StatusOr<Value> View(Invocation& call) {
  return Value::OfObject(std::make_shared<ViewObject>(call.self, part));
}

constexpr Builtin kListMethods[] = {
    {"copy", "/", &Copy},
    {"count", "/value", &CountItems},
    {"index", "/value start? stop?", &IndexOf},
};

constexpr Builtin kDictMethods[] = {
    {"copy", "/", &Copy},
    {"get", "/key default?", &Get},
    {"items", "/", &View<ViewObject::Part::kItems>},
    {"keys", "/", &View<ViewObject::Part::kKeys>},
    {"values", "/", &View<ViewObject::Part::kValues>},
};

}  // namespace

absl::Span<const Builtin> CollectionMethods(Kind kind) {
  if (kind == Kind::kDict) return kDictMethods;
  const absl::Span<const Builtin> of_lists = kListMethods;
  return kind == Kind::kList ? of_lists : of_lists.subspan(1);
}

}  // namespace sluice::jinja
