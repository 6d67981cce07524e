// The functions that every template can call.
#include <cstdint>
#include <memory>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/access.h"
#include "runtime/text/jinja/objects.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/strftime.h"

namespace sluice::jinja {
namespace {

constexpr int64_t kLongestRange = 100000;  // as in Jinja's sandbox

// cycler(...): its items one after the other, again and again. Belongs to the Runtime.
class CyclerObject : public Object {
 public:
  CyclerObject(Value items, Memory* memory)
      : Object(memory, 128, items.depth()), items_(std::move(items)) {}
  absl::string_view type_name() const override { return "Cycler"; }
  absl::StatusOr<std::string> Repr(Runtime&) override { return std::string("<Cycler object>"); }
  absl::StatusOr<Value> Attribute(Runtime&, absl::string_view name) override;

  Value Current() const { return items_.items()[at_]; }
  Value Next() {
    Value item = Current();
    at_ = (at_ + 1) % items_.items().size();
    return item;
  }
  void Reset() { at_ = 0; }

 private:
  const Value items_;
  size_t at_ = 0;
};

absl::StatusOr<Value> CyclerNext(Invocation& call) {
  return static_cast<CyclerObject&>(call.self.object()).Next();
}

absl::StatusOr<Value> CyclerReset(Invocation& call) {
  static_cast<CyclerObject&>(call.self.object()).Reset();
  return Value::None();
}

constexpr Builtin kCyclerMethods[] = {{"next", "", &CyclerNext}, {"reset", "", &CyclerReset}};

absl::StatusOr<Value> CyclerObject::Attribute(Runtime&, absl::string_view name) {
  if (name == "current") return Current();
  if (name == "items") return items_;
  if (name == "pos") return Value::Int(static_cast<int64_t>(at_));
  const Builtin* const method = FindBuiltin(kCyclerMethods, name);
  if (method == nullptr) return Value();
  return Value::OfObject(std::make_shared<MethodObject>(Value::OfObject(this), method));
}

// joiner(text): nothing when it is first called, the text from then on.
class JoinerObject : public Object {
 public:
  JoinerObject(Value text, Memory* memory) : Object(memory, 128, 1), text_(std::move(text)) {}
  absl::string_view type_name() const override { return "Joiner"; }
  absl::StatusOr<std::string> Repr(Runtime&) override { return std::string("<Joiner object>"); }
  bool IsCallable() const override { return true; }
  absl::StatusOr<Value> Call(Runtime& runtime, const CallArguments& arguments) override {
    if (!arguments.positional.empty() || !arguments.named.empty()) {
      return Error("a joiner takes no arguments");
    }
    if (std::exchange(used_, true)) return text_;
    return runtime.String("");
  }

 private:
  const Value text_;
  bool used_ = false;
};

absl::StatusOr<Value> Range(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const int64_t first, call.Int(0, 0));
  JINJA_ASSIGN_OR_RETURN(const int64_t second, call.Int(1, 0));
  JINJA_ASSIGN_OR_RETURN(const int64_t step, call.Int(2, 1));
  if (step == 0) return Error("range() arg 3 must not be zero");
  const int64_t start = call.Has(1) ? first : 0, stop = call.Has(1) ? second : first;
  const __int128 span =
      step > 0 ? static_cast<__int128>(stop) - start : static_cast<__int128>(start) - stop;
  const __int128 stride = step > 0 ? step : -static_cast<__int128>(step);
  const __int128 count = span <= 0 ? 0 : (span - 1) / stride + 1;
  if (count > kLongestRange) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the range has more than ", kLongestRange, " items"));
  }
  return Value::OfObject(
      std::make_shared<RangeObject>(start, stop, step, static_cast<int64_t>(count)));
}

// The entries that dict(...) and namespace(...) are called with.
absl::StatusOr<std::vector<DictData::Entry>> Entries(Invocation& call, absl::string_view function) {
  std::vector<DictData::Entry> entries;
  if (call.given.positional.size() > 1) {
    return Error(function, "() takes at most one positional argument");
  }
  if (!call.given.positional.empty()) {
    const Value& given = call.given.positional[0];
    if (given.is_dict()) {
      entries = given.dict().entries();
    } else {
      JINJA_ASSIGN_OR_RETURN(const std::vector<Value> pairs, Items(call.runtime, given));
      for (const Value& pair : pairs) {
        JINJA_ASSIGN_OR_RETURN(std::vector<Value> parts, Items(call.runtime, pair));
        if (parts.size() != 2) return Error(function, "() wants pairs of a key and a value");
        if (!DictData::CanBeKey(parts[0])) {
          return Error("a value of type '", TypeName(parts[0]), "' cannot be the key of a dict");
        }
        entries.emplace_back(std::move(parts[0]), std::move(parts[1]));
      }
    }
  }
  for (const auto& [name, value] : call.given.named) {
    entries.emplace_back(call.runtime.String(name), value);
  }
  return entries;
}

absl::StatusOr<Value> Dict(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(std::vector<DictData::Entry> entries, Entries(call, "dict"));
  return Value::Dict(std::move(entries), call.runtime.memory());
}

absl::StatusOr<Value> Namespace(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::vector<DictData::Entry> entries, Entries(call, "namespace"));
  auto space = std::make_unique<NamespaceObject>(call.runtime.memory());
  for (const auto& [name, value] : entries) {
    if (!name.is_string()) return Error("the attributes of a namespace have names");
    JINJA_RETURN_IF_ERROR(space->Set(name.text(), value));
  }
  return call.runtime.Own(std::move(space));
}

absl::StatusOr<Value> Cycler(Invocation& call) {
  if (call.given.positional.empty()) return Error("at least one item has to be provided");
  return call.runtime.Own(std::make_unique<CyclerObject>(call.runtime.Tuple(call.given.positional),
                                                         call.runtime.memory()));
}

absl::StatusOr<Value> Joiner(Invocation& call) {
  Value text = call.Has(0) ? call.args[0] : call.runtime.String(", ");
  return call.runtime.Own(std::make_unique<JoinerObject>(std::move(text), call.runtime.memory()));
}

absl::StatusOr<Value> RaiseException(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string message, Str(call.runtime, call.args[0]));
  return Error(message);
}

absl::StatusOr<Value> StrftimeNow(Invocation& call) {
  JINJA_ASSIGN_OR_RETURN(const std::string format, call.Text(0, ""));
  JINJA_ASSIGN_OR_RETURN(std::string text, FormatTime(call.runtime.now(), format));
  return call.runtime.String(std::move(text));
}

constexpr Builtin kGlobals[] = {
    {"range", "/start stop? step?", &Range},
    {"dict", "*", &Dict},
    {"namespace", "*", &Namespace},
    {"cycler", "*", &Cycler},
    {"joiner", "sep?", &Joiner},
    {"raise_exception", "message", &RaiseException},
    {"strftime_now", "format", &StrftimeNow},
};

}  // namespace

Value FindGlobal(absl::string_view name) {
  const Builtin* const function = FindBuiltin(kGlobals, name);
  if (function == nullptr) return Value();
  return Value::OfObject(std::make_shared<FunctionObject>(function));
}

}  // namespace sluice::jinja
