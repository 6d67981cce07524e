// Reads the format, and passes over the text once more for the order of a schema's members.
#include "runtime/openai/response_format.h"

#include <cstddef>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "runtime/openai/request_members.h"

namespace sluice {
namespace {

using nlohmann::json;

const json* Member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<ApiError> ReadSchema(const json& value, std::optional<GrammarText>* grammar) {
  const json* const format = Member(value, "json_schema");
  if (format == nullptr || !format->is_object()) {
    return Wrong("response_format.json_schema", "must be an object", "missing_required_parameter");
  }
  for (const auto& [name, member] : format->items()) {
    if (name == "name" || name == "schema" || name == "strict" || name == "description") continue;
    return Wrong(absl::StrCat("response_format.json_schema.", ShortName(name)),
                 "is not a parameter of a format", "unknown_parameter");
  }
  const json* const schema = Member(*format, "schema");
  if (schema == nullptr || !schema->is_object()) {
    return Wrong("response_format.json_schema.schema", "must be an object",
                 "missing_required_parameter");
  }
  *grammar = GrammarText{GrammarKind::kJsonSchema, schema->dump()};
  return std::nullopt;
}

// Writes the object at a path of members as dump() does, but with its members in their order. It
// builds no document: a tree that keeps the order finds a member in time that grows with their
// number, and the text may be hostile.
class SchemaWriter : public nlohmann::json_sax<json> {
 public:
  explicit SchemaWriter(absl::Span<const absl::string_view> path) : path_(path) {}

  std::string Take() { return std::move(out_); }

  bool null() override { return Scalar(nullptr); }
  bool boolean(bool value) override { return Scalar(value); }
  bool number_integer(number_integer_t value) override { return Scalar(value); }
  bool number_unsigned(number_unsigned_t value) override { return Scalar(value); }
  bool number_float(number_float_t value, const string_t&) override { return Scalar(value); }
  bool string(string_t& value) override { return Scalar(value); }
  bool binary(binary_t&) override { return false; }
  bool key(string_t& name) override {
    if (first_depth_ > 0) {
      Separate();
      absl::StrAppend(&out_, json(name).dump(), ":");
    } else {
      on_path_ = depth_ == matched_ + 1 && name == path_[matched_];
    }
    return true;
  }
  bool start_object(std::size_t) override { return Open('{'); }
  bool start_array(std::size_t) override { return Open('['); }
  bool end_object() override { return Close('}'); }
  bool end_array() override { return Close(']'); }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  void Separate() {
    if (out_.back() != '{' && out_.back() != '[' && out_.back() != ':') out_ += ',';
  }
  bool Scalar(const json& value) {
    if (first_depth_ > 0) {
      Separate();
      out_ += value.dump();
    }
    on_path_ = false;
    return true;
  }
  bool Open(char bracket) {
    ++depth_;
    if (first_depth_ > 0) {
      Separate();
      out_ += bracket;
    } else if (on_path_ && ++matched_ == path_.size()) {
      first_depth_ = depth_;
      out_ += bracket;
    }
    on_path_ = false;
    return true;
  }
  bool Close(char bracket) {
    if (first_depth_ > 0) out_ += bracket;
    return depth_-- != first_depth_;  // the end of the object ends parsing
  }

  const absl::Span<const absl::string_view> path_;
  size_t depth_ = 0;        // objects and arrays that are open
  size_t matched_ = 0;      // members of path_ that are open
  bool on_path_ = false;    // the coming value is the next member of path_
  size_t first_depth_ = 0;  // of the object that is written; 0: it has not begun
  std::string out_;
};

}  // namespace

std::optional<ApiError> ReadResponseFormat(absl::string_view name, const json& value,
                                           std::optional<GrammarText>* grammar) {
  if (name == "grammar") {
    const std::string* const text = value.get_ptr<const std::string*>();
    if (text == nullptr) return Wrong(name, "must be a string", "invalid_type");
    *grammar = GrammarText{GrammarKind::kGbnf, *text};
    return std::nullopt;
  }
  if (!value.is_object()) return Wrong(name, "must be an object", "invalid_type");
  const json* const type = Member(value, "type");
  for (const auto& [member, unused] : value.items()) {
    if (member == "type" || (member == "json_schema" && type != nullptr && *type == "json_schema"))
      continue;
    return Wrong(absl::StrCat(name, ".", ShortName(member)), "is not a parameter of this format",
                 "unknown_parameter");
  }
  if (type != nullptr && *type == "text") return std::nullopt;
  if (type != nullptr && *type == "json_schema") return ReadSchema(value, grammar);
  if (type != nullptr && *type == "json_object") {
    *grammar = GrammarText{GrammarKind::kJsonObject};
    return std::nullopt;
  }
  return Wrong(absl::StrCat(name, ".type"), "must be \"text\", \"json_object\" or \"json_schema\"");
}

std::string SchemaAsWritten(absl::string_view text, bool in_body) {
  static constexpr absl::string_view kPath[] = {"body", "response_format", "json_schema", "schema"};
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  SchemaWriter writer(absl::MakeConstSpan(kPath).subspan(in_body ? 0 : 1));
  json::sax_parse(text.begin(), text.end(), &writer);
  return writer.Take();
}

}  // namespace sluice
