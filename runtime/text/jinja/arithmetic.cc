// Python's arithmetic, with integers of 64 bits and an error where one would not fit.
#include <cmath>

#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/object.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/status_macros.h"
#include "runtime/text/jinja/text.h"

namespace sluice::jinja {
namespace {

constexpr const char* kSymbols[] = {"+", "-", "*", "/", "//", "%", "** or pow()"};

absl::Status TooLarge() { return Error("an integer needs more than 64 bits"); }

absl::Status Unsupported(BinaryOperator op, const Value& a, const Value& b) {
  return Error("unsupported operand type(s) for ", kSymbols[static_cast<int>(op)], ": '",
               TypeName(a), "' and '", TypeName(b), "'");
}

// The quotient rounded down; b is not 0 and the quotient fits.
int64_t FloorDivide(int64_t a, int64_t b) {
  const int64_t quotient = a / b;
  return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

// a - floor(a / b) * b: the sign of b, exact where fmod is.
double FloorMod(double a, double b) {
  const double remainder = std::fmod(a, b);
  if (remainder == 0) return std::copysign(0.0, b);
  return (remainder < 0) != (b < 0) ? remainder + b : remainder;
}

absl::StatusOr<Value> PowInt(int64_t base, int64_t exponent) {
  int64_t result = 1;
  while (exponent > 0) {
    if ((exponent & 1) != 0 && __builtin_mul_overflow(result, base, &result)) return TooLarge();
    exponent >>= 1;
    if (exponent > 0 && __builtin_mul_overflow(base, base, &base)) return TooLarge();
  }
  return Value::Int(result);
}

absl::StatusOr<Value> ApplyInt(BinaryOperator op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case BinaryOperator::kAdd:
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case BinaryOperator::kSub:
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case BinaryOperator::kMul:
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case BinaryOperator::kDiv:
      if (b == 0) return Error("division by zero");
      return Value::Float(static_cast<double>(a) / static_cast<double>(b));
    case BinaryOperator::kFloorDiv:
    case BinaryOperator::kMod:
      if (b == 0) return Error("integer division or modulo by zero");
      overflow = a == INT64_MIN && b == -1;
      if (overflow) break;
      result = op == BinaryOperator::kMod ? a - FloorDivide(a, b) * b : FloorDivide(a, b);
      break;
    case BinaryOperator::kPow:
      if (b >= 0) return PowInt(a, b);
      if (a == 0) return Error("0.0 cannot be raised to a negative power");
      return Value::Float(std::pow(static_cast<double>(a), static_cast<double>(b)));
  }
  if (overflow) return TooLarge();
  return Value::Int(result);
}

absl::StatusOr<Value> ApplyFloat(BinaryOperator op, double a, double b) {
  switch (op) {
    case BinaryOperator::kAdd:
      return Value::Float(a + b);
    case BinaryOperator::kSub:
      return Value::Float(a - b);
    case BinaryOperator::kMul:
      return Value::Float(a * b);
    case BinaryOperator::kDiv:
      if (b == 0) return Error("float division by zero");
      return Value::Float(a / b);
    case BinaryOperator::kFloorDiv:
      if (b == 0) return Error("float floor division by zero");
      return Value::Float(std::round((a - FloorMod(a, b)) / b));
    case BinaryOperator::kMod:
      if (b == 0) return Error("float modulo");
      return Value::Float(FloorMod(a, b));
    case BinaryOperator::kPow:
      break;
  }
  if (a == 0 && b < 0) return Error("0.0 cannot be raised to a negative power");
  if (a < 0 && std::floor(b) != b) return Error("complex numbers are not supported");
  const double power = std::pow(a, b);
  if (std::isinf(power) && std::isfinite(a) && std::isfinite(b)) {
    return Error("numerical result out of range");
  }
  return Value::Float(power);
}

absl::StatusOr<Value> AddText(Runtime& runtime, const Value& a, const Value& b) {
  const bool markup = a.is_markup() || b.is_markup();
  JINJA_RETURN_IF_ERROR(runtime.CheckRoom(static_cast<int64_t>(a.text().size() + b.text().size())));
  JINJA_RETURN_IF_ERROR(runtime.Step(a.Size() + b.Size()));
  const auto part = [&](const Value& value) {
    return markup && !value.is_markup() ? EscapeHtml(value.text()) : value.text();
  };
  return runtime.String(part(a) + part(b), markup);
}

absl::StatusOr<Value> AddItems(Runtime& runtime, const Value& a, const Value& b) {
  JINJA_RETURN_IF_ERROR(runtime.Step(a.Size() + b.Size()));
  std::vector<Value> items = a.items();
  items.insert(items.end(), b.items().begin(), b.items().end());
  return a.is_list() ? runtime.List(std::move(items)) : runtime.Tuple(std::move(items));
}

absl::StatusOr<Value> Repeat(Runtime& runtime, const Value& value, int64_t times) {
  times = std::max<int64_t>(times, 0);
  const int64_t count =
      value.is_string() ? static_cast<int64_t>(value.text().size()) : (*Length(value)) * 32;
  int64_t bytes;
  if (__builtin_mul_overflow(count, times, &bytes)) bytes = INT64_MAX;
  JINJA_RETURN_IF_ERROR(runtime.CheckRoom(bytes));
  JINJA_RETURN_IF_ERROR(runtime.Step(bytes / 32));
  if (value.is_string()) {
    std::string text;
    if (bytes > 0) text.reserve(static_cast<size_t>(bytes));
    for (int64_t i = 0; bytes > 0 && i < times; ++i) text += value.text();
    return runtime.String(std::move(text), value.is_markup());
  }
  std::vector<Value> items;
  for (int64_t i = 0; bytes > 0 && i < times; ++i) {
    items.insert(items.end(), value.items().begin(), value.items().end());
  }
  return value.is_list() ? runtime.List(std::move(items)) : runtime.Tuple(std::move(items));
}

bool IsSequence(const Value& value) {
  return value.is_string() || value.is_list() || value.is_tuple();
}

}  // namespace

absl::StatusOr<Value> Apply(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b) {
  if (a.is_undefined()) return Error(a.undefined().message);
  if (op == BinaryOperator::kMod && a.is_string()) return FormatPercent(runtime, a, b);
  if (b.is_undefined()) return Error(b.undefined().message);
  if (a.is_integral() && b.is_integral()) return ApplyInt(op, a.as_int(), b.as_int());
  if (a.is_number() && b.is_number()) return ApplyFloat(op, a.as_double(), b.as_double());
  if (op == BinaryOperator::kAdd) {
    if (a.is_string() && b.is_string()) return AddText(runtime, a, b);
    if ((a.is_list() && b.is_list()) || (a.is_tuple() && b.is_tuple())) {
      return AddItems(runtime, a, b);
    }
    if (IsSequence(a)) {
      return Error("can only concatenate ", TypeName(a), " (not \"", TypeName(b), "\") to ",
                   TypeName(a));
    }
  }
  if (op == BinaryOperator::kMul) {
    if (IsSequence(a) && b.is_integral()) return Repeat(runtime, a, b.as_int());
    if (IsSequence(b) && a.is_integral()) return Repeat(runtime, b, a.as_int());
  }
  return Unsupported(op, a, b);
}

absl::StatusOr<Value> Apply(Runtime&, UnaryOperator op, const Value& a) {
  const bool negate = op == UnaryOperator::kNegate;
  if (a.is_undefined()) return Error(a.undefined().message);
  if (a.is_float()) return Value::Float(negate ? -a.as_double() : a.as_double());
  if (!a.is_integral()) {
    return Error("bad operand type for unary ", negate ? "-" : "+", ": '", TypeName(a), "'");
  }
  if (negate && a.as_int() == INT64_MIN) return TooLarge();
  return Value::Int(negate ? -a.as_int() : a.as_int());
}

}  // namespace sluice::jinja
