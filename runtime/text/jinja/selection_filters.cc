// map, select and their kin, which apply other filters and tests; attr.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/builtin.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"

namespace sluice::jinja {
namespace {

// The arguments behind the first `taken` positional ones.
CallArguments Rest(const CallArguments& given, size_t taken) {
  CallArguments rest = given;
  rest.positional.erase(rest.positional.begin(),
                        rest.positional.begin() + static_cast<int64_t>(taken));
  return rest;
}

absl::StatusOr<std::string> NameAt(const CallArguments& given, size_t i, absl::string_view what) {
  if (!given.positional[i].is_string()) {
    return Error("the name of a ", what, " is text, not '", TypeName(given.positional[i]), "'");
  }
  return given.positional[i].text();
}

// Makes a generator of the results of `each` for the items, up to the first error. A value that is
// false, such as None, has no items.
template <typename Each>
absl::StatusOr<Value> Generate(Invocation& call, Each each) {
  std::vector<Value> items, made;
  if (IsTrue(call.self)) {
    JINJA_ASSIGN_OR_RETURN(items, Items(call.runtime, call.self));
  }
  absl::Status status;
  for (const Value& item : items) {
    status = each(item, &made);
    if (absl::IsResourceExhausted(status)) return status;
    if (!status.ok()) break;
  }
  return Value::OfObject(
      std::make_shared<GeneratorObject>(std::move(made), std::move(status), call.runtime.memory()));
}

absl::StatusOr<Value> MapAttribute(Invocation& call) {
  Value path, otherwise;
  for (const auto& [name, value] : call.given.named) {
    if (name == "attribute") {
      path = value;
    } else if (name == "default") {
      otherwise = value.is_none() ? Value() : value;
    } else {
      return Error("Unexpected keyword argument '", name, "'");
    }
  }
  return Generate(call, [&](const Value& item, std::vector<Value>* made) -> absl::Status {
    JINJA_ASSIGN_OR_RETURN(Value found, GetPath(call.runtime, item, path));
    if (found.is_undefined() && !otherwise.is_missing()) found = otherwise;
    made->push_back(std::move(found));
    return absl::OkStatus();
  });
}

absl::StatusOr<Value> Map(Invocation& call) {
  if (call.given.positional.empty()) {
    for (const auto& [name, value] : call.given.named) {
      if (name == "attribute") return MapAttribute(call);
    }
    return Error("map requires a filter argument");
  }
  JINJA_ASSIGN_OR_RETURN(const std::string name, NameAt(call.given, 0, "filter"));
  const Builtin* const filter = FindFilter(name);
  if (filter == nullptr) return Error("there is no filter named '", name, "'");
  const CallArguments arguments = Rest(call.given, 1);
  return Generate(call, [&](const Value& item, std::vector<Value>* made) -> absl::Status {
    JINJA_ASSIGN_OR_RETURN(Value value, Invoke(call.runtime, *filter, item, arguments));
    made->push_back(std::move(value));
    return absl::OkStatus();
  });
}

template <bool wanted, bool by_attribute>
absl::StatusOr<Value> Select(Invocation& call) {
  const CallArguments& given = call.given;
  Value path;
  if (by_attribute) {
    if (given.positional.empty()) return Error("Missing parameter for attribute name");
    path = given.positional[0];
  }
  const size_t at = by_attribute ? 1 : 0;
  const Builtin* test = nullptr;
  if (given.positional.size() > at) {
    JINJA_ASSIGN_OR_RETURN(const std::string name, NameAt(given, at, "test"));
    test = FindTest(name);
    if (test == nullptr) return Error("there is no test named '", name, "'");
  }
  const CallArguments arguments = test == nullptr ? CallArguments() : Rest(given, at + 1);
  return Generate(call, [&](const Value& item, std::vector<Value>* made) -> absl::Status {
    Value value = item;
    if (by_attribute) {
      JINJA_ASSIGN_OR_RETURN(value, GetPath(call.runtime, item, path));
    }
    if (test != nullptr) {
      JINJA_ASSIGN_OR_RETURN(value, Invoke(call.runtime, *test, value, arguments));
    }
    if (IsTrue(value) == wanted) made->push_back(item);
    return absl::OkStatus();
  });
}

absl::StatusOr<Value> Attribute(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string name, call.Text(0, ""));
  JINJA_ASSIGN_OR_RETURN(Value found, GetOwnAttribute(call.runtime, call.self, name));
  if (!found.is_missing()) return found;
  return Value::Undefined(
      absl::StrCat("'", TypeName(call.self), " object' has no attribute ", ReprOfText(name)));
}

constexpr Builtin kSelectionFilters[] = {
    {"attr", "name", &Attribute},           {"map", "*", &Map},
    {"reject", "*", &Select<false, false>}, {"rejectattr", "*", &Select<false, true>},
    {"select", "*", &Select<true, false>},  {"selectattr", "*", &Select<true, true>},
};

}  // namespace

absl::Span<const Builtin> SelectionFilters() { return kSelectionFilters; }

}  // namespace sluice::jinja
