// One parser, three readers.
#include "runtime/openai/request_document.h"

#include <cstddef>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "runtime/text/jinja/value_builder.h"
#include "storage/file/json.h"

namespace sluice {
namespace {

using nlohmann::json;

constexpr absl::string_view kSchemaPath[] = {"response_format", "json_schema", "schema"};
constexpr size_t kSchemaDepth = 3;

// Writes the object at kSchemaPath, of the text or of its member "body". It builds no document: a
// tree that keeps the order finds a member in time that grows with their number, and the text may
// be hostile.
class SchemaWriter : public nlohmann::json_sax<json> {
 public:
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
      return true;
    }
    enters_body_ = depth_ == 1 && name == "body";
    on_path_ = depth_ == body_depth_ + matched_ + 1 && matched_ < kSchemaDepth &&
               name == kSchemaPath[matched_];
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
  template <typename Value>
  bool Scalar(const Value& value) {
    if (first_depth_ > 0) {
      Separate();
      out_ += json(value).dump();
    }
    enters_body_ = on_path_ = false;
    return true;
  }
  bool Open(char bracket) {
    ++depth_;
    if (first_depth_ > 0) {
      Separate();
      out_ += bracket;
    } else if (enters_body_) {
      body_depth_ = 1;
    } else if (on_path_ && ++matched_ == kSchemaDepth) {
      first_depth_ = depth_;
      out_ += bracket;
    }
    enters_body_ = on_path_ = false;
    return true;
  }
  bool Close(char bracket) {
    if (first_depth_ > 0) out_ += bracket;
    return depth_-- != first_depth_;  // the end of the object is all that was wanted
  }

  size_t depth_ = 0;          // objects and arrays that are open
  size_t body_depth_ = 0;     // of the body in the text
  size_t matched_ = 0;        // members of kSchemaPath that were entered
  bool enters_body_ = false;  // the coming value is "body"
  bool on_path_ = false;      // the coming value is the next member of kSchemaPath
  size_t first_depth_ = 0;    // of the object that is written; 0: it has not begun
  std::string out_;
};

// Whether some string of the text can be `word`.
bool CanName(absl::string_view text, absl::string_view word) {
  return absl::StrContains(text, word) || absl::StrContains(text, "\\u");
}

}  // namespace

std::variant<RequestDocument, ApiError> ReadRequestDocument(absl::string_view text,
                                                            absl::string_view what,
                                                            int64_t max_bytes) {
  if (const int64_t bytes = JsonTreeBytes(text); bytes > max_bytes) {
    return ApiError{
        .message = absl::StrCat(what, ", of ", text.size(), " bytes, could take ", bytes,
                                " bytes of memory while it is read, and the budget has ", max_bytes,
                                " for that; split it or give a larger --max-ram"),
        .param = "",
        .code = "out_of_memory"};
  }
  jinja::ValueBuilder ordered(what);
  SchemaWriter schema;
  // Chats are known by their messages or, in a batch line, by their URL.
  const bool can_chat = CanName(text, "messages") || CanName(text, "chat");
  std::vector<nlohmann::json_sax<json>*> readers;
  if (can_chat) readers.push_back(&ordered);
  if (CanName(text, "json_schema")) readers.push_back(&schema);
  const auto not_json = [](absl::string_view message) {
    return ApiError{.message = std::string(message), .param = "", .code = "invalid_json"};
  };
  absl::StatusOr<json> root = ParseJson(text, what, readers);
  if (!root.ok()) return not_json(root.status().message());
  if (!root->is_object()) return not_json(absl::StrCat(what, " is not a JSON object"));
  RequestDocument document;
  document.root = *std::move(root);
  document.schema = schema.Take();
  if (can_chat) {
    if (ordered.status().ok()) {
      document.ordered = ordered.Take();
    } else {
      document.ordered = ordered.status();
    }
  }
  return document;
}

}  // namespace sluice
