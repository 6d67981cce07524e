// Truth, equality, order, membership and iteration; arithmetic.cc has the rest.
#include "runtime/text/jinja/operators.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/match.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

constexpr const char* kComparisons[] = {"==", "!=", "<", "<=", ">", ">=", "in", "not in"};

// Returns -1, 0 or 1; 2 if one is no number (NaN). Exact for integers that no double holds.
int CompareNumbers(const Value& a, const Value& b) {
  if (a.is_integral() && b.is_integral()) {
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int();
  }
  if (a.is_integral()) {
    const int reversed = CompareNumbers(b, a);
    return reversed == 2 ? 2 : -reversed;
  }
  const double x = a.as_double();
  if (std::isnan(x) || (b.is_float() && std::isnan(b.as_double()))) return 2;
  if (b.is_float()) return x < b.as_double() ? -1 : x > b.as_double();
  if (x >= 0x1p63) return 1;
  if (x < -0x1p63) return -1;
  const int64_t whole = static_cast<int64_t>(std::floor(x));
  if (whole != b.as_int()) return whole < b.as_int() ? -1 : 1;
  return x > std::floor(x);
}

absl::StatusOr<bool> EqualItems(Runtime& runtime, const std::vector<Value>& a,
                                const std::vector<Value>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a[i], b[i]));
    if (!equal) return false;
  }
  return true;
}

absl::StatusOr<bool> EqualDicts(Runtime& runtime, const DictData& a, const DictData& b) {
  if (a.entries().size() != b.entries().size()) return false;
  for (const auto& [key, value] : a.entries()) {
    const Value* const other = b.Find(key);
    if (other == nullptr) return false;
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, value, *other));
    if (!equal) return false;
  }
  return true;
}

// Both lists or both tuples: the first pair that differs decides.
absl::StatusOr<bool> LessItems(Runtime& runtime, const std::vector<Value>& a,
                               const std::vector<Value>& b) {
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a[i], b[i]));
    if (!equal) return Less(runtime, a[i], b[i]);
  }
  return a.size() < b.size();
}

bool HaveOrder(const Value& a, const Value& b) {
  return (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) ||
         (a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple());
}

absl::Status CheckOrder(CompareOperator op, const Value& a, const Value& b) {
  if (a.is_undefined()) return Error(a.undefined().message);
  if (b.is_undefined()) return Error(b.undefined().message);
  if (HaveOrder(a, b)) return absl::OkStatus();
  return Error("'", kComparisons[static_cast<int>(op)], "' not supported between instances of '",
               TypeName(a), "' and '", TypeName(b), "'");
}

// a < b, or with `or_equal` a <= b.
absl::StatusOr<bool> InOrder(Runtime& runtime, const Value& a, const Value& b, bool or_equal) {
  if (a.is_number()) {
    const int order = CompareNumbers(a, b);
    return order == -1 || (or_equal && order == 0);
  }
  if (or_equal) {
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a, b));
    if (equal) return true;
  }
  return Less(runtime, a, b);
}

}  // namespace

bool IsTrue(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kNone:
      return false;
    case Kind::kUndefined:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.text().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.items().empty();
    case Kind::kDict:
      return !value.dict().entries().empty();
    case Kind::kObject:
      return value.object().IsTrue();
  }
  return false;
}

absl::StatusOr<bool> Equal(Runtime& runtime, const Value& a, const Value& b) {
  JINJA_RETURN_IF_ERROR(runtime.Step(std::min(a.Size(), b.Size())));
  const DepthGuard deeper(runtime);
  JINJA_RETURN_IF_ERROR(deeper.status());
  if (a.is_number() && b.is_number()) return CompareNumbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kString:
      return a.text() == b.text();
    case Kind::kList:
    case Kind::kTuple:
      return EqualItems(runtime, a.items(), b.items());
    case Kind::kDict:
      return EqualDicts(runtime, a.dict(), b.dict());
    case Kind::kObject:
      return a.object().type_name() == b.object().type_name() && a.object().Equals(b.object());
    default:
      return true;
  }
}

absl::StatusOr<bool> Less(Runtime& runtime, const Value& a, const Value& b) {
  JINJA_RETURN_IF_ERROR(runtime.Step(std::min(a.Size(), b.Size())));
  const DepthGuard deeper(runtime);
  JINJA_RETURN_IF_ERROR(deeper.status());
  JINJA_RETURN_IF_ERROR(CheckOrder(CompareOperator::kLt, a, b));
  if (a.is_number()) return CompareNumbers(a, b) == -1;
  if (a.is_string()) return a.text() < b.text();  // UTF-8 sorts as its code points do
  return LessItems(runtime, a.items(), b.items());
}

absl::StatusOr<bool> Contains(Runtime& runtime, const Value& container, const Value& item) {
  if (container.is_string()) {
    if (item.is_undefined()) return Error(item.undefined().message);
    if (!item.is_string()) {
      return Error("'in <string>' requires string as left operand, not ", TypeName(item));
    }
    JINJA_RETURN_IF_ERROR(runtime.Step(container.Size()));
    return absl::StrContains(container.text(), item.text());
  }
  if (container.is_dict()) {
    if (item.is_list() || item.is_dict()) {
      return Error("unhashable type: '", TypeName(item), "'");
    }
    return container.dict().Find(item) != nullptr;
  }
  JINJA_ASSIGN_OR_RETURN(const std::vector<Value> items, Items(runtime, container));
  for (const Value& candidate : items) {
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, candidate, item));
    if (equal) return true;
  }
  return false;
}

absl::StatusOr<bool> Compare(Runtime& runtime, CompareOperator op, const Value& a, const Value& b) {
  if (op == CompareOperator::kIn) return Contains(runtime, b, a);
  if (op == CompareOperator::kNotIn) {
    JINJA_ASSIGN_OR_RETURN(const bool contains, Contains(runtime, b, a));
    return !contains;
  }
  if (op == CompareOperator::kEq) return Equal(runtime, a, b);
  if (op == CompareOperator::kNe) {
    JINJA_ASSIGN_OR_RETURN(const bool equal, Equal(runtime, a, b));
    return !equal;
  }
  JINJA_RETURN_IF_ERROR(CheckOrder(op, a, b));
  switch (op) {
    case CompareOperator::kLt:
      return InOrder(runtime, a, b, false);
    case CompareOperator::kLe:
      return InOrder(runtime, a, b, true);
    case CompareOperator::kGt:
      return InOrder(runtime, b, a, false);
    default:
      return InOrder(runtime, b, a, true);
  }
}

absl::StatusOr<int64_t> Length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return 0;
    case Kind::kString:
      return value.string().length;
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.items().size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().entries().size());
    case Kind::kObject:
      if (const auto length = value.object().Length()) return *length;
      break;
    default:
      break;
  }
  return Error("object of type '", TypeName(value), "' has no len()");
}

bool IsIterable(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
    case Kind::kString:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDict:
      return true;
    case Kind::kObject:
      return value.object().IsIterable();
    default:
      return false;
  }
}

absl::StatusOr<std::vector<Value>> Items(Runtime& runtime, const Value& value) {
  JINJA_RETURN_IF_ERROR(runtime.Step(value.Size()));
  std::vector<Value> items;
  switch (value.kind()) {
    case Kind::kUndefined:
      return items;
    case Kind::kString:
      JINJA_RETURN_IF_ERROR(runtime.Step(value.string().length));
      JINJA_RETURN_IF_ERROR(runtime.CheckRoom(value.string().length * 128));
      for (size_t at = 0; at < value.text().size();) {
        const size_t begin = at;
        NextCodePoint(value.text(), &at);
        items.push_back(runtime.String(value.text().substr(begin, at - begin), value.is_markup()));
      }
      return items;
    case Kind::kList:
    case Kind::kTuple:
      return value.items();
    case Kind::kDict:
      for (const auto& entry : value.dict().entries()) items.push_back(entry.first);
      return items;
    case Kind::kObject:
      return value.object().Items(runtime);
    default:
      return Error("'", TypeName(value), "' object is not iterable");
  }
}

}  // namespace sluice::jinja
