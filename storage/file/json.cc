// Reads and checks JSON on top of nlohmann::json's SAX interface.
#include "storage/file/json.h"

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "kernels/base/status_macros.h"
#include "storage/file/lfs_pointer.h"

namespace sluice {
namespace {

using nlohmann::json;

// Builds the document, and refuses input that the library's own parser lets pass: deep nesting (its
// destructor and most readers recurse) and doubled keys (readers disagree on which one counts).
class DocumentBuilder : public nlohmann::json_sax<json> {
 public:
  explicit DocumentBuilder(absl::string_view what) : what_(what) {}

  bool null() override { return Add(json(nullptr)); }
  bool boolean(bool value) override { return Add(json(value)); }
  bool number_integer(number_integer_t value) override { return Add(json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Add(json(value)); }
  bool number_float(number_float_t value, const string_t&) override { return Add(json(value)); }
  bool string(string_t& value) override { return Add(json(std::move(value))); }
  bool binary(binary_t&) override { return false; }
  bool start_object(std::size_t) override { return Open(json::object()); }
  bool start_array(std::size_t) override { return Open(json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }

  bool key(string_t& value) override {
    if (open_.back()->contains(value)) {
      return Fail(absl::StrCat("the key \"", absl::CHexEscape(value.substr(0, 80)),
                               "\" appears twice in one object"));
    }
    key_ = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(absl::StrCat("not valid JSON at byte ", position));
  }

  absl::Status status() const { return status_; }
  json Take() { return std::move(root_); }

 private:
  bool Fail(absl::string_view message) {
    if (status_.ok()) status_ = absl::InvalidArgumentError(absl::StrCat(what_, ": ", message));
    return false;
  }

  json* Place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    return &(parent[key_] = std::move(value));
  }

  bool Add(json value) {
    Place(std::move(value));
    return true;
  }

  bool Open(json container) {
    if (open_.size() >= kMaxJsonDepth) {
      return Fail(absl::StrCat("JSON nested deeper than ", kMaxJsonDepth));
    }
    open_.push_back(Place(std::move(container)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  std::string what_;
  json root_;
  std::vector<json*> open_;  // parents stay in place while their children grow: see Place()
  std::string key_;
  absl::Status status_;
};

// Hands events on to a document and to further readers.
class Tee : public nlohmann::json_sax<json> {
 public:
  Tee(DocumentBuilder* document, absl::Span<nlohmann::json_sax<json>* const> readers)
      : document_(document), readers_(readers.begin(), readers.end()) {}

  bool null() override {
    return Each([](auto& sax) { return sax.null(); });
  }
  bool boolean(bool value) override {
    return Each([&](auto& sax) { return sax.boolean(value); });
  }
  bool number_integer(number_integer_t value) override {
    return Each([&](auto& sax) { return sax.number_integer(value); });
  }
  bool number_unsigned(number_unsigned_t value) override {
    return Each([&](auto& sax) { return sax.number_unsigned(value); });
  }
  bool number_float(number_float_t value, const string_t& digits) override {
    return Each([&](auto& sax) { return sax.number_float(value, digits); });
  }
  bool string(string_t& value) override {
    return EachWith(value, [](auto& sax, string_t& own) { return sax.string(own); });
  }
  bool binary(binary_t& value) override { return document_->binary(value); }
  bool start_object(std::size_t size) override {
    return Each([&](auto& sax) { return sax.start_object(size); });
  }
  bool key(string_t& value) override {
    return EachWith(value, [](auto& sax, string_t& own) { return sax.key(own); });
  }
  bool end_object() override {
    return Each([](auto& sax) { return sax.end_object(); });
  }
  bool start_array(std::size_t size) override {
    return Each([&](auto& sax) { return sax.start_array(size); });
  }
  bool end_array() override {
    return Each([](auto& sax) { return sax.end_array(); });
  }
  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    return document_->parse_error(position, token, error);
  }

 private:
  template <typename Event>
  bool Each(const Event& event) {
    if (!event(*document_)) return false;
    std::erase_if(readers_, [&](auto* reader) { return !event(*reader); });
    return true;
  }
  // The same with a string that each may take: the document the parser's, the others a copy.
  template <typename Event>
  bool EachWith(string_t& value, const Event& event) {
    std::erase_if(readers_, [&](auto* reader) {
      string_t copy = value;
      return !event(*reader, copy);
    });
    return event(*document_, value);
  }

  DocumentBuilder* const document_;
  std::vector<nlohmann::json_sax<json>*> readers_;  // that want more
};

absl::Status WrongMember(absl::string_view key, absl::string_view wanted, const json* found) {
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", key, "\" ",
      found == nullptr
          ? std::string("is missing")
          : absl::StrCat("is ",
                         found->dump(-1, ' ', true, json::error_handler_t::replace).substr(0, 60)),
      ", expected ", wanted));
}

}  // namespace

absl::StatusOr<json> ParseJson(absl::string_view text, absl::string_view what,
                               absl::Span<nlohmann::json_sax<json>* const> readers) {
  if (absl::StartsWith(text, "\xEF\xBB\xBF")) text.remove_prefix(3);
  SLUICE_RETURN_IF_ERROR(CheckNoLfsPointer(text, what));
  // The library takes a zero byte for the end of the text and would not look behind it.
  if (const size_t zero = text.find('\0'); zero != absl::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": not valid JSON at byte ", zero + 1, ", which is zero"));
  }
  DocumentBuilder builder(what);
  Tee tee(&builder, readers);
  const bool ok = readers.empty() ? ReadJsonEvents(text, &builder) : ReadJsonEvents(text, &tee);
  SLUICE_RETURN_IF_ERROR(builder.status());
  if (!ok) return absl::InvalidArgumentError(absl::StrCat(what, ": not valid JSON"));
  return builder.Take();
}

bool ReadJsonEvents(absl::string_view text, nlohmann::json_sax<json>* reader) {
  return json::sax_parse(text.begin(), text.end(), reader);
}

bool ReadJsonEvents(std::istream& stream, nlohmann::json_sax<json>* reader) {
  return json::sax_parse(stream, reader);
}

int64_t JsonTreeBytes(absl::string_view text) {
  // Twice what was measured with glibc: both trees, and vectors that double as they grow.
  constexpr int64_t kItemBytes = 100, kQuoteBytes = 80, kOpeningBytes = 260, kColonBytes = 300;
  int64_t bytes = 6 * static_cast<int64_t>(text.size());
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\' && in_string) ++i;
    if (c == '"') {
      in_string = !in_string;
      bytes += kQuoteBytes;
    }
    if (in_string) continue;
    if (c == ',') bytes += kItemBytes;
    if (c == '[' || c == '{') bytes += kOpeningBytes;
    if (c == ':') bytes += kColonBytes;
  }
  return bytes;
}

absl::StatusOr<std::string> ReadWholeFile(const std::string& path, int64_t max_bytes) {
  std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  if (file == nullptr) return absl::ErrnoToStatus(errno, absl::StrCat("cannot open ", path));
  std::string text;
  char chunk[1 << 16];
  while (const size_t n = std::fread(chunk, 1, sizeof(chunk), file.get())) {
    text.append(chunk, n);
    if (static_cast<int64_t>(text.size()) > max_bytes) {
      return absl::InvalidArgumentError(
          absl::StrCat(path, ": larger than the ", max_bytes, " bytes such a file may have"));
    }
  }
  if (std::ferror(file.get()))
    return absl::ErrnoToStatus(errno, absl::StrCat("cannot read ", path));
  return text;
}

absl::StatusOr<json> ReadJsonFile(const std::string& path, int64_t max_bytes) {
  SLUICE_ASSIGN_OR_RETURN(const std::string text, ReadWholeFile(path, max_bytes));
  return ParseJson(text, path);
}

const json* JsonFind(const json& object, absl::string_view key) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(std::string(key));
  return it == object.end() || it->is_null() ? nullptr : &*it;
}

absl::StatusOr<int64_t> JsonInt(const json& object, absl::string_view key) {
  const json* member = JsonFind(object, key);
  if (member != nullptr && member->is_number_unsigned()) {
    const uint64_t value = *member->get_ptr<const json::number_unsigned_t*>();
    if (value <= static_cast<uint64_t>(INT64_MAX)) return static_cast<int64_t>(value);
  } else if (member != nullptr && member->is_number_integer()) {
    return *member->get_ptr<const json::number_integer_t*>();
  } else if (member != nullptr && member->is_number_float()) {
    const double value = *member->get_ptr<const json::number_float_t*>();
    if (std::floor(value) == value && std::fabs(value) < 9e15) return static_cast<int64_t>(value);
  }
  return WrongMember(key, "an integer", member);
}

absl::StatusOr<double> JsonDouble(const json& object, absl::string_view key) {
  const json* member = JsonFind(object, key);
  if (member == nullptr || !member->is_number()) return WrongMember(key, "a number", member);
  return member->get<double>();
}

absl::StatusOr<bool> JsonBool(const json& object, absl::string_view key) {
  const json* member = JsonFind(object, key);
  if (member == nullptr || !member->is_boolean()) return WrongMember(key, "true or false", member);
  return member->get<bool>();
}

absl::StatusOr<std::string> JsonString(const json& object, absl::string_view key) {
  const json* member = JsonFind(object, key);
  if (member == nullptr || !member->is_string()) return WrongMember(key, "a string", member);
  return member->get<std::string>();
}

}  // namespace sluice
